"""Instances on EC2 as hosts."""
