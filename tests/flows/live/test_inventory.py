"""The inventory that a person writes, and what nodes must have room for."""

import json
from dataclasses import replace

import pytest

from cluster.provision.inventory import Host, Inventory
from cluster.settings import LaunchSettings
from flows.command.main import main
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.live.inventory import known_inventory, read_inventory, refuse_too_small
from flows.live.node_types import as_override, as_rows, proposed_types, refuse_unequal
from metis.errors import InputError
from metis.problem.node_types import NodeTypeSettings

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
        ("machines: []", "machines: there is no such setting; use hosts"),
        ("- a", "[a]: give a mapping"),
        ("hosts: {a: b}", "hosts {a: b}: give a list"),
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
            "hosts.0.role 'boss': give 'manager', 'worker' or 'client'",
        ),
        (
            "hosts: [{name: a, role: worker, address: x, slots: 0}]",
            "hosts.0.slots 0: give at least 1",
        ),
        (
            "hosts: [{name: a, role: worker, address: x, port: 0}]",
            "hosts.0.port 0: give at least 1",
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


GIB = 1024
UNEQUAL = {
    "w1": (8, 31.2 * GIB, None),
    "w2": (8, 30.9 * GIB, None),
    "w3": (4, 7.7 * GIB, None),
    "w4": (8, 31 * GIB, 2),
}


def unequal(kind="hosts"):
    """Four workers: cores, MB of memory, and slots where the inventory says them."""
    workers = tuple(Host(name, "worker", "b", slots=own) for name, (_, _, own) in UNEQUAL.items())
    facts = {name: {"cores": cores, "memory": int(mb) << 20} for name, (cores, mb, _) in UNEQUAL.items()}
    return Inventory(kind, "ours", (Host("m", "manager", "a"), *workers), "k", facts=facts)


def test_types_are_proposed_by_cores_memory_and_slots():
    types = proposed_types(unequal(), 8, LaunchSettings(cpus=1, memory_mb=2048))
    assert [(one.name, one.nodes, one.slots) for one in types] == [
        ("c8-m31Gi-s8", ("w1", "w2"), 8),
        ("c4-m8Gi", ("w3",), 4),  # 7.7 GB have room for four containers of 2 GB
        ("c8-m31Gi-s2", ("w4",), 2),
    ]
    assert types[0].capacity == {"cpu": 8, "memory": f"{int(30.9 * GIB)}Mi"}
    header, rows = as_rows(types)
    assert (header, rows[2]) == (
        ["node", "type", "slots", "cpu", "memory"],
        ["w3", "c4-m8Gi", "4", "4", f"{int(7.7 * GIB)}Mi"],
    )
    taken = validated(compose_plain([as_override(types)])).cluster
    assert [(one.name, one.nodes, one.slots) for one in taken.types] == [
        (one.name, one.nodes, one.slots) for one in types
    ]
    assert (taken.nodes, taken.slots) == (4, 8)
    alike = proposed_types(sized(8, 4096), 4, LaunchSettings(cpus=1, memory_mb=512))
    assert [(one.name, one.slots) for one in alike] == [("c8-m4Gi", 4)]


def test_a_worker_with_slots_of_its_own_needs_memory_for_those_alone():
    said = []
    launch = LaunchSettings(cpus=1, memory_mb=2048)
    with pytest.raises(InputError, match=r"w3: 7884 MB .* or give it `slots: 4` in the inventory"):
        refuse_too_small(unequal(), 8, launch, said.append)
    small = replace(
        unequal(), hosts=tuple(replace(h, slots=4) if h.name == "w3" else h for h in unequal().hosts)
    )
    refuse_too_small(small, 8, launch, said.append)
    assert said == []
    with pytest.raises(InputError, match=r"w3: has 4 slots in the inventory, more than cluster\.slots 3"):
        refuse_too_small(small, 3, launch, said.append)


def test_unequal_slots_need_the_types_of_the_hosts():
    inventory, launch = unequal(), LaunchSettings(cpus=1, memory_mb=2048)
    types = proposed_types(inventory, 8, launch)
    refuse_unequal(inventory, types, 8)
    with pytest.raises(InputError, match=r"w4: has slots: 2 in the inventory, not 8; .* `metis cluster"):
        refuse_unequal(inventory, (), 8)
    with pytest.raises(InputError, match=r"cluster\.types: w4 is missing"):
        refuse_unequal(inventory, types[:2], 8)
    other = NodeTypeSettings("other", nodes=("w9",), slots=8)
    with pytest.raises(InputError, match=r"cluster\.types: w9 is no worker of this cluster; it has w1, w2"):
        refuse_unequal(inventory, (*types, other), 8)


def test_the_verb_prints_and_writes_the_types_that_setup_saw(tmp_path, capsys):
    state = tmp_path / "cluster/metis"
    words = ["cluster", "types", "cluster=lab", "cluster.slots=8", "launch.memory_mb=2048"]
    words.append(f"tracking.path={tmp_path}")
    assert main(words) == 2
    assert "no host was looked at; `metis run stages=[setup]" in capsys.readouterr().err
    state.mkdir(parents=True)
    unequal("lab").save(state / "inventory.json")
    assert main([*words, f"out={tmp_path}/nodes.csv", "output=json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["types"]] == ["c8-m31Gi-s8", "c4-m8Gi", "c8-m31Gi-s2"]
    written = (tmp_path / "nodes.csv").read_text().splitlines()
    assert written[:2] == ["node,type,slots,cpu,memory", f"w1,c8-m31Gi-s8,8,8,{int(30.9 * GIB)}Mi"]
    assert main([*words, f"out={tmp_path}/nodes.json"]) == 2
    assert main(["cluster", "status", *words[2:], "out=x.csv"]) == 2
    assert "out=x.csv: has no effect but with `metis cluster types`" in capsys.readouterr().err


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
    assert "use one of status, types, down, accept" in capsys.readouterr().err
