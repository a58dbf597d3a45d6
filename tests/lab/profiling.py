"""The stage profile on a lab, as a function and as a process that can be killed: python -m ... FOLDER."""

import sys
from pathlib import Path

from cluster.provision.inventory import Inventory
from flows.configuration.settings import Settings, validated
from flows.engine.work import Work
from flows.live.profile import profile_live

WORKLOADS = Path(__file__).parent / "workloads"
APPS = ["Light", "Heavy"]


def settings_for(inventory: Inventory, **profile: object) -> Settings:
    """Two tiny applications, two slots, two seconds of load."""
    return validated(
        {
            "cluster": {"kind": "lab", "name": inventory.name, "slots": 2, "nodes": 2},
            "testbed": {"kind": "swarm"},
            "apps": {"names": APPS, "workloads": [str(WORKLOADS)]},
            "images": {"base_image": "metis-base:bookworm", "network": "host"},
            "launch": {"cpus": 1.0, "memory_mb": 128, "cache_mb": 16, "ready_timeout": 60},
            "connect": {"connect_timeout": 4, "command_timeout": 120, "retries": 1, "pause": 0.5},
            # what else this machine does is not to make a test longer
            "load": {"duration": 3, "warm_up": 1, "most_taken": 1},
            "profile": {"choose": "all", "at_once": 1, **profile},
            "explore": {"retries": 2, "pause": 0.5},
        }
    )


def work_in(folder: Path, **profile: object) -> Work:
    """A step whose inputs (`setup`, `build`) and scratch lie in `folder`; its output goes to `output`."""
    inputs = {name: folder / name for name in ("setup", "build")}
    output = folder / "output"
    output.mkdir(exist_ok=True)
    settings = settings_for(Inventory.load(inputs["setup"] / "inventory.json"), **profile)
    return Work(settings, output, folder / "scratch", inputs, recording=None)


if __name__ == "__main__":
    profile_live(work_in(Path(sys.argv[1])))
