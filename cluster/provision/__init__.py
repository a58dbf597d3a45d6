"""Hosts: a lab on this machine, machines over SSH, instances on EC2."""
