"""Prefect: its server, the deployments of chain and stages, and what its UI shows of a run."""
