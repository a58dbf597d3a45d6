"""Sentences and numbers of the page: what a reader should take away."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from flows.report.data import OPTIMUM, SPREAD, ranking, summarise, value_is_rps

NOTHING = "\N{EN DASH}"
Show = Callable[[float], str]
UNITS = ((0.9995e-3, 1e6, "µs"), (0.9995, 1e3, "ms"), (99.5, 1.0, "s"), (5970.0, 1 / 60, "min"))
TIE = 0.0005  # differences below 0.05 % are not worth a sentence


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


def headline(results: pd.DataFrame) -> list[str]:
    """The page in a few sentences: who is best, by how much, how far from the optimum, how fast."""
    summary = summarise(results).set_index("scheduler")
    rivals = [name for name in summary.index if name != OPTIMUM]
    if not rivals:
        rps = number(summary["rps_mean"].iloc[0])
        return [f"Only the exact optimum ran: its placements reach a mean RPS of {rps}."]
    best, row = rivals[0], summary.loc[rivals[0]]
    sentences = [_lead(results, best, rivals, row)]
    sentences += _distance(results, row)
    if np.isfinite(row["seconds_mean"]):
        sentences.append(f"A decision takes it {duration(float(row['seconds_mean']))} on average.")
    sentences += _truth(results, best)
    return sentences + _incomplete(summary)


def _lead(results: pd.DataFrame, best: str, rivals: list[str], row: Any) -> str:
    what = "a predicted mean RPS" if value_is_rps(results) else "a predicted objective value"
    said = f" (RPS {number(row['rps_mean'])})" if not value_is_rps(results) else ""
    own = ", which is what Docker Swarm does by itself," if best == SPREAD else ""
    start = f"{best}{own} places best: {what} of {number(row['value_mean'])}{said}"
    if len(rivals) == 1:
        beside = " beside the optimum" if OPTIMUM in set(results["scheduler"]) else ""
        reached = f"{what} of {number(row['value_mean'])}{said}"
        return f"{best}{own} is the only scheduler that ran{beside}: {reached}."
    clauses = []
    if rivals[1] != SPREAD:
        clauses.append(f"{_more(results, best, rivals[1])} the next ({rivals[1]})")
    if best != SPREAD and SPREAD in rivals:
        clauses.append(f"{_more(results, best, SPREAD)} {SPREAD}, which is what Docker Swarm does by itself")
    return f"{start}, {' and '.join(clauses)}."


def _more(results: pd.DataFrame, best: str, other: str) -> str:
    """`best` against `other` over the groups both placed, as `3.1 % more than`."""
    values = results.pivot(index="group", columns="scheduler", values="value")[[best, other]].dropna()
    if values.empty:
        return "on other groups than"
    mine, theirs = float(values[best].mean()), float(values[other].mean())
    if theirs <= 0:
        return f"against {number(theirs)} of"
    share = mine / theirs - 1
    if abs(share) < TIE:
        return "level with"
    return f"{percent(abs(share))} {'more' if share > 0 else 'less'} than"


def _distance(results: pd.DataFrame, row: Any) -> list[str]:
    gap = float(row["gap_mean"])
    if not np.isfinite(gap):
        return []
    limit = "the exact optimum" if OPTIMUM in set(results["scheduler"]) else "the proven bound"
    if gap < TIE:
        return [f"It reaches {limit}: no placement can be better by as much as 0.05 %."]
    return [f"It stays {percent(gap)} below {limit}, which no scheduler can pass."]


def _truth(results: pd.DataFrame, best: str) -> list[str]:
    """What the testbed says of the prediction, and whether it would rank another first."""
    if "true_rps" not in results or not results["true_rps"].notna().any():
        return []
    judged = results.dropna(subset=["true_rps"])
    table = judged[judged["scheduler"] != OPTIMUM].pivot(
        index="group", columns="scheduler", values="true_rps"
    )
    if best not in table:
        return [f"The testbed has not judged {best}."]
    mine = judged[judged["scheduler"] == best]
    said = (
        f"On the testbed its placements reach a mean RPS of {number(float(mine['true_rps'].mean()))}"
        f"{_true_share(mine)}; the simulator predicted {number(float(mine['rps'].mean()))}."
    )
    if not value_is_rps(results):  # then a higher RPS is not what was asked for
        return [said]
    shared = table.dropna().mean()
    if len(shared) < 2 or not shared.notna().all() or shared.max() <= shared[best] * (1 + TIE):
        return [said]
    return [f"{said} There {shared.idxmax()} does better, with {number(float(shared.max()))}."]


def _true_share(mine: pd.DataFrame) -> str:
    if "true_ratio" not in mine or not mine["true_ratio"].notna().any():
        return ""
    what = "" if value_is_rps(mine) else "in value "
    return f", {what}{percent(float(mine['true_ratio'].mean()))} of the best possible there"


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
