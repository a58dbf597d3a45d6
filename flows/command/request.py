"""A verb and what was typed after it: words, overrides, settings; those without effect are refused."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from flows.command.result import Result
from flows.configuration.settings import Settings
from flows.engine.console import progress_bar
from flows.engine.secrets import masked_command
from flows.engine.work import Progress
from metis.errors import InputError

ALWAYS = ("output", "tracking", "seed")
EVERY = ("*",)
# what single verbs read, which have no effect where the whole chain is meant
OF_ONE_VERB = (
    *("out", "format", "force", "why", "why_not", "seconds", "load_cost", "gc", "runs"),
    *("apply", "rebalance.guard", "rebalance.repeats", "rebalance.failures", "rebalance.back"),
)
KEY = re.compile(r"^[+~]*[A-Za-z_][\w./@-]*=")  # what an override begins with
FLAGS = {"--dry-run": "dry_run=true"}
# what an operator says of his cluster and its applications: the same words fit all verbs that work on it,
# also one that has no use for some of them
SITE = (
    *("cluster", "apps", "profile", "demand", "testbed", "simulator", "objective", "rules"),
    *("connect", "images", "launch", "load"),
)
# groups of conf/ that set budgets of the paper's learners, and what their schedulers declare
VARIANTS = {"highlevel": {"highlevel", "vanilla_rl", "divide_conquer"}, "subscheduler": {"paper"}}
DERIVED = {"simulator": ("objective",)}  # settings that stages read as a value derived from them


@dataclass(frozen=True)
class Request:
    """A verb with what was typed after it.

    Attributes:
        verb: its name.
        words: what stands before the overrides, for instance `up` of `metis lab up`.
        overrides: `key=value` words.
        settings: composed of them.
    """

    verb: str
    words: tuple[str, ...]
    overrides: tuple[str, ...]
    settings: Settings

    @property
    def command(self) -> str:
        """The command as it was typed, but for secrets: typed again, it goes on where it stopped."""
        return masked_command(["metis", self.verb, *self.words, *self.overrides])

    def typed(self, key: str) -> bool:
        """Whether the user gave a setting a value of his own."""
        return any(word.partition("=")[0].lstrip("+") == key for word in self.overrides)

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Show progress on standard error within the block."""
        with progress_bar() as progress:
            yield progress


@dataclass(frozen=True)
class Verb:
    """A verb of the command.

    Attributes:
        run: does it.
        settings: dotted names of what it reads itself; `EVERY` for all.
        stages: whose output it may ask for: it reads what these read, too.
        site: whether it works on the operator's cluster, and so accepts all of `SITE`.
        words: how many words may stand before the overrides.
        implied: overrides that need not be typed, unless the same key is.
        unparsed: does it with the bare words and returns the exit code, or None where `run` is to do it.
        lasting: whether it goes on until it is interrupted, and then needs a while to end.
        unread: settings that it does not read although it reads `EVERY` other.
        one_group: whether it places one group, so that it matters seldom how many are drawn.
    """

    run: Callable[[Request], Result]
    settings: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    site: bool = False
    words: int = 0
    implied: tuple[str, ...] = ()
    unparsed: Callable[[Sequence[str]], int | None] | None = None
    lasting: bool = False
    unread: tuple[str, ...] = ()
    one_group: bool = False


def request_of(name: str, verb: Verb, given: Sequence[str]) -> Request:
    """Return the request that the words after a verb make.

    Raises:
        InputError: a word is not understood, or has no effect for this verb; says which.
    """
    from flows.configuration.compose import compose_plain, settings_of

    typed = [FLAGS.get(word, word) for word in given]
    words: list[str] = []
    while typed and len(words) < verb.words and _is_bare(typed[0]):
        words.append(typed.pop(0))
    keys = {word.partition("=")[0].lstrip("+") for word in typed}
    implied = [word for word in verb.implied if word.partition("=")[0] not in keys]
    for word in typed:
        if word.lstrip("+~").startswith("hydra"):
            raise InputError(f"{word.partition('=')[0]}: has no effect but in a sweep, `metis run -m`")
    settings = settings_of(typed, compose_plain([*implied, *typed]))
    refuse_without_effect(name, verb, typed, settings)
    if name in ("run", "compare", "place", "trial"):
        refuse_unused_variant(typed, settings)
    return Request(name, tuple(words), tuple(typed), settings)


def _is_bare(word: str) -> bool:
    """Whether a word is no override and no flag; names of files may hold an equals sign, too."""
    if "=" in word:
        return Path(word).exists() or not KEY.match(word)
    return word[:1] not in ("-", "~")


