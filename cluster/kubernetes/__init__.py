"""Kubernetes as backend: manifests only, so far."""
