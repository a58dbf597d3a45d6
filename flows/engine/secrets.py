"""Secrets in what a user typed, left out of everything that is recorded, logged or printed."""

import re
import shlex
from collections.abc import Sequence

HIDDEN = "***"
# user and password before a host; without a colon it may be a token
SCHEME = r"\b[a-z][a-z0-9+.-]*://"
USER = re.compile(
    r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?:(?P<user>[^\s/:@'\"]*):[^\s'\"]*@|[^\s/:@?#'\"]+@)", re.I
)
URL = re.compile(rf"{SCHEME}[^\s'\"<>]*", re.I)
QUERY = re.compile(r"([?&;][^=&;#\s]*=)[^&;#\s]*")
# build arguments, a whole mapping or one of them, as a shell's line holds them: quoted or not
QUOTED = re.compile(r"'(\+{0,2}images\.arguments(?:\.[\w-]+)?=)[^']*(?:'\"'\"'[^']*)*'")
BARE = re.compile(r"(?<!')(\bimages\.arguments(?:\.[\w-]+)?=)(?:\{[^}]*\}?|\"[^\"]*\"|'[^']*'|[^\s,]+)")
# NAME=value and "NAME": "value" where the name says that it is secret
NAME = r"[\w.-]*(?:password|passwd|passphrase|secret|token|api_?key|access_?key|credentials?)"
NAMED = re.compile(rf"(\b{NAME}(?:[_-][\w-]*)?=)(?!\s)(?:\"[^\"]*\"|'[^']*'|[^\s,;&}})'\"]+)", re.I)
LISTED = re.compile(rf"([\"']?\b{NAME}(?:[_-][\w-]*)?[\"']?:\s?)(?:\"[^\"]*\"|'[^']*')", re.I)


def masked(text: str) -> str:
    """Return `text` with `***` for what may be secret in it.

    That is: user and password of a URL, the values of its query, the values of `images.arguments`, and what
    is given to a name that ends as secrets' names do (`TOKEN=`, `password: "..."`).
    """
    text = QUOTED.sub(rf"'\1{HIDDEN}'", text)
    text = BARE.sub(rf"\1{HIDDEN}", text)
    text = USER.sub(_without_user, text)
    text = URL.sub(lambda found: QUERY.sub(rf"\1{HIDDEN}", found.group()), text)
    text = NAMED.sub(rf"\1{HIDDEN}", text)
    return LISTED.sub(rf"\1{HIDDEN}", text)


def masked_command(words: Sequence[str]) -> str:
    """Return words as a line for a shell, without the secrets in them."""
    return masked(shlex.join(words))


def masked_value(name: str, value: object) -> str:
    """Return the value of a setting as a text, without the secrets in it."""
    return masked(f"{name}={value}").removeprefix(f"{name}=")


def _without_user(found: re.Match[str]) -> str:
    user = found.group("user")
    return f"{found.group('scheme')}{HIDDEN if user is None else f'{user}:{HIDDEN}'}@"
