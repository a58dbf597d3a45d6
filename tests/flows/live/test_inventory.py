"""The inventory that a person writes, and what nodes must have room for."""

from dataclasses import replace

import pytest

from cluster.provision.inventory import Host, Inventory
from cluster.settings import LaunchSettings
from flows.command.main import main
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.live.inventory import known_inventory, read_inventory, refuse_too_small
from metis.errors import InputError

HOSTS = """
hosts:
  - {name: boss, role: manager, address: 10.0.0.1}
  - {name: first, role: worker, address: 10.0.0.2, port: 2222, user: debian, key: keys/id, inner: 10.1.0.2}
"""


def written(tmp_path, text):
    path = tmp_path / "hosts.yaml"
    path.write_text(text)
    return path


def test_an_inventory_is_read_with_paths_beside_it(tmp_path):
    text = HOSTS + "registry: 10.0.0.9:5000\nknown_hosts: known\n"
    inventory = read_inventory(written(tmp_path, text), "ours", tmp_path / "state")
    assert (inventory.kind, inventory.name) == ("hosts", "ours")
    assert inventory.manager.key is None
    first = inventory.host("first")
    assert (first.port, first.user, first.key) == (2222, "debian", str(tmp_path / "keys/id"))
    assert (first.seen_as, inventory.manager.seen_as) == ("10.1.0.2", "10.0.0.1")
    assert inventory.known_hosts == str(tmp_path / "known")
    assert inventory.registry == "10.0.0.9:5000"


def test_known_hosts_are_kept_in_the_state_folder_by_default(tmp_path):
    inventory = read_inventory(written(tmp_path, HOSTS), "ours", tmp_path / "state")
    assert inventory.known_hosts == str(tmp_path / "state" / "known_hosts")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hosts: [", "is no YAML"),
        ("machines: []", "hosts is missing"),
        ("- a", "['a']: give a mapping"),
        ("hosts: {a: b}", "hosts {'a': 'b'}: input should be a valid list"),
        ("hosts: [a]", "hosts.0 'a': give a mapping"),
        ("hosts: [{name: a, role: worker}]", "hosts.0.address is missing"),
        (HOSTS + "slots: 3", "slots: there is no such setting"),
        (
            "hosts: [{name: a, role: worker, address: x, prot: 3}]",
            "such setting; did you mean hosts.port?",
        ),
        ("hosts: [{name: a, role: manager, address: x}]", "no worker"),
        ("hosts: [{name: a, role: worker, address: x}]", "0 managers"),
        (
            "hosts: [{name: a, role: boss, address: x}]",
            "hosts.0.role 'boss': input should be 'manager', 'worker' or 'client'",
        ),
        ("hosts: [{name: a, role: worker, address: x, slots: 3}]", "all nodes have the same for now"),
        (
            "hosts: [{name: a, role: worker, address: x, port: 0}]",
            "hosts.0.port 0: input should be greater than or equal to 1",
        ),
        (HOSTS + "  - {name: first, role: worker, address: y}", "two hosts are called 'first'"),
    ],
)
def test_what_is_wrong_in_it_is_reported_with_the_file(tmp_path, text, says):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_inventory(path, "ours", tmp_path)
    assert says in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_inventory_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read \(No such file"):
        read_inventory(tmp_path / "none.yaml", "ours", tmp_path)


def sized(cores, memory_mb):
    hosts = (Host("m", "manager", "a"), Host("w", "worker", "b"))
    return Inventory("hosts", "ours", hosts, "k", facts={"w": {"cores": cores, "memory": memory_mb << 20}})


def test_a_node_with_too_little_memory_is_refused():
    with pytest.raises(InputError, match=r"w: 1000 MB of memory are too little for cluster\.slots 4"):
        refuse_too_small(sized(8, 1000), 4, LaunchSettings(cpus=1, memory_mb=512), lambda line: None)


def test_a_machine_of_the_published_size_is_enough_and_one_with_few_cores_is_reported():
    said = []
    refuse_too_small(sized(16, 63_200), 8, LaunchSettings(), said.append)  # what 64 GB leave to a node
    assert said == []
    refuse_too_small(sized(4, 63_200), 8, LaunchSettings(), said.append)
    assert len(said) == 1
    assert "4 cores for 8 containers of up to 2" in said[0]


def test_a_cluster_without_hosts_or_not_up_says_what_to_do(tmp_path):
    def known(*words):
        return known_inventory(validated(compose_plain([*words, f"tracking.path={tmp_path}"])))

    with pytest.raises(InputError, match="cluster=local has no hosts"):
        known()
    with pytest.raises(InputError, match="is not up; `metis lab up` starts it"):
        known("cluster=lab")
    (tmp_path / "cluster/metis").mkdir(parents=True)
    (tmp_path / "cluster/metis/ec2.json").write_text("{}")
    with pytest.raises(InputError, match=r"launch was not finished; .* goes on, `metis cluster down"):
        known("cluster=ec2")
    inventory = replace(sized(1, 1), kind="lab")
    inventory.save(tmp_path / "cluster/metis/inventory.json")
    assert known("cluster=lab") == inventory


def test_the_verb_wants_a_word(capsys):
    assert main(["cluster"]) == 2
    assert main(["cluster", "up"]) == 2
    assert "use one of status, down, accept" in capsys.readouterr().err