def refuse_without_effect(name: str, verb: Verb, overrides: Sequence[str], settings: Settings) -> None:
    """Refuse overrides that would be accepted and change nothing.

    Raises:
        InputError: names the override and the verb.
    """
    from flows.configuration.compose import is_choice
    from flows.configuration.settings import known_keys, section_names

    reads = read_by(verb, settings)
    accepted = [*ALWAYS, *reads, *(SITE if verb.site else ())]
    if verb.site and settings.profile.kind == "explore":
        accepted.append("explore")
    for word in overrides:
        key = word.partition("=")[0].lstrip("+~")
        known = key in known_keys() or key.partition(".")[0] in section_names() or key.startswith("objective")
        if key in verb.unread or key.partition(".")[0] in verb.unread:
            raise InputError(f"{key}: has no effect for `metis {name}`")
        if verb.one_group and key == "groups.count" and not _counts_groups(name, settings):
            raise InputError(f"{key}: has no effect for `metis {name}`, which places one group")
        if reads == EVERY or not known or (is_choice(word) and _is_global(key)):
            continue
        if not any(_touches(key, one) for one in accepted):
            raise InputError(f"{key}: has no effect for `metis {name}`{_chosen(verb, settings, key)}")


def _counts_groups(name: str, settings: Settings) -> bool:
    """Whether the number of groups changes what a verb that places one of them does.

    Skewed shares are drawn for all groups before the first; a live cluster, and a testbed with `demand=run`,
    is explored for all of them; and a trial with counts finds what a run with so many groups placed.
    """
    explored = settings.cluster.live or settings.demand.kind == "run"
    found = name == "trial" and settings.group.counts is not None
    return settings.groups.count == 1 or settings.groups.skewed or explored or found


def refuse_unused_variant(overrides: Sequence[str], settings: Settings) -> None:
    """Refuse a variant of the learners' budgets that none of the chosen schedulers reads.

    Raises:
        InputError: names the variant and the schedulers that would read it.
    """
    from baselines.registry import SCHEDULERS, learner_of, sections_of

    for word in overrides:
        group, _, variant = word.lstrip("+").partition("=")
        wanted = VARIANTS.get(group)
        if wanted is None or variant == "ours":
            continue
        readers = [name for name in SCHEDULERS if wanted & {*sections_of(name), learner_of(name)}]
        placing = {name.partition("+")[0] for name in (*settings.schedulers, settings.scheduler)}
        if not placing & set(readers):
            raise InputError(f"{word}: no scheduler of this run reads it; add {' or '.join(readers)}")


def _chosen(verb: Verb, settings: Settings, key: str) -> str:
    """Return the schedulers of the command in words, where others would read `key`."""
    from baselines.registry import IMPROVERS, SCHEDULERS

    every = replace(settings, schedulers=(*SCHEDULERS, *(f"greedy+{name}" for name in IMPROVERS)))
    placing = replace(verb, settings=tuple(name for name in verb.settings if name != "scheduler"))
    if not any(_touches(key, one) for one in read_by(placing, every)):
        return ""
    one = "scheduler" in verb.settings
    return f" with scheduler={settings.scheduler}" if one else f" with {', '.join(settings.schedulers)}"


def read_by(verb: Verb, settings: Settings) -> tuple[str, ...]:
    """Return the dotted names of all settings that a verb reads, by itself or through its stages."""
    from flows.stages.chain import STAGES

    if verb.settings == EVERY:
        return EVERY
    if "scheduler" in verb.settings:
        settings = replace(settings, schedulers=(settings.scheduler,))
    found = list(verb.settings)
    for name in _with_inputs(verb.stages, settings):
        stage = STAGES[name]
        for part in stage.parts(settings) if stage.parts else ("",):
            step = stage.step(settings, part)
            found += (*step.declared, *step.unkeyed)
        found += DERIVED.get(name, ())
    return tuple(dict.fromkeys(found))


def _with_inputs(stages: Sequence[str], settings: Settings) -> list[str]:
    from flows.stages.chain import CHAIN, STAGES

    needed: set[str] = set()
    waiting = list(stages)
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        stage = STAGES[name]
        # a stage that the chain leaves out is asked for by name; one for schedulers may have none to place
        for step in stage.steps(settings) or ([] if stage.parts else [stage.step(settings, "")]):
            waiting += [one.partition("/")[0] for one in (*step.inputs, *step.after)]
    return [stage.name for stage in CHAIN if stage.name in needed]


def _touches(key: str, read: str) -> bool:
    return key == read or key.startswith(f"{read}.") or read.startswith(f"{key}.")


def _is_global(key: str) -> bool:
    """Whether a group of `conf/` sets several sections, so that part of it may have no effect for a verb."""
    return key in ("experiment", "size", "cluster", "group", "subscheduler", "highlevel", "profile", "apps")
