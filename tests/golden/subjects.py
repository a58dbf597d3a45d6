"""What the golden tests import of the project: the one place to mend where modules move."""

from baselines.registry import ENTRIES
from cluster.catalog import load_catalog
from cluster.images import Image
from cluster.inventory import Host, Inventory
from cluster.services import Layout
from cluster.settings import LaunchSettings
from flows.cli import main
from flows.compose import compose_plain
from flows.learned import train_weights
from flows.pipeline import run_chain
from flows.placing import scheduler_for
from flows.report.data import summarise
from flows.settings import validated
from flows.stages import report as report_stage
from flows.work import no_progress
from metis.groups import draw_groups
from metis.objectives import FreeNodes, Latency, MeanRps, SloShare
from metis.problem import Cluster
from metis.rules import Rules
from metis.simulators import SimulatorSettings, fit_simulator
from metis.testbed import choose_colocations, load_embedded

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
