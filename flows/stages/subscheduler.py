"""Stage subscheduler: train a learner on sub-clusters, once for all groups."""

from collections.abc import Sequence

from baselines.registry import learner_of
from flows.configuration.settings import Settings
from flows.engine.declaration import Stage
from flows.engine.work import Work
from flows.placing.tables import known_in, tables_of
from flows.stages.shared import all_schedulers

MODULES = {
    "value": ("metis.learn.value.learner", "metis.learn.value.dealer_learner"),
    "paper": ("metis.learn.paper.sub_scheduler",),
    "prices": ("metis.learn.prices.learner",),
}
# all that the weights depend on, the simulator's tables aside: the value learner honours rules when it
# places, the paper's when it learns
SETTINGS = {"value": ("value", "dealer"), "paper": ("paper", "rules", "learn"), "prices": ("prices",)}


def run(work: Work) -> None:
    """Write `weights.npz`; a training that was killed goes on. The learning curve goes to the MLflow run."""
    from flows.placing.training import save_weights, train_weights

    known = tables_of(known_in(work.inputs["simulator"]))
    weights, curve = train_weights(work.settings, work.part, known, work.scratch, work.progress)
    save_weights(work.settings, weights, known, work.folder / "weights.npz")
    work.recording.curve(curve)


def _learners(settings: Settings) -> Sequence[str]:
    learners = (learner_of(name, wide=settings.by_oracle) for name in all_schedulers(settings))
    return list(dict.fromkeys(learner for learner in learners if learner))


STAGE = Stage(
    name="subscheduler",
    about="Train the learners for a sub-cluster, once for all groups.",
    run=run,
    settings=lambda settings, part: (*SETTINGS[part], "objective", "seed"),
    unkeyed=("runner", "cluster.nodes"),
    inputs=("simulator",),
    modules=lambda settings, part: MODULES[part],
    parts=_learners,
    doing="trained",
)
