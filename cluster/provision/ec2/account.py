"""What instances on EC2 need: a client of the account, an image, a key pair, a security group, host keys."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from cluster.settings import Ec2Settings
from metis.errors import InputError, SurroundingsError

TAG = "metis:cluster"
DEBIAN = "136693071363"  # the account that publishes Debian's images
DEBIAN_NAME = "debian-12-{architecture}-*"
DEBIAN_WORDS = {"x86_64": "amd64", "arm64": "arm64"}
PRINTED_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-\S+) (AAAA[A-Za-z0-9+/=]+)")
PAGE_LETTERS = 60  # of a page that is no response of the API, shown in the error
NOT_ALLOWED = ("UnauthorizedOperation", "AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch")


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Turn what boto3 raises into one line, without credentials.

    Raises:
        InputError: there are no credentials, or they do not allow it.
        SurroundingsError: AWS refused or did not respond.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        CredentialRetrievalError,
        NoCredentialsError,
        PartialCredentialsError,
    )
    from botocore.parsers import ResponseParserError

    try:
        yield
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError):
        raise InputError(
            f"AWS: {doing}: no whole credentials found; give them as to the AWS command line (environment, "
            "profile or role)"
        ) from None
    except ClientError as error:
        code = code_of(error)
        if code in NOT_ALLOWED:
            raise InputError(f"AWS: {doing}: {code}: the credentials do not allow it") from None
        said = str(error.response.get("Error", {}).get("Message", ""))
        raise SurroundingsError(f"AWS: {doing}: {code}: {' '.join(said.split())[:300]}") from None
    except BotoCoreError as error:
        raise SurroundingsError(f"AWS: {doing}: {' '.join(str(error).split())[:300]}") from None
    except (NotEc2Error, ResponseParserError) as error:
        raise SurroundingsError(
            f"AWS: {doing}: what responds there is not EC2 ({' '.join(str(error).split())[:300]}); look at "
            "ec2.endpoint, ec2.region and the proxy"
        ) from None


def code_of(error: Any) -> str:
    """EC2's word for what is wrong, or the status where the response holds none."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "no status")
    return str(error.response.get("Error", {}).get("Code") or f"status {status}")


class NotEc2Error(Exception):
    """The endpoint sent something that EC2 does not send, such as a page of a proxy."""


def _refuse_pages(response_dict: Mapping[str, Any], **_: Any) -> None:
    """Refuse a response that is a web page: as XML it may well be read, as one that holds nothing."""
    kind = str(response_dict["headers"].get("content-type", ""))
    text = response_dict["body"].decode(errors="replace").lstrip()
    if response_dict["status_code"] < 500 and (
        "html" in kind or text.lower().startswith(("<!doctype", "<html"))
    ):
        shown = " ".join(re.sub(r"<[^>]*>", " ", text).split())[:PAGE_LETTERS]
        raise NotEc2Error(f"status {response_dict['status_code']}, a web page: {shown!r}")


@cache
def client(region: str, endpoint: str | None) -> Any:
    """A client of EC2; credentials by boto3's own chain alone.

    Kept, because reading the model of the API takes a second.
    """
    import boto3
    from botocore.config import Config

    patient = Config(
        connect_timeout=10, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 5}
    )
    with aws_errors("connecting"):
        made = boto3.session.Session().client(
            "ec2", region_name=region, endpoint_url=endpoint, config=patient
        )
    made.meta.events.register("before-parse.ec2", _refuse_pages)
    return made


def tagged(kind: str, name: str, **more: str) -> list[dict[str, Any]]:
    """The tags that something is made with, in the form of an order; never added afterwards."""
    tags = {TAG: name, "Name": f"metis-{name}", **more}
    return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]


def tags_of(resource: Mapping[str, Any]) -> dict[str, str]:
    """Tags as a mapping."""
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags", [])}


def image(ec2: Any, settings: Ec2Settings, instance_type: str) -> tuple[str, str]:
    """The AMI for a type, and the name of its root device.

    Raises:
        InputError: there is none.
    """
    with aws_errors("looking for the image"):
        if settings.image:
            found = ec2.describe_images(ImageIds=[settings.image])["Images"]
        else:
            types = ec2.describe_instance_types(InstanceTypes=[instance_type])["InstanceTypes"]
            known = types[0]["ProcessorInfo"]["SupportedArchitectures"]
            architecture = next(DEBIAN_WORDS[one] for one in known if one in DEBIAN_WORDS)
            wanted = [
                {"Name": "name", "Values": [DEBIAN_NAME.format(architecture=architecture)]},
                {"Name": "state", "Values": ["available"]},
            ]
            found = ec2.describe_images(Owners=[DEBIAN], Filters=wanted)["Images"]
    if not found:
        raise InputError(f"ec2.image: no image of Debian 12 in {settings.region}; give an AMI of that region")
    newest = max(found, key=lambda one: str(one.get("CreationDate", "")))
    return newest["ImageId"], newest.get("RootDeviceName") or "/dev/xvda"


