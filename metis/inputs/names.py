"""Names of applications and nodes that MLflow, Swarm, Kubernetes, CSV files and pages can all bear."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from metis.errors import InputError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LONGEST = 63  # of a label of Kubernetes and of a part of a host's name
LONGEST_HOST = 253
MANY = 20  # names that a message lists; thousands would bury what it says


def check_names(names: Iterable[str], what: str, longest: int = LONGEST) -> None:
    """Refuse names that some tool would misread: markup, formulas, paths, line breaks, spaces.

    Args:
        names: to check.
        what: is named, such as `application`.
        longest: letters of a name.

    Raises:
        InputError: shows the name as Python writes it, so that nothing in it acts on a terminal.
    """
    for name in names:
        if not NAME.fullmatch(name) or len(name) > longest:
            shown = ascii(name if len(name) <= 80 else f"{name[:80]}...")
            raise InputError(
                f"{what} {shown}: give letters, digits, dots, hyphens and _, {longest} at most, the first a "
                "letter or digit"
            )


def twice_in(names: Iterable[str]) -> str | None:
    """The first name that stands twice, if any."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def meant(name: str, known: Iterable[str]) -> str:
    """The hint for a name that is not known: the nearest one, else all, or some where they are many."""
    listed = list(known)
    alike = [one for one in listed if one.lower() == name.lower()]
    near = alike or get_close_matches(name, listed, n=1, cutoff=0.75)
    if near:
        return f"did you mean {near[0]!r}?"
    more = f" or one of {len(listed) - MANY} more" if len(listed) > MANY else ""
    return f"use {', '.join(map(str, listed[:MANY]))}{more}"
