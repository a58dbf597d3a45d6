"""Addresses in the MLflow UI."""

from urllib.parse import urlsplit

from flows.configuration.sections import TrackingSettings


def ui_address(tracking: TrackingSettings) -> str:
    """Return the address of the MLflow UI: as set, of the server, or of `metis ui`; no user, no password."""
    given = tracking.ui or tracking.uri or ""
    if given.startswith(("http://", "https://")):
        parts = urlsplit(given)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    return f"http://127.0.0.1:{tracking.port}"


def run_link(tracking: TrackingSettings, experiment: str, run_id: str) -> str:
    """Return the address of a run in the MLflow UI."""
    return f"{ui_address(tracking)}/#/experiments/{experiment}/runs/{run_id}"
