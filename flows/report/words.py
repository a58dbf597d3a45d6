"""Sentences and numbers of the page: what a reader should take away."""

from collections.abc import Callable
from itertools import takewhile

import numpy as np
import pandas as pd

from flows.report.data import (
    BOUND_KIND,
    OPTIMUM,
    SPREAD,
    limit_of,
    prediction_differs,
    ranked_by,
    ranking,
    summarise,
    truth_known,
    value_is_rps,
)
from flows.report.intervals import (
    ALONE,
    TIE,
    Interval,
    drawn_columns,
    interval,
    lead,
    predicted,
    predicted_lead,
)
from metis.wording import amount

NOTHING = "\N{EN DASH}"
Show = Callable[[float], str]
NEGLIGIBLE = 0.0005  # a predicted gap below 0.05 % is not worth a number
RPS = {"true": "true_rps", "predicted": "rps"}
SWARM = ", which is what Docker Swarm does by itself,"


def number(value: float, digits: int = 3) -> str:
    """`value` with so many digits after the point; a dash where unknown."""
    return f"{value:.{digits}f}" if np.isfinite(value) else NOTHING


def percent(share: float) -> str:
    """A share in per cent: one digit after the point, two where little is left to 0 or 100 %."""
    if not np.isfinite(share):
        return NOTHING
    shown = abs(share) * 100
    if min(shown, abs(shown - 100)) < 1e-7:
        return f"{share * 100:.0f} %"
    return f"{share * 100:.{2 if shown < 1 or 99 <= shown < 100 else 1}f} %"


def duration(seconds: float, *, exact: bool = False) -> str:
    """Seconds in the unit a person would choose; two digits or the whole number, unless `exact`."""
    if not np.isfinite(seconds):
        return NOTHING
    for limit, factor, unit in (
        (0.9995e-3, 1e6, "µs"),
        (0.9995, 1e3, "ms"),
        (59.95, 1, "s"),
        (3597, 1 / 60, "min"),
    ):
        if seconds < limit:
            shown = seconds * factor
            return f"{shown:.3g} {unit}" if exact else f"{shown:.{1 if shown < 9.95 else 0}f} {unit}"
    return f"{seconds / 3600:,.1f} h"


def plus_minus(found: Interval, *, signed: bool = False) -> str:
    """A share in per cent with the half width of its interval: `98.7 ± 0.2 %`; `?` where there is none."""
    if not np.isfinite(found.mean):
        return NOTHING
    digits = 1 if found.half >= 0.01 else 2
    sign = "+" if signed else ""
    half = f"{found.half * 100:.{digits}f}" if np.isfinite(found.half) else "?"
    return f"{found.mean * 100:{sign}.{digits}f} ± {half} %"


def headline(results: pd.DataFrame) -> list[str]:
    """The page in a few sentences: who is best, by how much, how far from the optimum, how fast.

    By truth where the testbed knows it, with the intervals over groups that say what is a tie.
    """
    summary = summarise(results).set_index("scheduler")
    rivals = [str(name) for name in summary.index if name != OPTIMUM]
    if not rivals:
        return [
            f"Only {_own_optimum(results)} ran: {_reached(results, OPTIMUM)}.",
            *_distance(results, OPTIMUM),
        ]
    best = rivals[0]
    sentences = [_lead(results, rivals), *_distance(results, best)]
    seconds = float(summary["seconds_mean"][best])
    if np.isfinite(seconds):
        sentences.append(
            f"A decision takes {'it' if len(rivals) == 1 else best} {duration(seconds)} on average."
        )
    return sentences + _prediction(results, best) + simulator_error(results) + _incomplete(summary)


def _own_optimum(results: pd.DataFrame) -> str:
    """The scheduler `optimum` in words."""
    read = truth_known(results) and not prediction_differs(results)
    return "the optimum" if read else "the optimum of the simulator"


def _reached(results: pd.DataFrame, name: str) -> str:
    """What a scheduler reaches: `a true mean RPS of 1.204`, or the value of another objective."""
    how = "true" if truth_known(results) else "predicted"
    mine = results[results["scheduler"] == name]
    worth, rps = (number(float(mine[c].mean())) for c in (ranked_by(results), RPS[how]))
    if value_is_rps(results):
        return f"a {how} mean RPS of {rps}"
    return f"a {how} objective value of {worth} (RPS {rps})"


def _lead(results: pd.DataFrame, rivals: list[str]) -> str:
    best, column = rivals[0], ranked_by(results)
    own = f"{best}{SWARM if best == SPREAD else ''}"
    if len(rivals) == 1:
        beside = f" beside {_own_optimum(results)}" if OPTIMUM in set(results["scheduler"]) else ""
        return f"{own} is the only scheduler that ran{beside}: {_reached(results, best)}."
    leads = {name: lead(results, best, name, column) for name in rivals[1:]}
    tied = list(takewhile(lambda name: leads[name].holds(0), rivals[1:]))
    behind = [name for name in rivals[1:] if name not in tied]
    compared = [*behind[:1], *([SPREAD] if SPREAD in behind[1:] else [])]
    clauses = [_ahead(name, leads[name], first=name == behind[0]) for name in compared]
    ahead = f", {' and '.join(clauses)}" if clauses else ""
    if not tied:
        start = (
            f"{own} places best"
            if results["group"].nunique() > 1
            else f"{own} leads on the one group there is"
        )
        return f"{start}: {_reached(results, best)}{ahead}."
    by = f"{plus_minus(leads[tied[0]], signed=True)} over {amount(leads[tied[0]].groups, 'group')}"
    if len(tied) > 1:
        by = "the 95 % intervals of the differences hold 0"
    return (
        f"{_listed([own, *tied])} tie for the best ({by}): {best} reaches {_reached(results, best)}{ahead}."
    )


