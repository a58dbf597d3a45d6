"""What the golden tests import of the project: the one place to mend where modules move."""

from flows.engine.chain import run_chain

from baselines.registry import ENTRIES
from cluster.images.build import Image
from cluster.images.catalog import load_catalog
from cluster.provision.inventory import Host, Inventory
from cluster.settings import LaunchSettings
from cluster.swarm.services import Layout
from flows.command.main import main
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.engine.work import no_progress
from flows.placing.decisions import scheduler_for
from flows.placing.training import train_weights
from flows.report.data import summarise
from flows.stages import report as report_stage
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
    "Inventory",
    "Latency",
    "LaunchSettings",
    "Layout",
    "MeanRps",
    "Rules",
    "SimulatorSettings",
    "SloShare",
    "choose_colocations",
    "compose_plain",
    "draw_groups",
    "fit_simulator",
    "load_catalog",
    "load_embedded",
    "main",
    "no_progress",
    "report_stage",
    "run_chain",
    "scheduler_for",
    "summarise",
    "train_weights",
    "validated",
]
