"""Tables and trained weights that verbs place with, from the memo: found, or made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.engine.memo import Memo
from flows.placing.tables import known_in, tables_in
from metis.errors import InputError
from metis.problem.oracle import Oracle
from metis.problem.tables import Tables


def known_tables(memo: Memo) -> Tables:
    """Return the simulator's tables under the settings of the memo.

    Raises:
        InputError: see `known_simulator`, or co-locations are too many to tabulate.
    """
    return tables_in(simulator_folder(memo))


def known_simulator(memo: Memo) -> Tables | Oracle:
    """Return what the simulator knows under the settings of the memo: tables, or an oracle.

    Raises:
        InputError: see `simulator_folder`.
    """
    return known_in(simulator_folder(memo))


def simulator_folder(memo: Memo) -> Path:
    """Return the output of stage simulator under the settings of the memo.

    Raises:
        InputError: it needs a profile of a live cluster that was not measured; says how to.
    """
    if not memo.affordable("simulator"):
        raise InputError(
            "no profile was measured under these settings: `metis run stages=[profile]` with them measures "
            "one, `metis status` says what differs, and profile=file profile.path=FILE gives one"
        )
    return memo.obtain("simulator").folder


def known_weights(memo: Memo, tables: Tables) -> Callable[[str], Any]:
    """Return a function from the name of a learner to its trained weights."""

    def weights(learner: str) -> Any:
        from flows.placing.training import load_weights

        folder = memo.obtain(f"subscheduler/{learner}").folder
        return load_weights(memo.settings, learner, tables, folder / "weights.npz")

    return weights
