"""Orchestration: the only package that knows Prefect, MLflow and Hydra."""
