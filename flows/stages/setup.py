"""Stage setup: who takes part. A local run has no hosts to prepare."""

from flows.work import Work


def run(work: Work) -> None:
    """Write `inventory.json`."""
    work.write_json("inventory.json", {"kind": work.settings.cluster.kind, "hosts": []})
