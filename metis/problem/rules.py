"""The operator's rules: what may share a node, which nodes an application may use, how far it is spread."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from metis.errors import InputError
from metis.inputs.names import meant
from metis.problem.counts import IntArray
from metis.problem.space import ColocationSpace
from metis.settings import NONE_IS_EMPTY, settings
from metis.wording import typed

Most = tuple[str, str, Annotated[int, Ge(0)]]
KINDS = ("never_together", "at_most", "only_beside", "most_beside", "eligible", "spread")


@settings("rules")
class RuleSet:
    """Rules of every kind; a container that would have to go for a rule to be kept counts as one violation.

    Attributes:
        never_together: pairs of applications that may not share a node, such as [[Redis, YCSB-A]].
        at_most: containers of an application that one node may hold, such as {ISR: 2}.
        only_beside: application -> applications of which at least one must be on the same node, such as
            {MMS: [Redis]}.
        most_beside: rows of [application, other, most]: where the application is, at most so many of
            the other may be.
        eligible: application -> node types, labels or nodes that it may use, such as {ISR: [gpu]}.
        spread: application -> fault domain -> how many of its containers one such domain may hold; below 1
            a share of them, such as {web: {zone: 0.5, rack: 2}}.
    """

    never_together: tuple[tuple[str, str], ...] = ()
    at_most: Annotated[Mapping[str, Annotated[int, Ge(0)]], NONE_IS_EMPTY] = field(default_factory=dict)
    only_beside: Annotated[Mapping[str, tuple[str, ...]], NONE_IS_EMPTY] = field(default_factory=dict)
    most_beside: tuple[Most, ...] = ()
    eligible: Annotated[Mapping[str, tuple[str, ...]], NONE_IS_EMPTY] = field(default_factory=dict)
    spread: Annotated[Mapping[str, Mapping[str, Annotated[float, Gt(0)]]], NONE_IS_EMPTY] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        for app, names in self.eligible.items():
            if not names:
                raise InputError(f"rules.eligible.{app} []: name a node type, a label or a node")
        for app, domains in self.spread.items():
            for domain, most in domains.items():
                if most > 1 and most != round(most):
                    raise InputError(
                        f"rules.spread.{app}.{domain} {most:g}: give a number of containers, or a share "
                        "below 1"
                    )

    @property
    def of_nodes(self) -> bool:
        """Whether a rule speaks of single nodes or fault domains, so that not all nodes are alike."""
        return bool(self.eligible or self.spread)

    def violations(self, counts: IntArray, space: ColocationSpace) -> IntArray:
        """Return how many containers of each of `counts` [n, apps] break a rule of one node, int [n].

        Raises:
            InputError: a rule names an unknown application.
        """
        found = np.zeros(len(counts), dtype=np.int64)
        for a, b in self.never_together:
            of_a, of_b = counts[:, _column(a, space)], counts[:, _column(b, space)]
            found += np.maximum(of_a - 1, 0) if a == b else np.minimum(of_a, of_b)
        for app, most in self.at_most.items():
            found += np.maximum(counts[:, _column(app, space)] - most, 0)
        for app, other, most in self.most_beside:
            there = counts[:, _column(app, space)] > 0
            found += np.where(there, np.maximum(counts[:, _column(other, space)] - most, 0), 0)
        for app, hosts in self.only_beside.items():
            beside = counts[:, [_column(host, space) for host in hosts]].any(axis=1)
            found += np.where(beside, 0, counts[:, _column(app, space)])
        return found

    @property
    def overrides(self) -> list[str]:
        """These rules as they are typed."""
        return self.typed()

    def typed(self) -> list[str]:
        """Return the rules of this set as they are typed."""
        given = [f"rules.never_together=[[{a},{b}]]" for a, b in self.never_together]
        given += [f"rules.at_most.{app}={most}" for app, most in self.at_most.items()]
        given += [f"rules.only_beside.{app}=[{','.join(hosts)}]" for app, hosts in self.only_beside.items()]
        given += [f"rules.most_beside=[[{app},{other},{most}]]" for app, other, most in self.most_beside]
        given += [f"rules.eligible.{app}=[{','.join(names)}]" for app, names in self.eligible.items()]
        for app, domains in self.spread.items():
            given += [f"rules.spread.{app}.{domain}={most:g}" for domain, most in domains.items()]
        return given


@settings("rules.soft")
class SoftRules(RuleSet):
    """Rules that may be broken, at a price or for a share of the containers.

    Attributes:
        penalty: what a violation takes from the objective, in the RPS of one container: 0.2 as much as a
            container that falls by a fifth of what it reaches alone.
        share: of all containers that may be where `eligible` of this entry does not let them, at no price.
    """

    penalty: Annotated[float, Gt(0), Le(1e6)] | None = None
    share: Annotated[float, Ge(0), Le(1)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.penalty is None) == (self.share is None):
            raise InputError("rules.soft: give each entry a penalty, or a share that may be broken")
        others = [name for name in KINDS if name != "eligible" and getattr(self, name)]
        if self.share is not None and others:
            raise InputError(f"rules.soft: a share goes with eligible only; give {others[0]} a penalty")
        if any("node" in domains for domains in self.spread.values()):
            raise InputError("rules.soft: of one node a limit is at_most, not spread")
        if not any(getattr(self, name) for name in KINDS):
            raise InputError("rules.soft: an entry holds no rule")


@settings("rules")
class Rules(RuleSet):
    """Hard rules, which bind every node that receives a container; and soft ones.

    Attributes:
        soft: rules that may be broken, each entry with a `penalty` or a `share`, such as
            [{never_together: [[web, batch]], penalty: 0.1}, {eligible: {ISR: [gpu]}, share: 0.05}].
    """

    soft: tuple[SoftRules, ...] = ()

    def parts(self) -> "list[Rules]":
        """These hard rules one by one, each as rules of their own; shares of soft ones bind, too."""
        found = [
            *(Rules(never_together=(pair,)) for pair in self.never_together),
            *(Rules(at_most={app: most}) for app, most in self.at_most.items()),
            *(Rules(only_beside={app: hosts}) for app, hosts in self.only_beside.items()),
            *(Rules(most_beside=(row,)) for row in self.most_beside),
            *(Rules(eligible={app: names}) for app, names in self.eligible.items()),
        ]
        for app, domains in self.spread.items():
            found += [Rules(spread={app: {domain: most}}) for domain, most in domains.items()]
        return found + [Rules(soft=(soft,)) for soft in self.soft if soft.share is not None]

    @classmethod
    def joined(cls, parts: "Sequence[Rules]") -> "Rules":
        """Rules of which each holds that one of `parts` does; see `parts`."""
        spread: dict[str, dict[str, float]] = {}
        for part in parts:
            for app, domains in part.spread.items():
                spread.setdefault(app, {}).update(domains)
        return cls(
            never_together=tuple(pair for part in parts for pair in part.never_together),
            at_most={app: most for part in parts for app, most in part.at_most.items()},
            only_beside={app: hosts for part in parts for app, hosts in part.only_beside.items()},
            most_beside=tuple(row for part in parts for row in part.most_beside),
            eligible={app: names for part in parts for app, names in part.eligible.items()},
            spread=spread,
            soft=tuple(soft for part in parts for soft in part.soft),
        )

    @property
    def overrides(self) -> list[str]:
        """These rules as they are typed."""
        soft = [
            f"a share of {one.share:g} in {' and '.join(one.overrides)}"
            for one in self.soft
            if one.share is not None
        ]
        return [*self.typed(), *soft]

    @property
    def wider(self) -> bool:
        """Whether there is a rule that a mask over co-locations cannot hold."""
        return self.of_nodes or bool(self.soft)

    def mask(self, space: ColocationSpace) -> NDArray[np.bool_]:
        """The co-locations that the hard rules admit, bool [space.size].

        Raises:
            InputError: a rule names an unknown application.
        """
        return self.admits(space.counts, space)

    def admits(self, counts: IntArray, space: ColocationSpace) -> NDArray[np.bool_]:
        """Whether the hard rules admit each of `counts` [n, apps], co-locations of `space`, bool [n].

        Raises:
            InputError: see `mask`.
        """
        self.check(space)
        return np.asarray(self.violations(counts, space) == 0)

    def penalties(self, counts: IntArray, space: ColocationSpace) -> NDArray[np.float64]:
        """Return what `counts` [n, apps] cost by soft rules of one node, in the RPS of a container, [n]."""
        found = np.zeros(len(counts))
        for rules in self.soft:
            if rules.penalty is not None:
                found += rules.penalty * rules.violations(counts, space)
        return found

    def check(self, space: ColocationSpace) -> None:
        """Refuse rules of unknown applications, of a negative number, or of no other application.

        Raises:
            InputError: names the rule and the value.
        """
        for rules in (self, *self.soft):
            for app, most in rules.at_most.items():
                if most < 0:
                    raise InputError(f"rules.at_most.{app} {most}: give 0 or more")
            for app, hosts in rules.only_beside.items():
                if not hosts or app in hosts:
                    raise InputError(
                        f"rules.only_beside.{app} {typed(hosts)}: name one or more other applications"
                    )
            named = [app for pair in rules.never_together for app in pair]
            named += [app for row in rules.most_beside for app in row[:2]]
            named += [app for hosts in rules.only_beside.values() for app in hosts]
            for app in (*named, *rules.at_most, *rules.only_beside, *rules.eligible, *rules.spread):
                _column(app, space)


def placing_order(space: ColocationSpace, allowed: NDArray[np.bool_]) -> list[int]:
    """Order applications so that each can be added, one container at a time, beside those before it.

    An application that may stand alone comes first; one that may only stand beside others comes after
    them. Applications that only a joint step could place come last, in the given order.
    """
    apps = len(space.apps)
    ordered: list[int] = []
    while len(ordered) < apps:
        others = [a for a in range(apps) if a not in ordered]
        reachable = allowed & ~(np.delete(space.counts, ordered, axis=1) > 0).any(axis=1)
        after = space.plus[reachable]
        ready = [a for a in others if (allowed[after[:, a]] & (after[:, a] >= 0)).any()]
        ordered += ready or others
    return ordered


def _column(app: str, space: ColocationSpace) -> int:
    if app not in space.apps:
        raise InputError(f"rules name the unknown application {app!r}: {meant(app, space.apps)}")
    return space.apps.index(app)
