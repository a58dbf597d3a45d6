"""What a cluster has on EC2: looked up, and nothing changed."""

from pathlib import Path

from cluster.provision.ec2.account import client, groups_of
from cluster.provision.ec2.instances import HOST_TAG, RECORD, instances
from cluster.provision.ec2.record import LaunchRecord
from cluster.settings import Ec2Settings


def standing(state: Path, name: str, settings: Ec2Settings) -> list[str]:
    """What `cluster.provision.ec2.instances.terminate` would end, in words: instances and security groups.

    Args:
        state: folder of the record, of which the region is taken.
        name: of the cluster.
        settings: region and endpoint where there is no record.

    Raises:
        SurroundingsError: AWS does not respond.
    """
    record = LaunchRecord(state.absolute() / RECORD, name, settings)
    ec2 = client(record.known["region"], record.known["endpoint"])
    found = []
    for one in instances(ec2, name):
        tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
        found.append(
            f"instance {one['InstanceId']} ({tags.get(HOST_TAG, 'unnamed')}, {one['State']['Name']})"
        )
    return found + [f"security group {group}" for group in groups_of(ec2, name)]
