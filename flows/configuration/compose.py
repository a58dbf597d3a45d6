"""From the words after a verb to validated settings: Hydra composes, pydantic validates."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from importlib.resources import files
from typing import Any

from metis.errors import InputError

PATH_KEYS = re.compile(
    r"^\+*([\w.]*\.)?(path|coefficients|existing|placement|report|out|uri|ui|inventory|state|onto)$"
)
ALREADY_QUOTED = re.compile(r"""^(".*"|'.*')$""", re.DOTALL)


def quote_path(override: str) -> str:
    """An override of a path, quoted for Hydra's grammar.

    Hydra refuses bare `=`, `~`, brackets, spaces and letters beyond ASCII in a value, all of which are
    fine in a path; quotes, backslashes before them and `${` are escaped. Other overrides are returned as
    they are.
    """
    key, equals, value = override.partition("=")
    if not equals or not PATH_KEYS.match(key) or value in ("", "null") or ALREADY_QUOTED.match(value):
        return override
    # the grammar reads backslashes as they stand, except right before a quote, `${` or the end
    escaped = re.sub(r"(\\*)('|\$\{|$)", _escape, value)
    return f"{key}='{escaped}'"


def _escape(found: re.Match[str]) -> str:
    slashes, special = found.groups()
    return slashes * 2 + ("\\" + special if special else "")


def compose_plain(overrides: Sequence[str], *, quoted: bool = False) -> dict[str, Any]:
    """The composed configuration as plain values.

    Args:
        overrides: `key=value` words.
        quoted: whether paths are quoted already.

    Raises:
        InputError: an override is not understood; says which.
    """
    words = list(overrides) if quoted else [quote_path(override) for override in overrides]
    with _understood(overrides):
        return _plain(_composed(words))


def compose_jobs(jobs: Iterable[Sequence[str]]) -> Iterator[dict[str, Any]]:
    """The configurations of many jobs, words with quoted paths; what they choose alike is composed once.

    Composing reads some twenty files. Jobs of a sweep mostly differ in values, which need none.

    Raises:
        InputError: an override is not understood; says which.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parse = cache(OverridesParser.create().parse_override)
    bases: dict[tuple[str, ...], Any] = {}
    for job in jobs:
        choices = tuple(word for word in job if _is_choice(word))
        with _understood(job):
            if choices not in bases:
                bases[choices] = _composed(choices)
            config = deepcopy(bases[choices])
            values = [parse(word) for word in job if word not in choices]
            ConfigLoaderImpl._apply_overrides_to_config(values, config)
            yield _plain(config)


def _is_choice(word: str) -> bool:
    """Whether a word chooses a file of `conf/`, and does not set a value."""
    key = word.partition("=")[0].lstrip("+~").partition("@")[0]
    return files("conf").joinpath(*key.split("/")).is_dir()


def _composed(words: Sequence[str]) -> Any:
    from hydra import compose, initialize_config_module

    with initialize_config_module("conf", version_base="1.3"):
        return compose("config", overrides=list(words))


def _plain(config: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(config, resolve=True)
    return {str(key): value for key, value in plain.items()}


@contextmanager
def _understood(overrides: Sequence[str]) -> Iterator[None]:
    """Turn what Hydra throws at wrong words into one line."""
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    for given in overrides:
        if "=" not in given:
            raise InputError(f"{given!r} is not an override; write key=value, for instance cluster.nodes=27")
    try:
        yield
    except OverrideParseException as error:
        raise InputError(
            f"{error.override}: this value cannot be read; put quotes around it, as in key=\"'value'\""
        ) from None
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_one_line(str(error))) from None
    except ValueError as error:  # Hydra's, for a group whose value is no name, such as `cluster=3`
        raise InputError(f"{' '.join(overrides)}: {_one_line(str(error))}") from None


def _one_line(message: str) -> str:
    """Hydra's first telling line; its hints about `+` and tracebacks do not help here."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    told = [
        line for line in lines if not line.startswith(("See https", "Set the env", "full_key", "object_type"))
    ]
    text = " ".join(told[:3])
    missing = re.search(r"Could not override '([^']+)'", text)
    if missing:
        return f"{missing.group(1)}: there is no such setting"
    listed = " ".join(told).partition("Config search path")[0]
    absent = re.search(r"Could not find '([^']+)' Available options in '([^']+)':\s*(.*)", listed)
    if absent:
        options = ", ".join(absent.group(3).split())
        return f"{absent.group(1).replace('/', '=', 1)}: there is no such option; use one of {options}"
    return text
