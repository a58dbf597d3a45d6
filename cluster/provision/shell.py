"""Commands as any login shell passes them on, and their output apart from what that shell prints."""

import base64
import math
import re
import shlex
from typing import Any

from cluster.provision.inventory import Host
from metis.errors import InputError

# what follows it is the command's own: a shell may greet before
BEGIN = "metis: output begins"
# what is read of an error
LONGEST = 4096
# within single quotes tcsh expands `!` and refuses line breaks, and fish reads backslashes
UNLIKE = re.compile(r"[!\\\n]")


def as_root(host: Host, command: str, seconds: float | None) -> str:
    """A command line that runs `command` by sh as root, whatever the login shell; prints `BEGIN` first.

    Args:
        host: whose user it is for; one that is not root needs sudo without a password.
        command: for `sh`.
        seconds: until it is ended; None for no limit.
    """
    script = f"echo {shlex.quote(BEGIN)}; {command}"
    words = ["sh", "-c", script]
    if UNLIKE.search(script):
        encoded = base64.b64encode(script.encode()).decode()
        words = ["sh", "-c", 'eval "$(echo "$1" | base64 -d)"', "sh", encoded]
    if seconds is not None:
        words = ["timeout", "-k", "5", str(math.ceil(seconds)), *words]
    if host.user != "root":
        words = ["sudo", "-n", *words]
    return shlex.join(words)


def output_of(printed: str) -> str | None:
    """What the command printed, without its shell's greeting; None where it was never begun."""
    _, begun, output = printed.partition(f"{BEGIN}\n")
    return output if begun else None


def skip_greeting(channel: Any, timeout: float) -> str | None:
    """Read a channel to the point where the command's own output begins.

    Args:
        channel: of paramiko, that runs what `as_root` made.
        timeout: seconds of silence.

    Returns:
        None; or what was printed instead, where the command was never begun.

    Raises:
        EOFError: the channel ended without an exit code: the connection was lost.
        TimeoutError: it is silent.
    """
    channel.settimeout(timeout)
    wanted, printed = f"{BEGIN}\n".encode(), bytearray()
    while not printed.endswith(wanted):
        # by the byte: what follows belongs to the one who asked for the channel
        if not (byte := channel.recv(1)):
            if channel.recv_exit_status() < 0:
                raise EOFError("ended without an exit code")
            said = channel.recv_stderr(LONGEST) or bytes(printed)
            return bytes(said).decode(errors="replace")
        printed += byte
    return None


def not_run(host: Host, said: str) -> InputError:
    """The failure of a login that ran no command, in one line."""
    needs = "a shell" if host.user == "root" else "a shell and sudo without a password"
    reason = last_line(said) or "no reason given"
    return InputError(f"{host.name}: the login as {host.user} ran no command: {reason}; it needs {needs}")


def last_line(text: str) -> str:
    """The last line with something in it, where programs say what is wrong; at most 300 letters."""
    lines = text.split("\n")
    return next((" ".join(line.split())[:300] for line in reversed(lines) if line.strip()), "")
