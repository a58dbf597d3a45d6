"""Seconds of every command of docs/real-cluster.md, on the hosts of a lab reached as machines of one's own.

    python benchmarks/walk.py FOLDER [--until profile]

FOLDER is made: hosts.yaml of a lab of its own, two applications that count primes, and what the walk
writes. Started again it goes on where it was. `--down` ends the lab.
"""

import argparse
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(r"```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)```", re.DOTALL)
LAB = "walk"
# the lab's own base image and package index, and a scale for two cores
HERE = ("images.base_image=metis-base:bookworm", "images.network=host", "images.scale=0.01")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--until", default="", help="the last command to run: setup, profile, place, deploy")
    parser.add_argument("--down", action="store_true", help="end the lab")
    given = parser.parse_args()
    lab = ("lab", "down" if given.down else "up", f"cluster.name={LAB}", "cluster.state=state")
    given.folder.mkdir(parents=True, exist_ok=True)
    timed(given.folder, lab)
    if given.down:
        return
    write_site(given.folder)
    total = 0.0
    for words in walk():
        total += timed(given.folder, [*words, *(HERE if words[0] != "explain" else ())])
        if given.until and any(given.until in word for word in words[:2]):
            break
    print(f"the walk: {total:.0f} s", flush=True)


def walk() -> list[list[str]]:
    """The commands of the page on machines of one's own, as a shell expands them; those that end are run."""
    text = (DOCS / "real-cluster.md").read_text(encoding="utf-8")
    code = "\n".join(block for kind, _, block in FENCE.findall(text) if not kind)
    stub = 'metis() { printf "%s\\0" "$@"; printf "\\n"; }\n'
    said = subprocess.run(["bash", "-c", stub + code], capture_output=True, text=True, check=True).stdout
    commands = [line.split("\0") for line in said.split("\0\n") if line]
    mine = [
        words
        for words in commands
        if "cluster=hosts" in words and words[0] in ("run", "place", "explain", "deploy")
    ]
    return [["cluster", "accept", "yes", *mine[0][2:]], *mine]


def timed(folder: Path, words: list[str] | tuple[str, ...]) -> float:
    """Run a command; print what it was and its seconds."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "flows.command.main", *words]
    done = subprocess.run(command, cwd=folder, env=None, capture_output=True, text=True)
    took = time.perf_counter() - began
    print(f"{took:7.1f} s  exit {done.returncode}  metis {shlex.join(words)[:70]}", flush=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return took


def write_site(folder: Path) -> None:
    """Write hosts.yaml, as a person would for the lab's hosts, and the applications Shop and Search."""
    import json

    hosts = json.loads((folder / "state" / "inventory.json").read_text())["hosts"]
    keys = ("name", "role", "address", "port", "user", "key", "inner")
    text = yaml.safe_dump({"hosts": [{key: host[key] for key in keys} for host in hosts]})
    (folder / "hosts.yaml").write_text(text)
    page = (DOCS / "add-your-own-application.md").read_text(encoding="utf-8")
    files = {title: block for _, title, block in FENCE.findall(page) if title}
    for name, most in (("Shop", "20_000"), ("Search", "60_000")):
        place = folder / "apps" / name.lower()
        place.mkdir(parents=True, exist_ok=True)
        (place / "Dockerfile").write_text(files["apps/primes/Dockerfile"])
        (place / "app.py").write_text(files["apps/primes/app.py"].replace("20_000", most))
        described = f"name: {name}\nfolder: {name.lower()}\ndescribe: Counts primes.\n"
        (place.parent / f"{name.lower()}.yaml").write_text(described)


if __name__ == "__main__":
    main()
