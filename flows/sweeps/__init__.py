"""Sweeps: many runs of the chain, one MLflow parent, one table and figure."""
