"""Training of a learner's weights, for one simulator, objective and set of rules."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from flows.configuration.settings import Settings
from flows.engine.executor import executor_of
from flows.engine.work import Progress
from flows.placing.decisions import open_device
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import value
from metis.problem.groups import draw_groups
from metis.problem.objectives import Objective
from metis.problem.oracle import Oracle
from metis.problem.tables import Tables

HELD_OUT = 5  # groups that judge a training as it goes
JUDGED = 5  # how often they do so in a training
JUDGED_WIDE = 2  # the same in a wide space, where placing takes seconds
JUDGE_SECONDS = 5.0  # at most for the optimum of each of them, else the best known
Curve = list[dict[str, float]]


def train_weights(
    settings: Settings, learner: str, known: Tables | Oracle, folder: Path, progress: Progress
) -> tuple[Any, Curve]:
    """Train the weights of `learner`, going on from the checkpoints in `folder`; and its learning curve.

    Args:
        settings: of the run.
        learner: `value`, `paper` or `prices`.
        known: the simulator's tables, or an oracle where co-locations are too many for them.
        folder: where checkpoints are kept.
        progress: called after every step.
    """

    judged = ""

    def report(row: Mapping[str, Any]) -> None:
        nonlocal judged
        done, steps, which = int(row["step"]), int(row["steps"]), ""
        if "models" in row:  # of all load ranges together, so that the time left is that of the whole
            done, steps = row["model"] * steps + done, row["models"] * steps
            which = f", range {row['model'] + 1} of {row['models']}"
        if "ratio" in row:
            judged = f", {row['ratio']:.2%} of the optimum"
        elif "excess" in row:
            judged = f", a bound {row['excess']:.1%} above the best"
        progress(f"training {learner}{row.get('part', '')}", done, steps, judged + which)

    if learner == "prices" or not isinstance(known, Tables):
        return _train_prices(settings, known, folder, report)
    return (_train_value if learner == "value" else _train_paper)(settings, known, folder, report)


def load_weights(settings: Settings, learner: str, known: Tables | Oracle, path: Path) -> Any:
    """Read weights; those of another space, objective, slot count or worth are refused by name."""
    objective = settings.objective
    if learner == "prices" or not isinstance(known, Tables):
        from metis.learn.prices.weights import PriceWeights

        return PriceWeights.load(path, objective.name)
    if learner == "paper":
        from metis.learn.paper.sub_scheduler import SubSchedulers

        return SubSchedulers.load(path, objective, known)
    from metis.learn.value.weights import ValueWeights

    return ValueWeights.load(path, known.space, objective.name)


def save_weights(settings: Settings, weights: Any, known: Tables | Oracle, path: Path) -> None:
    """Write weights with the fingerprint of what they were trained for."""
    from metis.learn.paper.sub_scheduler import SubSchedulers

    if isinstance(weights, SubSchedulers) and isinstance(known, Tables):
        weights.save(path, settings.objective, known)
    else:
        weights.save(path)


def _train_prices(
    settings: Settings, known: Tables | Oracle, folder: Path, report: Callable[[Mapping[str, Any]], None]
) -> tuple[Any, Curve]:
    """Train the network that predicts prices, on sub-problems that the column solver solves."""
    from metis.learn.loop import Budget, train
    from metis.learn.prices.learner import PricesLearner

    learner = PricesLearner(known, settings.objective, settings.prices)
    curve = train(
        learner,
        Budget(learner.settings.problems),
        key=learner.settings.key,
        checkpoint=folder / "prices.npz",
        progress=report,
    )
    return learner.weights(), curve


def value_problem(settings: Settings, tables: Tables) -> Any:
    """Return the problem of the value learner: the objective's worth per container, and vacancy bonuses."""
    from metis.learn.value.problem import ValueProblem

    objective = settings.objective
    everyone = np.ones(len(tables.space.apps), dtype=np.int64)
    worth = objective.bind(everyone, Cluster(tables.space, len(everyone)), tables)
    # a group of n containers on N nodes is worth vacancy / N per vacant node against 1 / n per container
    vacancy = float(getattr(objective, "vacancy", 0.0)) * tables.space.slots / len(everyone)
    if vacancy:
        worth[0] = 0.0
    return ValueProblem.of(tables.space, objective.name, worth, vacancy)


