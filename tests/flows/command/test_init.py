"""`metis init` writes a starter that the other verbs take as it is."""

import json
import shlex

import pytest
import yaml

from flows.command.main import main
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.configuration.starter import GROUPS, MEASUREMENTS, SETTINGS
from metis.inputs.sheet import read_sheet
from metis.measure.measurement_sheet import measurements_of


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def placed(capfd, folder, *words):
    code = main(["place", "--config-dir", folder, "experiment=mine", "output=json", *words])
    out, err = capfd.readouterr()
    assert code == 0, err
    return json.loads(out)


def test_the_example_places_as_it_is(here, capfd):
    assert main(["init", "mine"]) == 0
    out = capfd.readouterr().out
    assert "metis place --config-dir mine experiment=mine out=plan.json" in out
    found = placed(capfd, "mine", "out=plan.json")
    assert (found["scheduler"], len(found["nodes"])) == ("optimum", 6)
    total = {app: sum(held.get(app, 0) for held in found["placement"].values()) for app in found["apps"]}
    assert total == {"web": 5, "db": 5, "cache": 5}
    assert found["gap"] < 1e-6
    words = ["explain", "--config-dir", "mine", "experiment=mine", "placement=plan.json"]
    assert main(words) == 0
    assert "15 containers" in capfd.readouterr().out
    ruled = placed(capfd, "mine", "rules.never_together=[[web,db]]", "group.counts={web:4,db:2}")
    assert all(len(held) < 2 for held in ruled["placement"].values())


def test_nothing_is_overwritten_and_nothing_half_written(here, capfd):
    (here / GROUPS).write_text("mine")
    assert main(["init"]) == 2
    assert (
        capfd.readouterr().err
        == "metis: groups.csv: is there already; name another folder, or move it away\n"
    )
    assert [path.name for path in here.iterdir()] == [GROUPS]
    assert (here / GROUPS).read_text() == "mine"


@pytest.mark.parametrize("folder", ["my case", "a: b #c", "it's", "é=1"])
def test_any_folder(here, capfd, folder):
    assert main(["init", folder]) == 0
    line = capfd.readouterr().out.splitlines()[-1]
    verb, *words = shlex.split(line.partition("they place as they are: metis ")[2])
    assert verb == "place"
    settings = validated(compose_plain(words))
    assert settings.profile.path == f"{folder}/{MEASUREMENTS}"
    assert settings.groups.path == f"{folder}/{GROUPS}"


def test_names_of_ones_own_leave_a_table_to_fill_in(here, capfd):
    names = ["Shop", "null", "7"]
    words = [f"apps.names=[{','.join(repr(name) for name in names)}]", "cluster.nodes=5", "cluster.slots=3"]
    assert main(["init", "own", *words]) == 0
    assert f"fill in own/{MEASUREMENTS}, then: metis place" in capfd.readouterr().out
    chosen = yaml.safe_load((here / "own" / SETTINGS).read_text())
    assert chosen["apps"]["names"] == names
    assert chosen["cluster"] == {"nodes": 5, "slots": 3}
    table = here / "own" / MEASUREMENTS
    assert main(["place", "--config-dir", "own", "experiment=mine"]) == 2
    assert f"own/{MEASUREMENTS}, line 7, column rps_Shop: is blank" in capfd.readouterr().err
    # filled in, it is read: 3 alone, 6 pairs, 3 full nodes
    lines = table.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Shop,"))
    for i in range(start + 1, len(lines)):
        counts = lines[i].split(",")[:3]
        lines[i] = ",".join([*counts, *("9.5" if count != "0" else "" for count in counts), "", "", ""])
    table.write_text("\n".join(lines))
    assert len(measurements_of(read_sheet(table), tuple(names), 3).counts) == 12


@pytest.mark.parametrize("names", ["['<script>']", "[a,a]", "['../x']"])
def test_names_that_tools_cannot_bear_are_refused(here, capfd, names):
    assert main(["init", "own", f"apps.names={names}"]) == 2
    assert capfd.readouterr().err.startswith("metis: apps.names")
    assert not (here / "own").exists()
