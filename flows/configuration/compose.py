"""From the words after a verb to plain settings: Hydra composes `conf/` onto the defaults in code."""

import pickle
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

from flows.configuration.settings import (
    Settings,
    defaults,
    known_keys,
    path_keys,
    paths_among,
    text_keys,
    validated,
)
from flows.configuration.shell import refuse_taken_apart
from metis.errors import InputError
from metis.inputs.documents import read_yaml
from metis.settings import A_LIST, give, unknown_key

ALREADY_QUOTED = re.compile(r"""^(".*"|'.*')$""", re.DOTALL)
BASE = "base"  # name under which Hydra finds the defaults in code; first in conf/config.yaml
FLAG = "--config-dir"
MOST_FILES = 1000


def compose_plain(overrides: Sequence[str], *, quoted: bool = False) -> dict[str, Any]:
    """Return the composed configuration as plain values.

    Args:
        overrides: `key=value` words, and `--config-dir DIR` for groups of one's own.
        quoted: whether paths are quoted already.

    Raises:
        InputError: an override is not understood; says which.
    """
    if not quoted:
        refuse_taken_apart(overrides)
    words = with_config_dir(overrides)
    words = words if quoted else [quote_path(word) for word in words]
    return next(compose_jobs([words]))


def settings_of(overrides: Sequence[str], composed: dict[str, Any]) -> Settings:
    """Return the validated settings that overrides compose to.

    Args:
        overrides: `key=value` words that the user typed.
        composed: of them, as `compose_plain` returns it.

    Raises:
        InputError: a value is wrong; or nodes or slots were typed and `cluster.types` have others.
    """
    settings = validated(composed)
    cluster = settings.cluster
    if not cluster.types:
        return settings
    follow = {
        "cluster.nodes": (composed["cluster"]["nodes"], cluster.nodes, "have {} in all"),
        "cluster.slots": (composed["cluster"]["slots"], cluster.slots, "have {} on the largest node"),
    }
    for word in overrides:
        key = word.partition("=")[0].lstrip("+")
        given, there, have = follow.get(key, (None, None, ""))
        if given is not None and given != there:
            raise InputError(
                f"{key}={given}: follows from cluster.types, which {have.format(there)}; leave it out"
            )
    return settings


