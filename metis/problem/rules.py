"""The operator's hard rules, as a mask over co-locations that every scheduler honours."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from metis.errors import InputError
from metis.problem.counts import IntArray
from metis.problem.space import ColocationSpace
from metis.settings import NONE_IS_EMPTY, settings


@settings("rules")
class Rules:
    """Hard rules; all must hold on a node that receives a container.

    Attributes:
        never_together: pairs of applications that may not share a node, such as [[Redis, YCSB-A]].
        at_most: containers of an application that one node may hold, such as {ISR: 2}.
        only_beside: application -> applications of which at least one must be on the same node, such as
            {MMS: [Redis]}.
    """

    never_together: tuple[tuple[str, str], ...] = ()
    at_most: Annotated[Mapping[str, Annotated[int, Ge(0)]], NONE_IS_EMPTY] = field(default_factory=dict)
    only_beside: Annotated[Mapping[str, tuple[str, ...]], NONE_IS_EMPTY] = field(default_factory=dict)

    def mask(self, space: ColocationSpace) -> NDArray[np.bool_]:
        """The co-locations that these rules admit, bool [space.size].

        Raises:
            InputError: a rule names an unknown application, a negative number, or no other application to
                be beside.
        """
        return self.admits(space.counts, space)

    def admits(self, counts: IntArray, space: ColocationSpace) -> NDArray[np.bool_]:
        """Whether these rules admit each of `counts` [n, apps], co-locations of `space`, bool [n].

        Raises:
            InputError: see `mask`.
        """
        allowed = np.ones(len(counts), dtype=bool)
        for a, b in self.never_together:
            if a == b:
                allowed &= counts[:, _column(a, space)] < 2
            else:
                allowed &= ~((counts[:, _column(a, space)] > 0) & (counts[:, _column(b, space)] > 0))
        for app, most in self.at_most.items():
            if most < 0:
                raise InputError(f"rules.at_most.{app} {most}: give 0 or more")
            allowed &= counts[:, _column(app, space)] <= most
        for app, hosts in self.only_beside.items():
            if not hosts or app in hosts:
                raise InputError(
                    f"rules.only_beside.{app} {list(hosts)}: name one or more other applications"
                )
            beside = counts[:, [_column(host, space) for host in hosts]].any(axis=1)
            allowed &= (counts[:, _column(app, space)] == 0) | beside
        return allowed

    def parts(self) -> "list[Rules]":
        """These rules one by one, each as rules of their own."""
        return [
            *(Rules(never_together=(pair,)) for pair in self.never_together),
            *(Rules(at_most={app: most}) for app, most in self.at_most.items()),
            *(Rules(only_beside={app: hosts}) for app, hosts in self.only_beside.items()),
        ]

    @classmethod
    def joined(cls, parts: "Sequence[Rules]") -> "Rules":
        """Rules of which each holds that one of `parts` does; see `parts`."""
        return cls(
            never_together=tuple(pair for part in parts for pair in part.never_together),
            at_most={app: most for part in parts for app, most in part.at_most.items()},
            only_beside={app: hosts for part in parts for app, hosts in part.only_beside.items()},
        )

    @property
    def overrides(self) -> list[str]:
        """These rules as they are typed."""
        given = [f"rules.never_together=[[{a},{b}]]" for a, b in self.never_together]
        given += [f"rules.at_most.{app}={most}" for app, most in self.at_most.items()]
        given += [f"rules.only_beside.{app}=[{','.join(hosts)}]" for app, hosts in self.only_beside.items()]
        return given


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
        raise InputError(f"rules name the unknown application {app!r}: use {list(space.apps)}")
    return space.apps.index(app)
