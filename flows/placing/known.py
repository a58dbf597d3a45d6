"""Tables and trained weights that verbs place with, from the memo: found, or made."""

from collections.abc import Callable
from typing import Any

from flows.engine.memo import Memo
from flows.placing.tables import fitted_in
from metis.errors import InputError
from metis.problem.tables import Tables
from metis.simulate.simulator import FittedSimulator


def known_simulator(memo: Memo) -> FittedSimulator:
    """Return the simulator under the settings of the memo.

    Raises:
        InputError: they need a profile of a live cluster that was not measured; says how to.
    """
    if not memo.affordable("simulator"):
        raise InputError(
            "no profile was measured under these settings: `metis run stages=[profile]` with them measures "
            "one, `metis status` says what differs, and profile=file profile.path=FILE gives one"
        )
    return fitted_in(memo.obtain("simulator").folder)


def known_tables(memo: Memo) -> Tables:
    """Return the tables of `known_simulator`."""
    return known_simulator(memo).tables


def known_weights(memo: Memo, tables: Tables) -> Callable[[str], Any]:
    """Return a function from the name of a learner to its trained weights."""

    def weights(learner: str) -> Any:
        from flows.placing.training import load_weights

        folder = memo.obtain(f"subscheduler/{learner}").folder
        return load_weights(memo.settings, learner, tables, folder / "weights.npz")

    return weights
