"""Two proofs on real containers, by the command as a user types it: the whole chain, and exploring.

The workloads are the packaged ones (Redis, MMS, Checksum), small; only the cut link is the tests' own.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cluster.provision.hosts import Fleet
from cluster.provision.lab.image import local_engine
from cluster.settings import ConnectSettings
from flows.configuration.settings import TrackingSettings
from flows.engine.store import Store
from metis.measure.journal import load_journal
from metis.measure.profile_files import load_profile
from metis.problem.space import ColocationSpace

APPS = ["Redis", "MMS", "Checksum"]
GROUP = "group.counts={Redis:1,MMS:2,Checksum:1}"
EXPLORE = [
    "cluster.slots=3",
    "load.duration=3",
    "load.most_taken=1",
    "explore.budget=12",
    "explore.start_size=6",
    "explore.repeats=1",
    "explore.per_round=3",
    "group.counts={Redis:2,MMS:2,Checksum:2}",
    "output=json",
]
SECONDS = 600
CUT = 12.0  # seconds without a link: longer than the Swarm's patience


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def words(folder, lab, lab_name, lab_state):
    return [
        "cluster=lab",
        f"cluster.name={lab_name}",
        f"cluster.state={lab_state}",
        f"apps.names=[{','.join(APPS)}]",
        "images.scale=0.01",
        "load.duration=4",
        "load.most_taken=1",
        "load.warm_up=1",
        f"tracking.path={folder / 'mlruns'}",
        "tracking.orchestrate=false",
    ]


@pytest.fixture(scope="module")
def run(words):
    """Run `metis VERB` in a process of its own; what it answered and told."""

    def command(*given, verb="run"):
        return [sys.executable, "-m", "flows.command.main", verb, *words, *given]

    def ran(*given, verb="run"):
        return subprocess.run(command(*given, verb=verb), capture_output=True, text=True, timeout=SECONDS)

    ran.command = command
    return ran


def output(folder, step, name):
    """A file of the newest finished run of a step."""
    store = Store(TrackingSettings(path=str(folder / "mlruns")))
    return store.record(store.last(step).run_id).folder / name


def test_a_full_profile_survives_a_kill_and_a_cut_link_and_shows_interference(run, folder, lab, lab_name):
    chosen = ["stages=[profile]", "profile.choose=all", "profile.repeats=2"]
    journals = folder / "mlruns" / "checkpoints"
    with subprocess.Popen(
        run.command(*chosen), start_new_session=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as killed:
        deadline = time.monotonic() + SECONDS
        while not list(journals.glob("*/profile.npz")) and time.monotonic() < deadline:
            time.sleep(0.2)
        os.killpg(killed.pid, 9)
    path = next(journals.glob("*/profile.npz"))
    kept = load_journal(path, ColocationSpace(tuple(APPS), 2), "").runs
    assert 0 < len(kept) < 18

    cut = threading.Thread(target=cut_the_link, args=(lab_name, "worker-1"), daemon=True)
    cut.start()
    went_on = run(*chosen, "output=json")
    cut.join(timeout=60)
    if went_on.returncode:  # a clear failure is right too, if the next run completes
        assert "Traceback" not in went_on.stderr
        assert went_on.stderr.strip().splitlines()[-1].startswith("metis run cluster=lab")
        went_on = run(*chosen, "output=json")
    assert went_on.returncode == 0, went_on.stderr
    profile = load_profile(output(folder, "profile", "profile.npz"))
    assert len(profile) == 9
    runs = load_journal(path, profile.space, "").runs
    assert [run["note"] for run in runs[: len(kept)]] == [run["note"] for run in kept], "measured again"
    assert sum(run["sound"] for run in runs) == 18

    alone = profile.colocations.sum(axis=1) == 1
    assert profile.rps[alone & profile.present.any(axis=1)][profile.present[alone]] == pytest.approx(1.0)
    hog, redis = APPS.index("Checksum"), APPS.index("Redis")
    beside = (profile.colocations[:, hog] == 1) & (profile.colocations[:, redis] == 1)
    assert profile.rps[beside, redis][0] < 0.9, "a hog on the same core takes some of Redis' requests"


def test_the_chain_places_deploys_and_measures(run, folder, lab):
    deployed = run(
        "stages=[deploy]",
        "profile.choose=all",
        "profile.repeats=2",
        "simulator=table",
        "scheduler=metis",
        "schedulers=[optimum,metis]",
        "value.steps=5",
        "dealer.steps=2",
        GROUP,
        "output=json",
    )
    assert deployed.returncode == 0, deployed.stderr
    done = json.loads(deployed.stdout)["done"]
    assert "profile" not in done, "it was finished, and hosts do not count"
    assert done[-1] == "deploy"
    placed = np.load(output(folder, "highlevel/metis", "decisions.npz"))["placements"][0]
    assert placed.sum(axis=0).tolist() == [1, 2, 1]
    containers = pd.read_csv(output(folder, "deploy", "containers.csv"))
    assert sorted(containers["app"]) == ["Checksum", "MMS", "MMS", "Redis"]
    assert (containers["measured"] > 0).all()
    # the same co-locations minutes later, on a shared machine: right in kind, not to the digit
    assert (containers["measured"] / containers["predicted"]).between(0.2, 5).all()
    gone = run(verb="undeploy")
    assert gone.returncode == 0, gone.stderr
    with Fleet(lab, ConnectSettings()) as fleet:
        left = fleet.run(lab.manager, "docker service ls -q --filter label=metis.session=deploy")
    assert left.split() == []


def test_exploring_real_containers_ends_with_a_plan_and_what_it_measured(run, folder):
    explored = run(*EXPLORE, f"out={folder / 'explored.npz'}", verb="explore")
    assert explored.returncode == 0, explored.stderr
    told = json.loads(explored.stdout)
    assert 9 <= told["measurements"] <= 12
    assert told["rounds"] >= 2
    assert told["ratio"] is None, "nobody knows the truth of a live cluster"
    assert told["history"][-1]["value"] > 0
    profile = load_profile(Path(folder / "explored.npz"))
    assert profile.slots == 3
    assert {tuple(row) for row in np.eye(3, dtype=int)} <= {tuple(row) for row in profile.colocations}
    again = run(*EXPLORE, f"out={folder / 'explored.npz'}", verb="explore")
    assert json.loads(again.stdout)["measurements"] == told["measurements"], "nothing is measured twice"


def cut_the_link(lab_name, node):
    """Take a node off the lab's network for a while, as a pulled cable would."""
    engine = local_engine()
    time.sleep(8)
    found = engine.containers.list(filters={"name": f"{lab_name}_{node}"})
    networks = found[0].attrs["NetworkSettings"]["Networks"]
    network = engine.networks.get(next(iter(networks)))
    address = networks[network.name]["IPAddress"]
    network.disconnect(found[0])
    try:
        time.sleep(CUT)
    finally:
        network.connect(found[0], ipv4_address=address, aliases=[node])
