"""What the golden tests import of the project: the one place to mend where modules move."""

from baselines.registry import SCHEDULERS, entry_of
from cluster.images.build import Image
from cluster.images.catalog import load_catalog
from cluster.provision.inventory import Host, Inventory
from cluster.settings import LaunchSettings
from cluster.spec import layout_of
from cluster.swarm.services import container_of, environment, labels_of, order
from flows import report as report_stage
from flows.command.main import main
from flows.command.request import refuse_without_effect
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.engine.work import no_progress
from flows.placing.decisions import scheduler_for
from flows.placing.training import train_weights
from flows.prefect.run import run_chain
from flows.report.data import summarise
from metis.errors import InputError
from metis.measure.testbed import choose_colocations, load_embedded
from metis.problem.cluster import Cluster
from metis.problem.groups import draw_groups
from metis.problem.objectives import FreeNodes, Latency, MeanRps, SloShare
from metis.problem.rules import Rules
from metis.simulate.fitting import fit_simulator
from metis.simulate.settings import SimulatorSettings

__all__ = [
    "ENTRIES",
    "Cluster",
    "FreeNodes",
    "Host",
    "Image",
    "InputError",
    "Inventory",
    "Latency",
    "LaunchSettings",
    "MeanRps",
    "Rules",
    "SimulatorSettings",
    "SloShare",
    "choose_colocations",
    "compose_plain",
    "container_of",
    "draw_groups",
    "environment",
    "fit_simulator",
    "labels_of",
    "layout_of",
    "load_catalog",
    "load_embedded",
    "main",
    "no_progress",
    "order",
    "refuse_without_effect",
    "report_stage",
    "run_chain",
    "scheduler_for",
    "summarise",
    "train_weights",
    "validated",
]

ENTRIES = {name: entry_of(name) for name in SCHEDULERS}