def _train_value(
    settings: Settings, tables: Tables, folder: Path, report: Callable[[Mapping[str, Any]], None]
) -> tuple[Any, Curve]:
    """Train the sub-scheduler, judged on held-out groups as it learns, then the learned high level."""
    from metis.learn.loop import Budget, train
    from metis.learn.value.dealer_learner import DealerLearner
    from metis.learn.value.learner import ValueLearner
    from metis.learn.value.pool import WIDE

    problem = value_problem(settings, tables)
    learner = ValueLearner(problem, settings.value)
    curve = train(
        learner,
        Budget(learner.settings.steps),
        key=f"{learner.settings.key} {problem.digest}",
        checkpoint=folder / "value.npz",
        judge=HeldOut(settings, tables).judge(learner),
        judge_every=max(1, learner.settings.steps // (JUDGED if tables.space.size <= WIDE else JUDGED_WIDE)),
        progress=report,
    )
    weights = learner.weights()
    dealer = DealerLearner(weights.network, problem, weights.sub_nodes, settings.dealer)
    dealt = train(
        dealer,
        Budget(dealer.settings.steps),
        key=f"{dealer.settings.key} {problem.digest} {learner.settings.key}",
        checkpoint=folder / "dealer.npz",
        progress=lambda row: report({**row, "part": ", dealing"}),
    )
    after = curve[-1]["seconds"]
    curve += [{f"dealer/{name}": value for name, value in row.items()} for row in dealt]
    return replace(weights, dealer=dealer.dealer), [*curve, {"trained_seconds": after + dealt[-1]["seconds"]}]


class HeldOut:
    """Groups that training never saw, and their exact optima, by which a learning curve is judged."""

    def __init__(self, settings: Settings, tables: Tables) -> None:
        from baselines.optimum import OptimumSettings, place_optimum

        nodes = settings.value.max_nodes
        self._cluster = Cluster(tables.space, nodes)
        rng = np.random.default_rng([settings.seed, 20_261_122])
        sizes = np.linspace(0.15, 0.9, HELD_OUT) * nodes * tables.space.slots
        groups = [draw_groups(1, int(size), len(tables.space.apps), rng)[0] for size in sizes]
        objective = settings.objective
        self._cases = [(group, objective.bind(group, self._cluster, tables)) for group in groups]
        solve = OptimumSettings(time_limit=JUDGE_SECONDS)
        best = [place_optimum(group, self._cluster, worth, solve)[0] for group, worth in self._cases]
        self._best = [
            self._value(placement, worth) for placement, (_, worth) in zip(best, self._cases, strict=True)
        ]

    def judge(self, learner: Any) -> Callable[[], dict[str, float]]:
        """Return a function that judges `learner`: mean and least ratio to the optimum, and mean value."""
        from metis.learn.value.scheduler import ValueScheduler

        def judged() -> dict[str, float]:
            scheduler = ValueScheduler(learner.weights())
            values = [
                self._value(scheduler.place(group, self._cluster, worth).placement, worth)
                for group, worth in self._cases
            ]
            ratios = np.array(values) / np.array(self._best)
            return {
                "ratio": float(ratios.mean()),
                "ratio_min": float(ratios.min()),
                "value": float(np.mean(values)),
            }

        return judged

    def _value(self, placement: IntArray, worth: FloatArray) -> float:
        return value(placement, self._cluster, worth)


def _train_paper(
    settings: Settings, tables: Tables, folder: Path, report: Callable[[Mapping[str, Any]], None]
) -> tuple[Any, Curve]:
    """Train the sub-scheduler of every load range, side by side where the runner can."""
    from metis.learn.paper.sub_scheduler import SubSchedulers, load_ranges, train_sub_schedulers

    open_device(settings)
    allowed = settings.rules.mask(tables.space)
    objective, paper = settings.objective, settings.paper
    if settings.runner.kind == "local" or paper.chained:
        trained, curves = train_sub_schedulers(
            objective,
            tables,
            paper,
            settings.seed,
            allowed=allowed,
            checkpoints=folder,
            progress=report,
        )
    else:
        models = len(load_ranges(paper.nodes * tables.space.slots, paper.ranges))
        train = partial(_train_range, objective, tables, paper, settings.seed, allowed, folder)
        with executor_of(settings.runner) as executor:
            made = executor.map(
                train, range(models), lambda done, total: report({"step": done, "steps": total})
            )
        trained = SubSchedulers.joined(paper, tables.space, [weights for weights, _ in made])
        curves = [curve for _, curve in made]
    flat = [row | {"model": float(i)} for i, curve in enumerate(curves) for row in curve]
    return trained, flat


def _train_range(
    objective: Objective, tables: Tables, paper: Any, seed: int, allowed: Any, folder: Path, model: int
) -> Any:
    """Train one load range, on any worker; checkpoints only where it sees our disk."""
    from metis.learn.paper.sub_scheduler import train_model

    seen = folder.parent.is_dir()
    checkpoint = folder / f"sub-scheduler-{model}.npz" if seen else None
    return train_model(objective, tables, paper, seed, model, allowed=allowed, checkpoint=checkpoint)
