"""What a cluster has on EC2, kept on disk so that all of it is found again after a crash."""

import json
from pathlib import Path
from typing import Any

from cluster.settings import Ec2Settings
from metis.errors import SurroundingsError
from metis.files import written_whole


class LaunchRecord:
    """All that was or is about to be made in the account: a JSON file, written before and after each step.

    Args:
        path: of the file; what it holds is read where it exists.
        cluster: name of the cluster.
        settings: region and endpoint, where nothing is recorded yet.
    """

    def __init__(self, path: Path, cluster: str, settings: Ec2Settings) -> None:
        self.path = path
        self.known: dict[str, Any] = {
            "cluster": cluster,
            "region": settings.region,
            "endpoint": settings.endpoint,
            "doing": None,
            "instances": {},
            "orders": {},
            "met": {},
        }
        if path.is_file():
            try:
                self.known |= json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise SurroundingsError(f"{path}: cannot be read ({error})") from None

    def write(self, doing: str | None, **more: Any) -> None:
        """Record what is being done (None: nothing), and what is known besides."""
        self.known |= {"doing": doing, **more}
        with written_whole(self.path) as file:
            file.write(json.dumps(self.known, indent=1, sort_keys=True).encode())
