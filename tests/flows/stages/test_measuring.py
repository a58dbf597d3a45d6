"""Stages that measure and learn what is so: setup, explore, profile, simulator, constraints."""

import csv
import json

import numpy as np
import pytest

from flows.placing.tables import fitted_in, tables_in
from flows.stages.constraints import STAGE as CONSTRAINTS
from flows.stages.explore import STAGE as EXPLORE
from flows.stages.profile import STAGE as PROFILE
from flows.stages.setup import STAGE as SETUP
from flows.stages.simulator import STAGE as SIMULATOR
from metis.measure.profile_files import load_profile
from tests.flows.conftest import settings_of


def read(record, name):
    return json.loads((record.folder / name).read_text(encoding="utf-8"))


def test_setup_of_a_local_run_has_no_hosts(do, small):
    record = do(SETUP, settings_of(*small))
    assert read(record, "inventory.json") == {"kind": "local", "hosts": []}


def test_profile_reads_a_file(do, small, full_profile):
    record = do(PROFILE, settings_of(*small))
    given, kept = load_profile(full_profile), load_profile(record.folder / "profile.npz")
    np.testing.assert_array_equal(kept.rps, given.rps)
    assert (read(record, "profile.json")["colocations"], read(record, "profile.json")["space"]) == (119, 119)


def test_profile_measures_a_share_on_the_testbed_and_the_same_again(do, small):
    chosen = settings_of(*small, "profile=testbed", "profile.path=null", "profile.share=0.3")
    first, again = do(PROFILE, chosen), do(PROFILE, chosen)
    assert first.digest == again.digest
    measured = load_profile(first.folder / "profile.npz")
    assert measured.slots == 3
    alone = (measured.colocations.sum(axis=1) == 1).sum()
    assert alone == len(measured.apps)  # stand-alone runs always
    assert 0.25 < len(measured) / 119 < 0.4


def test_profile_takes_what_exploring_measured(do, small, memo_of):
    words = [*EXPLORED, "profile=explore", "profile.path=null"]
    explored = memo_of(*words).obtain("explore")
    record = do(PROFILE, settings_of(*small, *words), {"explore": explored})
    kept = load_profile(record.folder / "profile.npz")
    given = load_profile(explored.folder / "profile.npz")
    np.testing.assert_array_equal(kept.colocations, given.colocations)
    assert len(kept) <= read(explored, "exploration.json")["measurements"] <= 40


EXPLORED = ["explore.budget=30", "explore.start_size=16", "simulator=boosted", "simulator.trees=5"]


def test_explore_measures_within_its_budget_and_writes_no_clock_into_its_output(do, small):
    chosen = settings_of(*small, *EXPLORED, "profile=testbed", "profile.path=null", "testbed.noise=0")
    record = do(EXPLORE, chosen)
    found = read(record, "exploration.json")
    assert 16 <= found["measurements"] <= 30
    assert 0.9 < found["ratio"] <= 1 + 1e-9
    assert not any("seconds" in row for row in found["history"])
    with (record.folder / "timings.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(found["history"])
    assert (record.folder / "calibration.csv").is_file()  # the embedded testbed knows the truth
    assert load_profile(record.folder / "profile.npz").slots == 3
    assert do(EXPLORE, chosen).digest == record.digest


def test_simulator_table_is_exact_where_measured(do, small, memo_of, full_profile):
    record = do(SIMULATOR, settings_of(*small), {"profile": memo_of().obtain("profile")})
    given, tables = load_profile(full_profile), tables_in(record.folder)
    rows = tables.space.index(given.colocations)
    held = given.colocations > 0
    np.testing.assert_allclose(tables.rps[rows][held], given.rps[held])


def test_simulator_is_judged_on_rows_held_out(do, small, memo_of):
    chosen = settings_of(*small, "simulator=boosted", "simulator.trees=20", "simulator.held_out=0.2")
    inputs = {
        "profile": memo_of("profile=testbed", "profile.path=null", "profile.share=0.9").obtain("profile")
    }
    record = do(SIMULATOR, chosen, inputs)
    assert fitted_in(record.folder).report == read(record, "report.json")
    assert 0.2 < read(record, "report.json")["r2"] <= 1
    assert do(SIMULATOR, chosen, inputs).digest == record.digest


@pytest.mark.parametrize(
    ("objective", "quantities"),
    [("rps", {"rps"}), ("latency", {"rps", "speed"}), ("p99_below", {"rps", "p99"})],
)
def test_simulator_tabulates_what_the_objective_needs(do, small, memo_of, objective, quantities):
    chosen = settings_of(*small, f"objective={objective}")
    record = do(SIMULATOR, chosen, {"profile": memo_of().obtain("profile")})
    assert set(tables_in(record.folder).quantities) == quantities


def test_constraints_writes_the_published_tables(do, small, memo_of):
    inputs = {"simulator": memo_of().obtain("simulator")}
    record = do(CONSTRAINTS, settings_of(*small), inputs)
    rows = read(record, "constraints.json")
    assert rows
    assert (record.folder / "interference_applist.csv").is_file()
    fewer = do(CONSTRAINTS, settings_of(*small, "constraints.threshold=0.5"), inputs)
    assert len(read(fewer, "constraints.json")) < len(rows)
    given = f"constraints.path={record.folder / 'interference_applist.csv'}"
    copied = do(CONSTRAINTS, settings_of(*small, given), inputs)
    assert (copied.folder / "interference_applist.csv").read_bytes() == (
        record.folder / "interference_applist.csv"
    ).read_bytes()
