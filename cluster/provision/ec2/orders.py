"""Orders of instances on EC2, and what a refusal means for their tokens."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cluster.provision.ec2.account import aws_errors, code_of, image, tagged
from cluster.settings import Ec2Settings
from metis.errors import MetisError

ROLE_TAG = "metis:role"
# a token that EC2 takes for another order, or whose instances have ended
SPENT = ("IdempotentParameterMismatch", "IdempotentInstanceTerminated")
# errors after which the order may have been carried out
UNCERTAIN = ("InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "RequestTimeout")


def type_of(role: str, settings: Ec2Settings) -> str:
    """The instance type of a role."""
    return str(getattr(settings, f"{role}_type"))


class RefusedError(Exception):
    """EC2 refused an order: nothing of it was done, and nothing will be."""

    def __init__(self, code: str, error: MetisError) -> None:
        self.code, self.error = code, error


def send(ec2: Any, order: Mapping[str, Any], token: str, doing: str) -> list[Mapping[str, Any]]:
    """Send an order; returns its instances, those of the first time where the token was used before.

    Raises:
        RefusedError: EC2 refused it, and nothing of it is or will be done.
        MetisError: it failed otherwise, and may have been carried out.
    """
    from botocore.exceptions import ClientError

    code = ""
    try:
        with aws_errors(doing):
            try:
                made: list[Mapping[str, Any]] = ec2.run_instances(**order, ClientToken=token)["Instances"]
            except ClientError as error:
                code = code_of(error)
                raise
    except MetisError as error:
        # where it may have been done all the same, the token stays
        if code and code not in UNCERTAIN and not code.startswith(("status", "5")):
            raise RefusedError(code, error) from None
        raise
    return made


def order_of(
    ec2: Any, name: str, role: str, missing: list[str], how: tuple[Ec2Settings, str, str]
) -> dict[str, Any]:
    """An order of instances of a role, all or none."""
    settings, key_name, group = how
    ami, device = image(ec2, settings, type_of(role, settings))
    disk = {"VolumeSize": settings.disk_gb, "VolumeType": "gp3", "DeleteOnTermination": True}
    order: dict[str, Any] = {
        "ImageId": ami,
        "InstanceType": type_of(role, settings),
        "KeyName": key_name,
        "SecurityGroupIds": [group],
        "MinCount": len(missing),
        "MaxCount": len(missing),
        "BlockDeviceMappings": [{"DeviceName": device, "Ebs": disk}],
        "MetadataOptions": {"HttpTokens": "required"},
        "TagSpecifications": [
            *tagged("instance", name, **{ROLE_TAG: role}),
            *tagged("volume", name),
        ],
    }
    if settings.subnet:
        order["SubnetId"] = settings.subnet
    if settings.spot:
        order["InstanceMarketOptions"] = {
            "MarketType": "spot",
            "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
        }
    return order


def digest_of(order: Mapping[str, Any]) -> str:
    """16 hex digits of an order, another one where anything in it is another."""
    return hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest()[:16]