def compose_jobs(jobs: Iterable[Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Yield the configurations of many jobs, given words with quoted paths.

    Composing reads the files of `conf/`, a fifth of a second: what was chosen before in this process is not
    composed again. Jobs of a sweep mostly differ in values, which need none.

    Raises:
        InputError: an override is not understood; says which.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create()
    parse = cache(lambda word: parser.parse_overrides([word])[0])  # whose errors name the word
    for job in jobs:
        words = [for_hydra(word) for word in job]
        choices = tuple(word for word in words if is_choice(word))
        with _understood(words):
            config = pickle.loads(_composed(choices)[0])  # our own bytes; copying takes ten times as long
            values = [parse(word) for word in words if word not in choices]
            ConfigLoaderImpl._apply_overrides_to_config(values, config)
            yield _checked(_plain(config), choices)


def with_config_dir(words: Sequence[str]) -> list[str]:
    """Return the words with `--config-dir DIR` as Hydra's own override of its search path.

    Raises:
        InputError: the folder is missing or not given, or a file in it cannot be read.
    """
    kept: list[str] = []
    folders: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word == FLAG or word.startswith(f"{FLAG}="):
            folder = word.partition("=")[2] or next(waiting, "")
            if not Path(folder).is_dir():
                raise InputError(f"{FLAG} {folder!r}: give a folder of YAML files, laid out as conf/ is")
            for path in islice(sorted(Path(folder).glob("*/*.yaml")), MOST_FILES):
                read_yaml(path)  # refused here if it is too large, or its aliases expand without end
            folders.append(str(Path(folder).absolute()))
        else:
            kept.append(word)
    if not folders:
        return kept
    listed = ",".join(f"'file://{_quoted(folder)}'" for folder in folders)
    return [f"hydra.searchpath=[{listed}]", *kept]


def quote_path(override: str) -> str:
    """Return an override of a path or free text, quoted for Hydra's grammar; other overrides as they are.

    Hydra refuses bare `=`, `~`, brackets, spaces and letters beyond ASCII in a value, all of which are
    fine in a path; quotes, backslashes before them and `${` are escaped.
    """
    key, equals, value = override.partition("=")
    bare = key.lstrip("+")
    whole = (*path_keys(), *text_keys())
    if not equals or bare not in (*whole, *paths_among()):
        return override
    if bare in whole or not value.startswith("["):
        return f"{key}={_quoted_path(value)}"
    if "[" in value[1:] or not value.endswith("]"):
        return override  # a list of lists: counts, and no paths
    return f"{key}=[{','.join(_quoted_path(one.strip()) for one in value[1:-1].split(','))}]"


def _quoted_path(value: str) -> str:
    if value in ("", "null") or ALREADY_QUOTED.match(value):
        return value
    return f"'{_quoted(value)}'"


def _quoted(value: str) -> str:
    # the grammar reads backslashes as they stand, except right before a quote, `${` or the end
    return re.sub(r"(\\*)('|\$\{|$)", _escape, value)


def _escape(found: re.Match[str]) -> str:
    slashes, special = found.groups()
    return slashes * 2 + ("\\" + special if special else "")


def is_choice(word: str) -> bool:
    """Whether a word chooses a file of a configuration group, and does not set a value."""
    key = word.partition("=")[0].lstrip("+~").partition("@")[0]
    return key.startswith("hydra") or files("conf").joinpath(*key.split("/")).is_dir()


def groups() -> dict[str, list[str]]:
    """Return the configuration groups of `conf/` and their options."""
    return {
        folder.name: sorted(
            f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")
        )
        for folder in sorted(files("conf").iterdir(), key=lambda one: one.name)
        if folder.is_dir() and not folder.name.startswith("_")
    }


def for_hydra(word: str) -> str:
    """Return a word as Hydra takes it.

    `+experiment=quick` is `experiment=quick`: every group stands in the defaults list already. Parameters of
    an objective may be added: its class knows which it has, and names the nearest.
    """
    bare = word.lstrip("+")
    if bare.startswith("objective."):
        return f"++{bare}"
    return bare if word != bare and is_choice(bare) and not bare.startswith("hydra") else word


def store_defaults() -> None:
    """Let Hydra find the defaults of all settings, which stand in code."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    if f"{BASE}.yaml" not in store.repo:
        store.store(name=BASE, node=defaults())


def sweep_part(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return Hydra's mode and the settings of its sweeper, as the experiment among the words chooses them.

    A run composes of the same files, so that composing them here costs it nothing. An experiment that cannot
    be composed chooses none: composing the job itself will say what is wrong.
    """
    from hydra.errors import HydraException

    chosen = tuple(for_hydra(word) for word in words if word.startswith(("experiment=", "+experiment=")))
    try:
        mode, sweeper = _composed(chosen)[1]
    except HydraException:
        return "", {}
    return mode, deepcopy(sweeper)


@lru_cache(maxsize=256)
def _composed(words: tuple[str, ...]) -> tuple[bytes, tuple[str, Any]]:
    """Return what Hydra composes of chosen files, and its own part of it: see `sweep_part`.

    The first is pickled by this very process: each caller changes a copy of its own.
    """
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf, open_dict

    store_defaults()
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", overrides=list(words), return_hydra_config=True)
    sweep = str(config.hydra.mode), OmegaConf.to_container(config.hydra.sweeper, resolve=False)
    with open_dict(config):
        del config["hydra"]
    return pickle.dumps(config), sweep


def _plain(config: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(config, resolve=True)
    return {str(key): value for key, value in plain.items()}


def _checked(composed: dict[str, Any], choices: Sequence[str]) -> dict[str, Any]:
    """Return the composed values; refuse a file of `experiment` and the like whose keys landed below it."""
    sections = {one.name for one in fields(Settings)}
    for word in choices:
        group = word.partition("=")[0].lstrip("+")
        if group in composed and group not in sections:
            raise InputError(f"{word}: its file needs the first line `# @package _global_`, as in conf/")
    return composed


@contextmanager
def _understood(overrides: Sequence[str]) -> Iterator[None]:
    """Turn what Hydra raises about wrong words into one line."""
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    for given in overrides:
        if "=" not in given and not given.startswith("~"):
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


def _unknown_in(key: str, message: str, known: Sequence[str]) -> str:
    """Return the key that does not exist: `profile.a` of `profile={a:1}`, of which Hydra names `profile`."""
    inner = re.findall(r"[{,]\s*([\w-]+)\s*:", message.partition(f"use +{key}=")[2])
    return next((f"{key}.{name}" for name in inner if f"{key}.{name}" not in known), key)


def _one_line(message: str) -> str:
    """Return the first meaningful line of Hydra; its hints about `+` and tracebacks do not help here."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    kept = [
        line for line in lines if not line.startswith(("See https", "Set the env", "full_key", "object_type"))
    ]
    text = " ".join(kept[:3])
    missing = re.search(r"Could not override '([^']+)'", text)
    if missing:
        known = (*known_keys(), *groups())
        return unknown_key(_unknown_in(missing.group(1), text, known), known)
    listed = " ".join(kept).partition("Config search path")[0]
    merged = re.match(r"Error merging override \+*([\w.]+)=(.*)", lines[0]) if lines else None
    if merged:  # the defaults hold a list there
        return f"{merged.group(1)} {merged.group(2)}: {give(A_LIST, Settings, merged.group(1))}"
    kept_away = re.search(r"Could not delete from config. '([^']+)' does not exist", text)
    if kept_away:
        return f"~{kept_away.group(1)}: there is nothing to take away: it is null already, or no setting"
    absent = re.search(r"Could not find '([^']+)' Available options in '([^']+)':\s*(.*)", listed)
    if absent:
        options = [one.rstrip(",") for one in absent.group(3).split()]
        near = get_close_matches(absent.group(1).rpartition("/")[2], options, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        asked = absent.group(1).replace("/", "=", 1)
        return f"{asked}: there is no such option; {hint}use one of {', '.join(options)}"
    return text
