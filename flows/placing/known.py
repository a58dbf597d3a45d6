"""Tables and trained weights that verbs place with, from the memo: found, or made."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flows.engine.console import say
from flows.engine.memo import Memo
from flows.placing.tables import known_in, notes_on, tables_in
from metis.errors import InputError
from metis.problem.oracle import Oracle
from metis.problem.tables import Tables
from metis.simulate.simulator import FittedSimulator


def known_tables(memo: Memo) -> Tables:
    """Return the tables of the simulator under the settings of the memo.

    Raises:
        InputError: see `simulator_folder`, or co-locations are too many to tabulate.
    """
    return tables_in(simulator_folder(memo))


def known_simulator(memo: Memo) -> FittedSimulator | Oracle:
    """Return the simulator under the settings of the memo; an oracle where co-locations are too many.

    Raises:
        InputError: see `simulator_folder`.
    """
    known = known_in(simulator_folder(memo))
    for note in notes_on(known, memo.settings):
        say(note)
    return known


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


def trained(memo: Memo) -> bool:
    """Whether the scheduler of the settings places at once: it needs no training, or that was done."""
    from baselines.registry import learner_of

    learner = learner_of(memo.settings.scheduler, wide=memo.settings.by_oracle)
    return learner is None or memo.find(f"subscheduler/{learner}") is not None


def unmeasured_apps(memo: Memo) -> tuple[str, ...]:
    """Return the applications that the profile under the simulator in use never measured."""
    from metis.measure.profile import never_measured
    from metis.measure.profile_files import load_profile

    record = memo.find("profile")
    return () if record is None else never_measured(load_profile(record.folder / "profile.npz"))


def unmeasured_line(apps: Sequence[str]) -> str:
    """Return what to say where applications that are placed were never measured."""
    return (
        f"never measured: {', '.join(apps)}: what is said of them is the simulator's guess from others alone"
    )


def known_weights(memo: Memo, known: Tables | Oracle) -> Callable[[str], Any]:
    """Return a function from the name of a learner to its trained weights."""

    def weights(learner: str) -> Any:
        from flows.placing.training import load_weights

        folder = memo.obtain(f"subscheduler/{learner}").folder
        return load_weights(memo.settings, learner, known, folder / "weights.npz")

    return weights