def ensure_key_pair(ec2: Any, name: str, public: str) -> str:
    """The name of the key pair of this cluster, with the public half of our own key.

    Raises:
        InputError: a key pair of that name is not of this cluster.
    """
    wanted = f"metis-{name}"
    with aws_errors("making the key pair"):
        named = [{"Name": "key-name", "Values": [wanted]}]
        known = ec2.describe_key_pairs(Filters=named, IncludePublicKey=True)["KeyPairs"]
        if known and tags_of(known[0]).get(TAG) != name:
            raise InputError(f"ec2: a key pair {wanted} exists that is not ours; choose another cluster.name")
        if known and str(known[0].get("PublicKey", "")).split()[:2] == public.split()[:2]:
            return wanted
        if known:  # whatever key it holds, only that of the folder opens the instances
            ec2.delete_key_pair(KeyName=wanted)
        ec2.import_key_pair(
            KeyName=wanted, PublicKeyMaterial=public.encode(), TagSpecifications=tagged("key-pair", name)
        )
    return wanted


def delete_key_pair(ec2: Any, name: str) -> bool:
    """Delete the key pair of this cluster; returns whether there was one."""
    with aws_errors("deleting the key pair"):
        mine = [{"Name": f"tag:{TAG}", "Values": [name]}]
        known = ec2.describe_key_pairs(Filters=mine)["KeyPairs"]
        for pair in known:
            ec2.delete_key_pair(KeyName=pair["KeyName"])
    return bool(known)


def ensure_group(ec2: Any, name: str, settings: Ec2Settings) -> str:
    """Id of the security group: SSH from the caller's address, everything from within the group.

    Raises:
        InputError: there is no network to make it in, or a group of that name is not of this cluster.
    """
    if settings.security_group:
        return settings.security_group
    with aws_errors("making the security group"):
        network = _network(ec2, settings.subnet)
        wanted = f"metis-{name}"
        filters = [
            {"Name": "group-name", "Values": [wanted]},
            {"Name": "vpc-id", "Values": [network]},
        ]
        known = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        if known and tags_of(known[0]).get(TAG) != name:
            raise InputError(
                f"ec2: a security group {wanted} exists that is not ours; choose another cluster.name"
            )
        if known:
            group = str(known[0]["GroupId"])
        else:
            made = ec2.create_security_group(
                GroupName=wanted,
                Description=f"metis cluster {name}: SSH from outside, everything within",
                VpcId=network,
                TagSpecifications=tagged("security-group", name),
            )
            group = str(made["GroupId"])
        _open_only(ec2, group, str(settings.from_address))
    return group


def _network(ec2: Any, subnet: str | None) -> str:
    if subnet:
        return str(ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["VpcId"])
    found = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not found:
        raise InputError("ec2: the account has no default network in this region; give ec2.subnet")
    return str(found[0]["VpcId"])


def _open_only(ec2: Any, group: str, from_address: str) -> None:
    """Let in what should be, and take back what a former address was let in with."""
    ranges = (
        {"Ipv6Ranges": [{"CidrIpv6": from_address}]}
        if ":" in from_address
        else {"IpRanges": [{"CidrIp": from_address}]}
    )
    wanted: list[dict[str, Any]] = [
        {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **ranges},
        {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
    ]
    known = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    have = {_rule(rule) for rule in known}
    want = {_rule(rule) for rule in wanted}
    if have == want:
        return
    if known:
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=known)
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=wanted)


def _rule(rule: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        rule["IpProtocol"],
        rule.get("FromPort"),
        rule.get("ToPort"),
        tuple(sorted(one["CidrIp"] for one in rule.get("IpRanges", []))),
        tuple(sorted(one["CidrIpv6"] for one in rule.get("Ipv6Ranges", []))),
        tuple(sorted(one["GroupId"] for one in rule.get("UserIdGroupPairs", []))),
    )


def groups_of(ec2: Any, name: str) -> list[str]:
    """Ids of the security groups made for this cluster."""
    with aws_errors("looking for the security group"):
        mine = [{"Name": f"tag:{TAG}", "Values": [name]}]
        found = ec2.describe_security_groups(Filters=mine)["SecurityGroups"]
    return [str(group["GroupId"]) for group in found]


def console_keys(ec2: Any, instance_id: str) -> list[str]:
    """Host keys that an instance printed on its console at first start, kind and base64 each.

    The console comes through the AWS account, not through the network that an SSH connection goes through:
    a key from there is a key checked.
    """
    with aws_errors(f"reading the console of {instance_id}"):
        return printed_keys(ec2.get_console_output(InstanceId=instance_id).get("Output") or "")


def printed_keys(console: str) -> list[str]:
    """The host keys in what cloud-init prints: the last block of them, Ed25519 first."""
    # of several kinds, a connection asks for the first
    _, begun, rest = console.rpartition("BEGIN SSH HOST KEY KEYS")
    block, ended, _ = rest.partition("END SSH HOST KEY KEYS")
    if not (begun and ended):
        return []
    keys = [" ".join(found) for found in PRINTED_KEY.findall(block)]
    return sorted(keys, key=lambda line: not line.startswith("ssh-ed25519"))
