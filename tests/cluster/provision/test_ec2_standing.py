"""What ending a cluster on EC2 would end is listed, and nothing is changed by that."""

from cluster.provision.ec2 import instances as ec2
from cluster.provision.ec2.standing import standing
from tests.cluster.provision.conftest import alive


def test_what_would_be_ended_is_listed_and_stays(account, settings, tmp_path):
    assert standing(tmp_path, "c", settings) == []
    ec2.launch(tmp_path, "c", 1, settings)
    before = {one["InstanceId"] for one in alive(account)}
    found = standing(tmp_path, "c", settings)
    assert sorted(line.split()[0] for line in found) == ["instance"] * 3 + ["security"]
    assert {line.split("(")[1].split(",")[0] for line in found[:3]} == {"manager", "worker-1", "client-1"}
    assert {line.split()[1] for line in found[:3]} == before
    assert standing(tmp_path, "other", settings) == []
    assert {one["InstanceId"] for one in alive(account)} == before
