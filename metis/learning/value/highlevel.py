"""The high level: deal a group's containers to sub-clusters."""

import numpy as np

from metis.space import IntArray


def deal(group: IntArray, free: IntArray) -> IntArray:
    """Shares of `group` [apps] in proportion to the free slots `free` [parts], int [parts, apps].

    Container by container, application by application, to the parts in a fixed even rotation, so that a
    part's share of every application, and of all, is its quota up to one.
    """
    turn = [(np.arange(slots) + 0.5) / slots for slots in free]
    order = np.argsort(np.concatenate(turn), kind="stable")
    part = np.repeat(np.arange(len(free)), free)[order][: int(group.sum())]
    app = np.repeat(np.arange(len(group)), group)
    shares = np.zeros((len(free), len(group)), dtype=np.int64)
    np.add.at(shares, (part, app), 1)
    return shares
