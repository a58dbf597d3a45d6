"""A series of measurements: a list of co-locations on a testbed, saved as it goes."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from metis.measure.journal import Journal, Patience, Wait, load_journal, measure_pending
from metis.measure.testbed import Testbed
from metis.problem.counts import IntArray
from metis.problem.space import ColocationSpace

ENDLESS = 1 << 62  # a list is its own budget


def measure_list(
    testbed: Testbed,
    colocations: IntArray,
    *,
    repeats: int = 1,
    seed: int = 0,
    at_once: int = 1,
    patience: Patience | None = None,
    path: Path | None = None,
    again: bool = False,
    wait: Wait = time.sleep,
    progress: Callable[[Journal], None] = lambda journal: None,
) -> Journal:
    """Measure each co-location `repeats` times, and return the journal of all runs.

    A co-location that fails is tried again, then quarantined with the reason; the rest goes on. Stopped at
    any moment, the same call goes on with what is missing.

    Args:
        testbed: what measures.
        colocations: counts [n, apps], each once.
        repeats: runs of each, in rounds, so that a drift does not fall on one co-location alone.
        seed: of the order and of the measurements.
        at_once: co-locations handed to the testbed in one call.
        patience: how trouble is met.
        path: profile that is kept up to date, with the journal beside it; None to keep nothing.
        again: whether what an earlier call gave up is measured again.
        wait: how to pause, in seconds.
        progress: called with the journal at the start and after every measurement.

    Raises:
        SurroundingsError: the testbed cannot be reached, or the disk not written; what was measured is kept.
        InputError: the testbed refuses the very first co-location.
    """
    space = testbed.space
    order = in_rounds(space, space.index(colocations), repeats, seed)
    key = hashlib.sha256(json.dumps([sorted(order.tolist()), seed]).encode()).hexdigest()
    journal = load_journal(path, space, key)
    given_up = again and bool(journal.quarantined)
    if given_up:
        journal.pardon()
    if given_up or not journal.pending:
        journal.pending = still_missing(journal, order)
    progress(journal)
    measure_pending(
        journal,
        testbed,
        seed=seed,
        at_once=at_once,
        budget=ENDLESS,
        patience=patience or Patience(),
        path=path,
        wait=wait,
        progress=progress,
    )
    return journal


def in_rounds(space: ColocationSpace, ids: IntArray, repeats: int, seed: int) -> IntArray:
    """The order of the runs, as co-location ids, int [repeats * n].

    The stand-alone runs come first, then the others in a random order; every second round is reversed as a
    whole. A steady drift then falls on all of them alike, and stand-alone runs lie on both sides.
    """
    alone = ids[space.totals[ids] == 1]
    others = np.random.default_rng(seed).permutation(ids[space.totals[ids] != 1])
    once = np.concatenate([alone, others])
    return np.concatenate([ids[:0], *(once[:: -1 if number % 2 else 1] for number in range(repeats))])


def still_missing(journal: Journal, order: IntArray) -> list[tuple[int, str]]:
    """The runs of `order` still to be made, with their reasons; quarantined co-locations are left out."""
    made = [run["id"] for run in journal.sound]
    seen: set[int] = set()
    missing = []
    for i in order.tolist():
        if i in made:
            made.remove(i)
        elif i not in journal.quarantined:
            missing.append((i, "repeated" if i in seen else "listed"))
        seen.add(i)
    return missing
