"""Processes of this machine, distinguished by number and start: numbers are reused."""

import os
import socket
import subprocess
from pathlib import Path


def began_at(pid: int) -> str:
    """Return when a process began, in the words of the system; empty where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
        asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
        return asked.stdout.strip()
    fields = stat.rpartition(")")[2].split()  # the name in brackets may hold anything
    return "" if fields[0] == "Z" else fields[19]


def own_mark() -> str:
    """Return what this process is known by, on whichever machine it runs: host, number and start."""
    return f"{socket.gethostname()} {os.getpid()} {began_at(os.getpid())}"


def is_gone(mark: str) -> bool:
    """Whether the process of a mark has ended; False where another machine would have to say so."""
    host, _, rest = mark.partition(" ")
    number, _, began = rest.partition(" ")
    if host != socket.gethostname() or not number.isdigit() or not began:
        return False
    return began_at(int(number)) != began
