"""Instances against moto's EC2 server on loopback, through real HTTP."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.provision.ec2.account import client, tags_of
from cluster.provision.ec2.instances import instances, launch, terminate
from cluster.provision.inventory import Inventory
from metis.errors import InputError, SurroundingsError
from tests.cluster.provision.conftest import IMAGE, SECRET, alive


def test_launch_gives_an_inventory_of_tagged_instances(account, settings, tmp_path):
    said = []
    inventory = launch(tmp_path, "lab1", 2, settings, said.append)
    assert [host.name for host in inventory.hosts] == ["manager", "worker-1", "worker-2", "client-1"]
    assert Inventory.load(tmp_path / "inventory.json") == inventory
    by_address = {one["PublicIpAddress"]: one for one in alive(account)}
    for host in inventory.hosts:
        instance = by_address[host.address]
        tags = tags_of(instance)
        assert tags["metis:cluster"] == "lab1"
        assert tags["metis:role"] == host.role
        assert tags["metis:host"] == host.name
        assert host.inner == instance["PrivateIpAddress"]
        assert instance["InstanceType"] == getattr(settings, f"{host.role}_type")
        assert host.user == "admin"
    assert len(said) == 3


def test_launch_twice_changes_nothing(account, settings, tmp_path):
    first = launch(tmp_path, "lab1", 1, settings)
    before = [one["InstanceId"] for one in alive(account)]
    pairs = account.describe_key_pairs()["KeyPairs"]
    said = []
    assert launch(tmp_path, "lab1", 1, settings, said.append) == first
    assert said == []
    assert [one["InstanceId"] for one in alive(account)] == before
    assert account.describe_key_pairs()["KeyPairs"] == pairs


def test_more_workers_are_added_and_a_lost_one_is_replaced(account, settings, tmp_path):
    launch(tmp_path, "lab1", 1, settings)
    grown = launch(tmp_path, "lab1", 3, settings)
    assert len(grown.workers) == 3
    gone = next(one for one in alive(account) if tags_of(one)["metis:host"] == "worker-2")
    account.terminate_instances(InstanceIds=[gone["InstanceId"]])
    again = launch(tmp_path, "lab1", 3, settings)
    assert [host.name for host in again.workers] == ["worker-1", "worker-2", "worker-3"]
    assert again.host("worker-1") == grown.host("worker-1")
    assert again.host("worker-2").address != grown.host("worker-2").address
    assert len(alive(account)) == 5


def test_a_stopped_instance_is_started_again(account, settings, tmp_path):
    launch(tmp_path, "lab1", 1, settings)
    ids = [one["InstanceId"] for one in alive(account)]
    account.stop_instances(InstanceIds=ids)
    launch(tmp_path, "lab1", 1, settings)
    assert {one["State"]["Name"] for one in alive(account)} == {"running"}
    assert [one["InstanceId"] for one in alive(account)] == ids


def test_the_group_lets_in_ssh_from_one_address_and_what_is_inside(account, settings, tmp_path):
    launch(tmp_path, "lab1", 1, settings)
    launch(tmp_path, "lab1", 1, replace(settings, from_address="203.0.113.9/32"))
    (group,) = groups(account)
    rules = {rule["IpProtocol"]: rule for rule in group["IpPermissions"]}
    assert set(rules) == {"tcp", "-1"}
    assert (rules["tcp"]["FromPort"], rules["tcp"]["ToPort"]) == (22, 22)
    assert [one["CidrIp"] for one in rules["tcp"]["IpRanges"]] == ["203.0.113.9/32"]
    assert [one["GroupId"] for one in rules["-1"]["UserIdGroupPairs"]] == [group["GroupId"]]
    assert rules["-1"]["IpRanges"] == []
    for instance in alive(account):
        assert [one["GroupId"] for one in instance["SecurityGroups"]] == [group["GroupId"]]


def groups(account):
    found = account.describe_security_groups()["SecurityGroups"]
    return [group for group in found if tags_of(group).get("metis:cluster")]


def test_the_key_made_is_private_and_the_pair_has_its_other_half(account, settings, tmp_path):
    inventory = launch(tmp_path, "lab1", 1, settings)
    key = Path(inventory.manager.key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    import paramiko

    (pair,) = account.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    assert pair["PublicKey"].split()[1] == paramiko.PKey.from_path(key).get_base64()


def test_a_key_and_a_group_given_are_used_and_left(account, settings, tmp_path):
    account.create_key_pair(KeyName="mine")
    group = account.create_security_group(GroupName="mine", Description="mine")["GroupId"]
    (tmp_path / "id").write_text("the private half")
    given = replace(settings, key_name="mine", key=str(tmp_path / "id"), security_group=group)
    inventory = launch(tmp_path / "state", "lab1", 1, given)
    assert inventory.manager.key == str(tmp_path / "id")
    assert groups(account) == []
    terminate(tmp_path / "state", "lab1", given)
    assert [pair["KeyName"] for pair in account.describe_key_pairs()["KeyPairs"]] == ["mine"]
    assert account.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert (tmp_path / "id").exists()


def test_spot_and_disk_are_as_asked(account, settings, tmp_path):
    launch(tmp_path, "lab1", 1, replace(settings, spot=True, disk_gb=77, clients=0))
    for instance in alive(account):
        assert instance["InstanceLifecycle"] == "spot"
        (disk,) = instance["BlockDeviceMappings"]
        volume = account.describe_volumes(VolumeIds=[disk["Ebs"]["VolumeId"]])["Volumes"][0]
        assert volume["Size"] == 77


def test_terminate_touches_only_what_is_tagged(account, settings, tmp_path):
    foreign = account.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    launch(tmp_path / "a", "lab1", 1, settings)
    launch(tmp_path / "b", "lab2", 1, settings)
    said = []
    terminate(tmp_path / "a", "lab1", settings, said.append)
    left = alive(account)
    assert {tags_of(one).get("metis:cluster") for one in left} == {None, "lab2"}
    assert foreign in [one["InstanceId"] for one in left]
    assert [pair["KeyName"] for pair in account.describe_key_pairs()["KeyPairs"]] == ["metis-lab2"]
    assert [tags_of(group)["metis:cluster"] for group in groups(account)] == ["lab2"]
    assert list((tmp_path / "a").iterdir()) == []
    assert said[0] == "3 instances terminated"
    assert len(said) == 3


def test_an_instance_whose_tag_was_taken_off_is_not_touched(account, settings, tmp_path):
    launch(tmp_path, "lab1", 1, settings)
    kept = alive(account)[0]["InstanceId"]
    account.delete_tags(Resources=[kept], Tags=[{"Key": "metis:cluster"}])
    terminate(tmp_path, "lab1", settings)
    assert [one["InstanceId"] for one in alive(account)] == [kept]


def test_terminate_of_nothing_is_nothing(settings, tmp_path):
    said = []
    terminate(tmp_path, "none", settings, said.append)
    assert said == []
    assert list(tmp_path.iterdir()) == []


class _KilledError(BaseException):
    """What a kill looks like from inside: nothing of ours catches it."""


STEPS = [
    "import_key_pair",
    "create_security_group",
    "authorize_security_group_ingress",
    "run_instances",
    "create_tags",
    "describe_instances",
]


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_leaves_what_down_finishes(account, settings, tmp_path, monkeypatch, step):
    with monkeypatch.context() as crashing:
        crash_at(crashing, step, True, skip=2 if step == "describe_instances" else 0)
        with pytest.raises(_KilledError):
            launch(tmp_path, "lab1", 1, settings)
    record = json.loads((tmp_path / "ec2.json").read_text())
    assert record["region"] == "us-east-1"
    terminate(tmp_path, "lab1", settings)
    assert alive(account) == []
    assert groups(account) == []
    assert account.describe_key_pairs()["KeyPairs"] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_leaves_what_launch_completes(
    account, settings, tmp_path, monkeypatch, step, after
):
    with monkeypatch.context() as crashing:
        crash_at(crashing, step, after, skip=2 if step == "describe_instances" else 0)
        with pytest.raises(_KilledError):
            launch(tmp_path, "lab1", 1, settings)
    inventory = launch(tmp_path, "lab1", 1, settings)
    assert [host.name for host in inventory.hosts] == ["manager", "worker-1", "client-1"]
    assert len(alive(account)) == 3  # none twice
    assert len({host.address for host in inventory.hosts}) == 3


def crash_at(monkeypatch, step, after, skip):
    """Let the call `step` of AWS crash, before or after it is done there, at its `skip`-th time."""
    import botocore.client

    call = botocore.client.BaseClient._make_api_call
    name = "".join(word.capitalize() for word in step.split("_"))
    left = [skip]

    def crashing(self, operation, parameters):
        if operation == name:
            left[0] -= 1
            if left[0] < 0:
                if after:
                    call(self, operation, parameters)
                raise _KilledError
        return call(self, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", crashing)


def test_a_crash_while_terminating_is_finished_by_the_next(account, settings, tmp_path, monkeypatch):
    launch(tmp_path, "lab1", 1, settings)
    with monkeypatch.context() as crashing:
        crash_at(crashing, "delete_security_group", False, 0)
        with pytest.raises(_KilledError):
            terminate(tmp_path, "lab1", settings)
    assert (tmp_path / "ec2.json").exists()
    terminate(tmp_path, "lab1", settings)
    assert groups(account) == []
    assert account.describe_key_pairs()["KeyPairs"] == []
    assert list(tmp_path.iterdir()) == []


def test_down_knows_the_region_of_the_record(account, settings, server, tmp_path):
    launch(tmp_path, "lab1", 1, settings)
    with pytest.raises(InputError, match=r"ec2.region eu-west-1: cluster 'lab1' is in us-east-1"):
        launch(tmp_path, "lab1", 1, replace(settings, region="eu-west-1"))
    terminate(tmp_path, "lab1", replace(settings, region="eu-west-1"))
    assert alive(account) == []


def test_what_cannot_be_is_refused_by_name(account, settings, tmp_path):
    with pytest.raises(InputError, match="from_address: give the address"):
        launch(tmp_path, "lab1", 1, replace(settings, from_address=None))
    with pytest.raises(InputError, match=r"from_address 0.0.0.0/0: opens SSH to everybody"):
        replace(settings, from_address="0.0.0.0/0")
    with pytest.raises(InputError, match=r"from_address 'here': give a CIDR"):
        replace(settings, from_address="here")
    with pytest.raises(SurroundingsError, match="AWS: looking for the image: InvalidAMIID"):
        launch(tmp_path, "lab1", 1, replace(settings, image="ami-00000000000000000"))
    launch(tmp_path, "lab1", 1, settings)
    with pytest.raises(InputError, match=r"ec2.worker_type c5.large: worker-1 runs as m5.4xlarge"):
        launch(tmp_path, "lab1", 1, replace(settings, worker_type="c5.large"))


def test_a_key_pair_or_group_of_somebody_else_is_left_alone(account, settings, tmp_path):
    account.create_key_pair(KeyName="metis-lab1")
    with pytest.raises(InputError, match="a key pair metis-lab1 exists that is not ours"):
        launch(tmp_path, "lab1", 1, settings)
    account.create_security_group(GroupName="metis-lab2", Description="somebody's")
    with pytest.raises(InputError, match="a security group metis-lab2 exists that is not ours"):
        launch(tmp_path, "lab2", 1, settings)
    assert alive(account) == []


def test_without_credentials_it_says_how_to_give_them(settings, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client.cache_clear()
    with pytest.raises(InputError, match="no whole credentials found"):
        launch(tmp_path, "lab1", 1, settings)
    client.cache_clear()


def test_an_endpoint_that_is_not_there_is_one_line(settings, tmp_path):
    with pytest.raises(SurroundingsError, match=r"AWS: .*Could not connect") as told:
        launch(tmp_path, "lab1", 1, replace(settings, endpoint="http://127.0.0.1:9"))
    assert "\n" not in str(told.value)


def test_no_secret_is_in_what_is_written_or_said(account, settings, tmp_path, capfd, caplog):
    caplog.set_level("INFO")
    said = []
    launch(tmp_path, "lab1", 1, settings, said.append)
    key = (tmp_path / "id_ed25519").read_text()
    for path in tmp_path.iterdir():
        text = path.read_text()
        assert SECRET not in text
        assert path.name == "id_ed25519" or key.splitlines()[1] not in text
    terminate(tmp_path, "lab1", settings, said.append)
    out, err = capfd.readouterr()
    everything = "\n".join([out, err, caplog.text, *said])
    assert SECRET not in everything
    assert key.splitlines()[1] not in everything


def test_the_newest_debian_is_taken_where_no_image_is_given(account, settings, tmp_path):
    launch(tmp_path, "lab1", 1, replace(settings, image=None))
    assert {one["ImageId"] for one in alive(account)} == {IMAGE}


def test_only_instances_of_this_cluster_are_listed(account, settings, tmp_path):
    launch(tmp_path, "lab1", 1, settings)
    assert len(instances(account, "lab1")) == 3
    assert instances(account, "lab") == []
