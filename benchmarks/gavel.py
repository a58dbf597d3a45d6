"""Training jobs on three types of GPU (Gavel's measured pairs): shares of the bound; what types are worth.

    OMP_NUM_THREADS=1 python benchmarks/gavel.py ../shared/instances/gavel_oracle_throughputs.json

A line per seed and scheduler. RPS are shares of what a job does alone on the type where that is most. "v100
for all" and the like place by columns as if the profile of that type held on all nodes, "all together" as if
the median of the three did; nodes are then alike, so which type gets what is drawn: the mean over 20 draws.
All are judged by what each type really does.

    python benchmarks/gavel.py ../shared/instances/gavel_oracle_throughputs.json --left-out 0 15

One type in turn is new: of it so many runs are measured, of the others all. The same jobs on nodes of it
alone are placed by columns on what is then known, and judged by what that type really does, against its
proven bound. `pairs`: drawn so that each job comes about as often. `plans`: by and by what the plan so far
has most of. `transfer`: some jobs alone, then what plans have most of that is unsure, and the simulator
learns how the type deviates from others (`simulator.type_transfer`).
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from baselines.contract import WideMaterials
from baselines.registry import make_wide_scheduler
from metis.inputs.sheet import Sheet
from metis.measure.gavel import SHARING, read_gavel
from metis.measure.profile import Profile, profile_of_sheet
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.groups import draw_groups
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.objectives import MeanRps
from metis.problem.oracle import worth_of
from metis.problem.rules import Rules
from metis.simulate.fitting import fit_simulator
from metis.simulate.settings import SimulatorSettings
from metis.simulate.type_transfer import alone_first, transferred

SCHEDULERS = ("columns", "greedy+local_search", "greedy", "spread")
DEALT = 20
A_ROUND = 5  # measurements between plans
A_STEP = 3  # the same of `transfer`
OPTIMISM = 0.5  # spreads by which it plans on better rates than expected
ALONE_FIRST = 8  # of `transfer`, chosen among 0, 3, 5 and 8 on these very types


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rates", type=Path)
    parser.add_argument("--nodes", type=int, default=36, help="of each type")
    parser.add_argument("--containers", type=int, default=160)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10), help="first, and one beyond the last")
    parser.add_argument("--left-out", type=int, nargs="+", help="measurements of a type that is new")
    parser.add_argument("--doubt", type=float, default=0.1)
    chosen = parser.parse_args()
    if chosen.left_out is not None:
        left_out(chosen)
        return
    profile = profile_of_sheet(read_gavel(chosen.rates))
    truth = table_of(profile)
    ignoring = {f"{name} for all": table_of(one) for name, one in profile.types.items()}
    ignoring["all together"] = replace(truth, by_type={})
    shares = {}
    for seed in range(*chosen.seeds):
        group, cluster = drawn(profile, chosen, seed)
        worth = worth_of(MeanRps(), group, cluster, truth)
        bound = None
        for name, known in [*((one, truth) for one in SCHEDULERS), *ignoring.items()]:
            scheduler = name if known is truth else "columns"
            seen = worth_of(MeanRps(), group, cluster, known)
            decision = make_wide_scheduler(scheduler, WideMaterials({})).place(group, cluster, seen)
            if bound is None:
                bound, kind = decision.trace["bound"], decision.trace["bound_kind"]
                print(f"seed {seed}: {group.sum()} jobs, {cluster.nodes} GPUs, bound {bound:.6f} ({kind})")
            placements = [decision.placement] if known is truth else dealt(decision.placement, seed)
            reached = float(np.mean([value(one, cluster, worth) for one in placements]))
            shares.setdefault(name, []).append(reached / bound)
            print(
                f"  {name:20s} {reached:.6f} {reached / bound:8.3%}  {decision.seconds:6.2f} s, "
                f"{decision.cpu_seconds:6.2f} of CPU",
                flush=True,
            )
    for name, found in shares.items():
        print(f"{name:20s} mean {np.mean(found):8.3%}, worst {min(found):8.3%}")


def left_out(chosen):
    sheet = read_gavel(chosen.rates)
    profile = profile_of_sheet(sheet)
    truth = table_of(profile)
    for name in profile.types:
        shares = {}
        for seed in range(*chosen.seeds):
            group, cluster = drawn(profile, chosen, seed, {name: chosen.nodes * len(profile.types)})
            worth = worth_of(MeanRps(), group, cluster, truth)
            bound = make_wide_scheduler("columns").place(group, cluster, worth).trace["bound"]
            newcomer = NewType(sheet, profile, name, group, cluster, chosen.doubt)
            for budget in chosen.left_out:
                ways = (newcomer.pairs, newcomer.plans, newcomer.transfer)
                for way in ways if budget else ways[:1]:
                    transfer = way == newcomer.transfer
                    placement = newcomer.placed(way(budget, seed), transfer=transfer)
                    reached = value(placement, cluster, worth) / bound
                    shares.setdefault((budget, way.__name__), []).append(reached)
        for (budget, way), found in shares.items():
            mean, worst = np.mean(found), min(found)
            print(f"{name} new, {budget:3d} {way}: mean {mean:7.2%}, worst {worst:7.2%}", flush=True)


@dataclass(frozen=True)
class NewType:
    """A type of which little is measured, and jobs to be placed on it alone."""

    sheet: Sheet
    profile: Profile
    name: str
    group: np.ndarray
    cluster: Cluster
    doubt: float

    def placed(self, measured, doubt=None, transfer=False, optimism=0.0):
        """Place by columns on what is known of other types, and of this one of co-locations `measured`."""
        known = self._known(measured)
        doubt = self.doubt if doubt is None else doubt
        settings = SimulatorSettings(kind="table", type_doubt=doubt, type_transfer=transfer)
        tables = fit_simulator(known, settings).tables
        if optimism and self.name in known.types:
            of, made = tables.by_type[self.name], transferred(known, self.name)
            rps = of.rps.copy()
            rps[known.space.index(known.colocations)] *= np.exp(optimism * np.nan_to_num(made.spreads))
            better = replace(of, quantities={**of.quantities, "rps": rps})
            tables = replace(tables, by_type={**tables.by_type, self.name: better})
        worth = worth_of(MeanRps(), self.group, self.cluster, tables)
        return make_wide_scheduler("columns").place(self.group, self.cluster, worth).placement

    def pairs(self, budget, seed):
        """Draw pairs so that each job comes about as often."""
        rng = np.random.default_rng(seed)
        apps = len(self.profile.apps)
        found = set()
        while len(found) < budget:
            for pair in rng.permutation(apps)[: apps // 2 * 2].reshape(-1, 2):
                if len(found) < budget:
                    found.add(tuple(np.bincount(pair, minlength=apps).tolist()))
        return found

    def transfer(self, budget, seed):
        """Measure alone what says most on the pace of all, then what plans have most of that is unsure."""
        del seed
        known = replace(self.profile, types={k: v for k, v in self.profile.types.items() if k != self.name})
        apps = np.eye(len(known.apps), dtype=int).tolist()
        found = {tuple(apps[a]) for a in alone_first(known, min(ALONE_FIRST, budget))}
        while len(found) < budget:
            rows, nodes = np.unique(self.placed(found, 0.0, True, OPTIMISM), axis=0, return_counts=True)
            unsure = self._unsure(found)
            by_row = {
                tuple(row): n * unsure.get(tuple(row), 0) for row, n in zip(rows.tolist(), nodes, strict=True)
            }
            fresh = [one for one in by_row if any(one) and one not in found]
            if not fresh:
                break
            fresh.sort(key=lambda one: -by_row[one])
            found |= set(fresh[: min(A_STEP, budget - len(found))])
        return found

    def _unsure(self, measured):
        """By how much the rates of a co-location may be off, in shares of the best type, by its counts."""
        known = self._known(measured)
        made = transferred(known, self.name)
        off = np.nansum(made.spreads * made.shares * made.own.pace * known.colocations, axis=1)
        return dict(zip(map(tuple, known.colocations.tolist()), off.tolist(), strict=True))

    def plans(self, budget, seed):
        """Measure, a few at a time, what the plan so far has most of."""
        del seed
        found = set()
        while len(found) < budget:
            rows, nodes = np.unique(self.placed(found, 0.0), axis=0, return_counts=True)
            order = [tuple(rows[i].tolist()) for i in np.argsort(-nodes, kind="stable")]
            fresh = [one for one in order if any(one) and one not in found]
            if not fresh:
                break
            found |= set(fresh[: min(A_ROUND, budget - len(found))])
        return found

    def _known(self, measured):
        """The profile with all of other types, and of this one what was measured."""
        runs = {run for run, counts in self._runs().items() if counts in measured}
        names = zip(self.sheet.texts("type"), self.sheet.texts("run"), strict=True)
        rows = [i for i, (of, run) in enumerate(names) if of != self.name or run in runs]
        return profile_of_sheet(self.sheet.take(rows), apps=self.profile.apps)

    def _runs(self):
        """Return the counts of each run of this type, by its number."""
        counts, apps = {}, self.profile.apps
        columns = (self.sheet.texts(name) for name in ("run", "type", "app", "count"))
        for run, of, app, count in zip(*columns, strict=True):
            if of == self.name:
                counts.setdefault(run, [0] * len(apps))[apps.index(app)] = int(count)
        return {run: tuple(one) for run, one in counts.items()}


def table_of(profile):
    """Every pair as measured."""
    return fit_simulator(profile, SimulatorSettings(kind="table")).tables


def dealt(placement, seed):
    """The same with its nodes dealt to the types at random."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(placement) for _ in range(DEALT)]


def drawn(profile, chosen, seed, nodes=None):
    """A group of random jobs, and nodes by type."""
    group = draw_groups(1, chosen.containers, len(profile.apps), np.random.default_rng(seed))[0]
    counts = nodes or dict.fromkeys(profile.types, chosen.nodes)
    types = tuple(NodeTypeSettings(name, count=count, slots=SHARING) for name, count in counts.items())
    stated = state_problem(types, {}, Rules(), profile.apps, SHARING, (group > 0).astype(np.int64))
    return group, Cluster(profile.space, len(stated.nodes), stated=stated)


if __name__ == "__main__":
    main()
