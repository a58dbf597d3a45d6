"""Rules that contradict one another: the fewest of them that no placement of a group satisfies."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.rules import Rules


def check_rules(group: IntArray, cluster: Cluster) -> None:
    """Refuse rules under which a group cannot be placed, not even in fractions.

    A large space, of which no table exists, is left to the schedulers.

    Args:
        group: containers to place, int [apps], no more than there are free slots.
        cluster: nodes, existing containers, rules.

    Raises:
        InputError: names the fewest rules that contradict one another for this group.
    """
    parts = cluster.rules.parts()
    if not parts or not cluster.space.tabulated or _placeable(group, cluster, parts):
        return
    left = fewest(parts, lambda some: not _placeable(group, cluster, some))
    words = Rules.joined(left).overrides
    together = "" if len(left) == 1 else ", which contradict one another for this group"
    raise InputError(
        f"no placement satisfies the rules: {int(group.sum())} containers on {cluster.nodes} nodes of "
        f"{cluster.space.slots} slots leave no room for {' and '.join(words)}{together}; leave one "
        "out, or give more nodes"
    )


def fewest(parts: Sequence[Rules], contradict: Callable[[Sequence[Rules]], bool]) -> list[Rules]:
    """Return some of `parts` that contradict, and would not with any one of them left out.

    Args:
        parts: that contradict together.
        contradict: whether some of them do; leaving one out never makes others contradict.
    """
    left, size = list(parts), len(parts)
    while size:
        start = 0
        while start < len(left):
            without = left[:start] + left[start + size :]
            if without and contradict(without):
                left = without
            else:
                start += size
        size //= 2
    return left


def _placeable(group: IntArray, cluster: Cluster, parts: Sequence[Rules]) -> bool:
    from metis.program.relaxation import relax  # with scipy, which a group without rules does not need

    rules = Rules.joined(parts)
    under = replace(cluster, rules=rules, allowed=rules.mask(cluster.space))
    try:
        relax(np.zeros(cluster.space.size), group, under)
    except InputError:
        return False
    return True
