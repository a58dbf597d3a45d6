"""Hydra configuration, one folder per group."""
