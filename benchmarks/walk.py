"""Walk through docs/real-cluster.md as it is written, and say how long each of its commands takes.

python benchmarks/walk.py            needs `make lab-deps`; some minutes on two cores

The three machines are containers of a lab of its own, with an SSH server and a Docker engine each, in no
Swarm; they are reached by `hosts.yaml`, as machines of one's own are. The two applications are small. Every
command is the page's, in bash; only where base image and packages come from is added to the page's settings.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import yaml

from cluster.provision.inventory import Inventory
from cluster.provision.lab import lab as labs

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"```[a-z]*(?: title=\"([^\"]+)\")?\n(.*?)```", re.DOTALL)
# the base image and the packages come from this machine; a name of its own, so that nothing else is touched
OF_A_LAB = "images.base_image=metis-base:bookworm images.network=host"
NAMES = {"alpha": "manager", "beta": "worker-1", "gamma": "worker-2"}
APPS = {"Shop": 2_000, "Search": 6_000}  # primes up to which one request counts
LEFT_OUT = ("metis watch",)  # ten looks, ten minutes apart


def written(folder: Path, inventory: Inventory) -> None:
    """Write what a reader has: hosts.yaml and two applications, those of docs/add-your-own-application.md."""
    hosts = [(name, inventory.host(host)) for name, host in NAMES.items()]
    document = [
        {"name": name, "role": host.role, "address": host.address, "port": host.port, "key": host.key}
        | {"user": host.user, "inner": host.inner}
        for name, host in hosts
    ]
    text = yaml.safe_dump({"hosts": document, "ssh_config": "none"})
    (folder / "hosts.yaml").write_text(text, encoding="utf-8")
    page = (ROOT / "docs" / "add-your-own-application.md").read_text(encoding="utf-8")
    blocks = dict(FENCE.findall(page))
    for name, most in APPS.items():
        built = folder / "apps" / name.lower()
        built.mkdir(parents=True)
        (folder / "apps" / f"{name.lower()}.yaml").write_text(
            f"name: {name}\nfolder: {name.lower()}\ndescribe: Counts primes.\n", encoding="utf-8"
        )
        (built / "Dockerfile").write_text(
            next(text for text in blocks.values() if "FROM $" in text), encoding="utf-8"
        )
        program = blocks["apps/primes/app.py"].replace("20_000", str(most))
        (built / "app.py").write_text(program, encoding="utf-8")


def steps() -> tuple[str, list[str]]:
    """Return the page's list of settings, and its commands in order, up to the lab."""
    page = (ROOT / "docs" / "real-cluster.md").read_text(encoding="utf-8").partition("## The lab")[0]
    code = "\n".join(text for title, text in FENCE.findall(page) if not title)
    site = re.search(r"SITE=\(.*?\)\n", code, re.DOTALL)
    assert site, "the page has no list of settings"
    lines = [line.strip() for line in code.splitlines() if line.strip().startswith("metis ")]
    kept = [line for line in lines if not line.startswith(LEFT_OUT)]
    # asked on a terminal, where a person compares fingerprints
    return site.group(0), [line.replace("cluster accept", "cluster accept yes") for line in kept]


def main() -> None:
    """Walk, and print a line per command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--show", action="store_true", help="what the commands print")
    asked = parser.parse_args()
    folder, name = Path(tempfile.mkdtemp(prefix="metis-walk-")), f"walk-{uuid.uuid4().hex[:6]}"
    site, lines = steps()
    begin = f"{site}\nSITE+=({OF_A_LAB} cluster.name={name} tracking.path={folder}/mlruns)\n"
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    total = 0.0
    try:
        written(folder, labs.up(folder / "machines", name, 2))
        for line in lines:
            began = time.monotonic()
            ran = subprocess.run(
                ["bash", "-c", begin + line],
                stdin=subprocess.DEVNULL,
                text=True,
                capture_output=not asked.show,
                cwd=folder,
                env=environment,
            )
            seconds = time.monotonic() - began
            total += seconds
            print(f"{seconds:7.1f} s  {line}", flush=True)
            if ran.returncode:
                sys.exit(f"exit {ran.returncode}\n{ran.stdout or ''}{ran.stderr or ''}")
        print(f"{total:7.1f} s  in all, {total / 60:.1f} minutes", flush=True)
    finally:
        labs.down(folder / "machines", name)


if __name__ == "__main__":
    main()