def _ahead(other: str, found: Interval, *, first: bool) -> str:
    """How far behind another scheduler is: `7.1 ± 0.4 % more than the next (greedy)`."""
    named = f"{other}{SWARM.rstrip(',')}" if other == SPREAD else f"the next ({other})" if first else other
    if not found.groups:
        return f"on other groups than {named}, or by no share of it"
    alone = f" ({ALONE})" if found.verdict() == ALONE else ""
    if found.holds(0):
        return f"a tie with {named} ({plus_minus(found, signed=True)})"
    if not found.mean:
        return f"level with {named}{alone}"
    size = Interval(abs(found.mean), found.half, found.groups)
    shown = percent(size.mean) if alone else plus_minus(size)
    return f"{shown} {'more' if found.mean > 0 else 'less'} than {named}{alone}"


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _distance(results: pd.DataFrame, name: str) -> list[str]:
    """How far a scheduler is from the optimum: the true one where it is known."""
    mine = results[results["scheduler"] == name]
    if truth_known(results) and mine["true_ratio"].notna().any():
        reached = interval(mine["true_ratio"])
        said = f"{name} reaches {plus_minus(reached)} of the {limit_of(results)}, {_passed(results)}"
        verdict = reached.verdict(1.0)
        return [f"{said}: a tie with it." if verdict == TIE else f"{said}{f' ({ALONE})' if verdict else ''}."]
    missed = interval(mine["gap"])
    if not np.isfinite(missed.mean):
        return []
    limit = f"the {limit_of(results)}"
    if BOUND_KIND not in results and OPTIMUM not in set(results["scheduler"]):
        limit = "the proven bound"
    if missed.mean < NEGLIGIBLE:
        return [f"It is predicted to reach {limit}: no placement can be better there by as much as 0.05 %."]
    alone = f" ({ALONE})" if missed.groups == 1 else ""
    shown = percent(missed.mean) if alone else plus_minus(missed)
    return [f"It stays {shown} below {limit}, {_passed(results)}{alone}."]


def _passed(results: pd.DataFrame) -> str:
    """Whether a placement can be better than the limit."""
    estimated = limit_of(results).startswith("estimated")
    return "which a placement may pass" if estimated else "which no placement can pass"


def _prediction(results: pd.DataFrame, best: str) -> list[str]:
    """What the simulator predicted, and what its own optimum is truly worth; or who was not judged."""
    if not truth_known(results):
        judged = int(results["true_rps"].notna().sum()) if "true_rps" in results else 0
        of = f"The testbed judged only {judged} of {len(results)} placements, so all of this is as predicted."
        return [of] if judged else []
    if not prediction_differs(results):
        return ["Schedulers chose by the truth itself: nothing here is predicted."]
    mine = results[results["scheduler"] == best]
    sentences = [
        f"The simulator predicted a mean RPS of {number(float(mine['rps'].mean()))} of its placements."
    ]
    optimum = results[results["scheduler"] == OPTIMUM]
    if len(optimum) and best != OPTIMUM:
        reached = plus_minus(interval(optimum["true_ratio"]))
        against = lead(results, best, OPTIMUM, "true_value")
        compared = "a tie with" if against.holds(0) else "less than" if against.mean > 0 else "more than"
        sentences.append(
            f"The optimum of the simulator, {number(float(optimum['rps'].mean()))} as predicted, is truly "
            f"{number(float(optimum['true_rps'].mean()))}: {reached} of the true optimum, {compared} {best}."
        )
    return sentences


def simulator_error(results: pd.DataFrame) -> list[str]:
    """How wrong the simulator may be about the best scheduler and about its lead over the next one.

    As its belief draws it; nothing of a simulator that does not know its errors.
    """
    names = [str(name) for name in ranking(results) if name != OPTIMUM]
    if not names or not drawn_columns(results):
        return []
    own = predicted(results, names[0])
    said = f"Of {names[0]} the simulator predicts {number(own.mean)} ± {number(own.half)} by its own error"
    if truth_known(results):
        truly = float(results.loc[results["scheduler"] == names[0], "true_value"].mean())
        said += f", and it is truly {number(truly)}"
    if len(names) == 1:
        return [f"{said}."]
    gain = predicted_lead(results, names[0], names[1])
    within = ": a predicted gain within the simulator's error" if gain.holds(0) else ""
    return [f"{said}; over {names[1]} {plus_minus(gain, signed=True)}{within}."]


def _incomplete(summary: pd.DataFrame) -> list[str]:
    """A warning that means over different groups do not compare."""
    most = int(summary["groups"].max())
    fewer = summary.index[summary["groups"] < most]
    if not len(fewer):
        return []
    named = ", ".join(f"{name} ({summary.loc[name, 'groups']})" for name in fewer)
    return [f"Not everyone placed all {most} groups, so means are not over the same ones: {named}."]


def best_rival(results: pd.DataFrame) -> str:
    """The best scheduler but the optimum; the optimum where it is alone."""
    names = [str(name) for name in ranking(results)]
    return next((name for name in names if name != OPTIMUM), names[0])
