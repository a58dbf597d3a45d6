"""The verb export: every format from every kind of placement, with the names that nodes have."""

import json

import pytest
import yaml

from cluster.images.catalog import load_catalog, workload_digest
from cluster.provision.inventory import Host, Inventory
from flows.command.main import main
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated

APPS = "apps.names=[Redis,MMS,Checksum]"
TABLE = "node,Redis,MMS,Checksum\nalpha,1,1,0\nbeta,0,0,2\n"


@pytest.fixture
def export(tmp_path, tracking, capfd):
    """Run the verb on the table; answers exit code, standard output and standard error."""
    path = tmp_path / "plan.csv"
    path.write_text(TABLE)

    def run(*words):
        code = main(["export", tracking, APPS, "cluster.slots=2", f"placement={path}", *words])
        return (code, *capfd.readouterr())

    run.folder = tmp_path
    return run


def test_a_table_comes_back_as_it_was(export):
    code, out, err = export("format=csv")
    assert code == 0, err
    assert out == TABLE


def test_a_stack_runs_the_images_that_build_makes(export):
    code, out, err = export("format=swarm")
    assert code == 0, err
    services = yaml.safe_load(out)["services"]
    assert services["mms-alpha-1"]["environment"]["METIS_REDIS"] == "redis-alpha-0:6379"
    (mms,) = load_catalog([], ["MMS"])
    built = validated(compose_plain([])).images
    assert services["mms-alpha-1"]["image"] == f"metis/mms:{workload_digest(mms, built)}"
    assert services["memcached-beta"]["environment"] == {"METIS_CACHE_MB": "2048"}


def test_manifests_are_written_to_a_file(export):
    path = export.folder / "plan.yaml"
    code, out, err = export("format=kubernetes", f"out={path}")
    assert code == 0, err
    assert not out
    assert "2 nodes, 4 containers" in err
    kinds = [one["kind"] for one in yaml.safe_load_all(path.read_text())]
    assert kinds.count("Deployment") == 5  # three applications, one cache, the origin
    document = json.loads(export("format=kubernetes", "output=json")[1])
    assert document["nodes"] == ["alpha", "beta"]
    assert document["text"] == path.read_text()


def test_a_live_cluster_names_its_nodes_and_its_registry(export):
    hosts = [Host("manager", "manager", "10.0.0.1")]
    hosts += [Host(f"worker-{i}", "worker", f"10.0.0.{i + 1}") for i in (1, 2)]
    facts = {"worker-1": {"hostname": "ip-10-0-0-2"}}
    made = Inventory("lab", "metis", tuple(hosts), "known_hosts", registry="registry:5000", facts=facts)
    made.save(export.folder / "mlruns" / "cluster" / "metis" / "inventory.json")
    code, out, err = export("format=swarm", "cluster=lab", "cluster.slots=2", APPS)
    assert code == 0, err
    services = yaml.safe_load(out)["services"]
    constraint = services["redis-ip-10-0-0-2-0"]["deploy"]["placement"]["constraints"]
    assert constraint == ["node.hostname == ip-10-0-0-2"]
    assert services["checksum-worker-2-0"]["image"].startswith("registry:5000/metis/checksum:")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["format=helm"], "format 'helm'"),
        (["cluster.slots=1"], "node alpha holds 2 containers"),
        (["apps.names=[Redis,MMS,Other]"], "'Checksum' is no application"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_exit_2(export, words, says):
    code, out, err = export(*words)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1
    assert not out


def test_an_application_without_a_workload_has_no_image(tmp_path, tracking, capfd):
    path = tmp_path / "plan.csv"
    path.write_text("mine\n1\n")
    words = [tracking, "apps.names=[mine]", f"placement={path}"]
    assert main(["export", *words, "format=swarm"]) == 2
    assert "there is no application 'mine'" in capfd.readouterr().err
    assert main(["export", *words, "format=csv"]) == 0
    assert capfd.readouterr().out == "node,mine\nnode-1,1\n"
