"""Instances on EC2: launched, waited for, terminated; whatever a crash leaves is found again."""

import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from cluster.provision.ec2.account import (
    TAG,
    aws_errors,
    client,
    console_keys,
    delete_key_pair,
    ensure_group,
    ensure_key_pair,
    groups_of,
    tags_of,
)
from cluster.provision.ec2.orders import ROLE_TAG, SPENT, RefusedError, digest_of, order_of, send, type_of
from cluster.provision.ec2.record import LaunchRecord
from cluster.provision.inventory import Host, Inventory, Role
from cluster.provision.lab.keys import KEY, login_key
from cluster.provision.trust import entry_name, trust
from cluster.settings import Ec2Settings
from cluster.waiting import wait_until
from metis.errors import InputError, SurroundingsError

RECORD, KNOWN_HOSTS, INVENTORY = "ec2.json", "known_hosts", "inventory.json"
HOST_TAG = "metis:host"
ALIVE = ["pending", "running", "stopping", "stopped"]
EACH_LOOK = 2.0
LISTED_WITHIN = 60.0

Instance = Mapping[str, Any]
Locate = Callable[[Instance, Host], Host]
Report = Callable[[str], None]


def launch(
    state: Path,
    name: str,
    workers: int,
    settings: Ec2Settings,
    report: Report = lambda line: None,
    locate: Locate | None = None,
) -> Inventory:
    """The hosts of the cluster, running: those missing are launched, those stopped are started.

    Args:
        state: folder of the record, the key and the known hosts.
        name: of the cluster; all that is made carries it as a tag.
        workers: how many.
        settings: of the instances.
        report: called with a line for each thing that was changed.
        locate: the host of an instance that is not reached at its own address.

    Raises:
        InputError: the settings or the account do not allow it, or other instances of this cluster run.
        SurroundingsError: AWS does not respond, or an instance does not start in time.
    """
    if settings.from_address is None and settings.security_group is None:
        raise InputError("ec2.from_address: give the address that SSH comes from, such as 203.0.113.7/32")
    state = state.absolute()
    record = LaunchRecord(state / RECORD, name, settings)
    _refuse_elsewhere(record, settings)
    ec2 = client(settings.region, settings.endpoint)
    record.write("making the key pair")
    key, key_name = _key(ec2, state, name, settings)
    record.write("making the security group", key_pair=key_name)
    group = ensure_group(ec2, name, settings)
    record.write(None, group=group)
    wanted = wanted_hosts(workers, settings)
    found = _named(ec2, name, record, wanted)
    for role in ("manager", "worker", "client"):
        missing = [host for host, its in wanted.items() if its == role and host not in found]
        if missing:
            _order(ec2, name, role, missing, (settings, key_name, group), record, report)
            found = _named(ec2, name, record, wanted)
    _refuse_other_types(found, wanted, settings)
    deadline = time.monotonic() + settings.wait
    running = _running(ec2, name, list(wanted), deadline)
    hosts = {host: _host(host, wanted[host], running[host], settings, key, locate) for host in wanted}
    _learn_keys(ec2, state / KNOWN_HOSTS, hosts, running, record, deadline)
    record.write(None)
    inventory = Inventory("ec2", name, tuple(hosts.values()), str(state / KNOWN_HOSTS))
    inventory.save(state / INVENTORY)
    return inventory


def terminate(state: Path, name: str, settings: Ec2Settings, report: Report = lambda line: None) -> None:
    """Terminate the instances that carry this cluster's tag, and remove its group, key pair and files.

    Needs neither a record nor an inventory, so that it finishes what a crash left at any point; of a
    record it takes the region.

    Args:
        state: folder of the record.
        name: of the cluster.
        settings: region and endpoint where there is no record; how long to wait.
        report: called with a line for each thing that was removed.

    Raises:
        InputError: the credentials do not allow it.
        SurroundingsError: AWS does not respond, or something is still there after `settings.wait`.
    """
    state = state.absolute()
    record = LaunchRecord(state / RECORD, name, settings)
    ec2 = client(record.known["region"], record.known["endpoint"])
    ids = [one["InstanceId"] for one in instances(ec2, name)]
    if ids:
        record.write("terminating")
        with aws_errors("terminating instances"):
            ec2.terminate_instances(InstanceIds=ids)
    deadline = time.monotonic() + settings.wait
    ending = [one["InstanceId"] for one in instances(ec2, name, [*ALIVE, "shutting-down"])]
    late = f"not terminated after {settings.wait:g} s; run `metis cluster down` again"
    _wait(ec2, "instance_terminated", ending, deadline, late)
    if left := instances(ec2, name, [*ALIVE, "shutting-down"]):
        raise SurroundingsError(f"AWS: {left[0]['InstanceId']}: {late}")
    if ids:
        report(f"{len(ids)} instances terminated")
    for group in groups_of(ec2, name):
        _delete_group(ec2, group, deadline)
        report(f"security group {group} deleted")
    if delete_key_pair(ec2, name):
        report("key pair deleted")
    for file in (KEY, KNOWN_HOSTS, INVENTORY, RECORD):
        (state / file).unlink(missing_ok=True)


def instances(ec2: Any, name: str, states: list[str] | None = None) -> list[Instance]:
    """The instances with the tag of this cluster, in these states; in `ALIVE` ones by default."""
    filters = [
        {"Name": f"tag:{TAG}", "Values": [name]},
        {"Name": "instance-state-name", "Values": states or ALIVE},
    ]
    with aws_errors("looking for instances"):
        pages = ec2.get_paginator("describe_instances").paginate(Filters=filters)
        found = [one for page in pages for each in page["Reservations"] for one in each["Instances"]]
    # the account's filter alone is not enough for what will be terminated
    return [one for one in found if tags_of(one).get(TAG) == name]


def wanted_hosts(workers: int, settings: Ec2Settings) -> dict[str, Role]:
    """Hosts of a cluster by name, with their roles, in the order of the inventory."""
    hosts: dict[str, Role] = {"manager": "manager"}
    hosts |= {f"worker-{number}": "worker" for number in range(1, workers + 1)}
    hosts |= {f"client-{number}": "client" for number in range(1, settings.clients + 1)}
    return hosts


def _refuse_elsewhere(record: LaunchRecord, settings: Ec2Settings) -> None:
    there, here = record.known["region"], settings.region
    if there != here:
        raise InputError(
            f"ec2.region {here}: cluster {record.known['cluster']!r} is in {there}; "
            "`metis cluster down` first, or choose another cluster.name"
        )


def _key(ec2: Any, state: Path, name: str, settings: Ec2Settings) -> tuple[str, str]:
    """Path of the private key and name of its pair in EC2: those given, or made for this cluster."""
    if settings.key_name and settings.key:
        if not Path(settings.key).is_file():
            raise InputError(f"ec2.key {settings.key}: there is no such private key")
        return str(Path(settings.key).absolute()), settings.key_name
    path, public = login_key(state)
    return str(path), ensure_key_pair(ec2, name, public)


def _order(
    ec2: Any,
    name: str,
    role: str,
    missing: list[str],
    how: tuple[Ec2Settings, str, str],
    record: LaunchRecord,
    report: Report,
) -> None:
    """Launch instances of a role, all or none.

    The token of an order is recorded before it is sent: sent again after a crash, it gives the same
    instances and not as many more. It stands for this order alone, until that is done or refused.
    """
    order = order_of(ec2, name, role, missing, how)
    orders = record.known["orders"]
    key = f"{role}: {','.join(missing)}: {digest_of(order)}"
    sent_before = key in orders
    orders.setdefault(key, str(uuid.uuid4()))
    record.write(f"launching {role}: {','.join(missing)}", orders=orders)
    try:
        made = send(ec2, order, orders[key], f"launching {len(missing)} {role}")
    except RefusedError as refused:
        del orders[key]
        record.write(None, orders=orders)
        if sent_before and refused.code in SPENT:
            _order(ec2, name, role, missing, how, record, report)
            return
        raise refused.error from None
    ids = {one["InstanceId"] for one in made}
    _until_listed(ec2, name, ids)
    del orders[key]
    record.write(None, orders=orders, instances=record.known["instances"] | dict.fromkeys(ids, role))
    if sent_before and not ids & {one["InstanceId"] for one in instances(ec2, name)}:
        # those of an order before a crash, that have ended since
        _order(ec2, name, role, missing, how, record, report)
        return
    report(f"{len(made)} {role} instances launched ({order['InstanceType']})")


def _until_listed(ec2: Any, name: str, ids: set[str]) -> None:
    """Wait until new instances are listed, those that have already ended included."""
    states = [*ALIVE, "shutting-down", "terminated"]
    wait_until(
        # boto3's waiter `instance_exists` ends once any of them is listed, and knows no tags
        lambda: ids <= {one["InstanceId"] for one in instances(ec2, name, states)},
        LISTED_WITHIN,
        EACH_LOOK,
        "AWS: what was launched is not listed; run the same again",
    )


def _named(ec2: Any, name: str, record: LaunchRecord, wanted: Mapping[str, str]) -> dict[str, Instance]:
    """The instances by name of host; those not named yet are given the free names of their role."""
    alive = sorted(instances(ec2, name), key=lambda one: (str(one.get("LaunchTime")), one["InstanceId"]))
    found = {tags_of(one)[HOST_TAG]: one for one in alive if HOST_TAG in tags_of(one)}
    for one in alive:
        if HOST_TAG in tags_of(one):
            continue
        role = tags_of(one).get(ROLE_TAG, "")
        free = [host for host, its in wanted.items() if its == role and host not in found]
        host = free[0] if free else f"spare-{one['InstanceId']}"
        tags = [{"Key": HOST_TAG, "Value": host}, {"Key": "Name", "Value": f"metis-{name}-{host}"}]
        with aws_errors(f"naming {host}"):
            ec2.create_tags(Resources=[one["InstanceId"]], Tags=tags)
        found[host] = one
        record.write(None, instances=record.known["instances"] | {one["InstanceId"]: host})
    return found


def _refuse_other_types(
    found: Mapping[str, Instance], wanted: Mapping[str, str], settings: Ec2Settings
) -> None:
    for host, role in wanted.items():
        its, wants = found[host]["InstanceType"] if host in found else None, type_of(role, settings)
        if its not in (wants, None):
            raise InputError(
                f"ec2.{role}_type {wants}: {host} runs as {its}; `metis cluster down` first, or ask for {its}"
            )


def _running(ec2: Any, name: str, wanted: list[str], deadline: float) -> dict[str, Instance]:
    """Wait until the wanted instances run, by name of host; those that were stopped are started."""
    found = _by_host(ec2, name)
    stopping = [one["InstanceId"] for one in found.values() if one["State"]["Name"] == "stopping"]
    if stopping:
        _wait(ec2, "instance_stopped", stopping, deadline, "stopping; run the same again")
        found = _by_host(ec2, name)
    stopped = [one["InstanceId"] for one in found.values() if one["State"]["Name"] == "stopped"]
    if stopped:
        with aws_errors("starting stopped instances"):
            ec2.start_instances(InstanceIds=stopped)
    late = "not running after ec2.wait; run the same again, or `metis cluster down`"
    ids = [found[host]["InstanceId"] for host in wanted if host in found]
    _wait(ec2, "instance_running", ids, deadline, late)
    found = _by_host(ec2, name)
    lost = [host for host in wanted if host not in found]
    if lost:  # spot capacity taken back, or a fault at start
        raise SurroundingsError(f"AWS: the instance of {lost[0]} ended by itself; run the same again")
    return {host: found[host] for host in wanted}


def _by_host(ec2: Any, name: str) -> dict[str, Instance]:
    return {tags_of(one).get(HOST_TAG, ""): one for one in instances(ec2, name)}


def _wait(ec2: Any, state: str, ids: list[str], deadline: float, late: str) -> None:
    """Wait for a state of instances, by boto3's waiter; ended ones are left for the caller to find.

    Raises:
        SurroundingsError: they do not get there in time; says what `late` says.
    """
    from botocore.exceptions import WaiterError

    if not ids:
        return
    looks = max(int((deadline - time.monotonic()) / EACH_LOOK), 1)
    patience = {"Delay": EACH_LOOK, "MaxAttempts": looks}
    with aws_errors(f"waiting for {', '.join(ids)}"):
        try:
            ec2.get_waiter(state).wait(InstanceIds=ids, WaiterConfig=patience)
        except WaiterError as error:
            if "terminal failure state" not in str(error):
                raise SurroundingsError(f"AWS: {', '.join(ids)}: {late}") from None


def _host(
    name: str, role: Role, instance: Instance, settings: Ec2Settings, key: str, locate: Locate | None
) -> Host:
    inner = instance["PrivateIpAddress"]
    address = instance.get("PublicIpAddress") or inner
    host = Host(name, role, address, user=settings.user, key=key, inner=inner)
    return locate(instance, host) if locate else host


def _learn_keys(
    ec2: Any,
    known_hosts: Path,
    hosts: Mapping[str, Host],
    running: Mapping[str, Instance],
    record: LaunchRecord,
    deadline: float,
) -> None:
    """Trust the host keys that instances print on their consoles; one that prints none stays unknown.

    Each console is read until it has keys, and never again: afterwards what a person accepted counts. An
    instance that was stopped has another address when it comes back, and the same key.
    """
    met: dict[str, Any] = record.known["met"]
    waiting: list[str] = []
    for name, host in hosts.items():
        known = met.get(running[name]["InstanceId"])
        if known is None:
            waiting.append(name)
        if known is None or known["address"] != entry_name(host):
            # addresses come back: what was trusted there may have been another machine
            trust(known_hosts, host, known["keys"] if known else [])
    while waiting:
        late = time.monotonic() > deadline
        for name in list(waiting):
            instance_id = running[name]["InstanceId"]
            keys = console_keys(ec2, instance_id)
            if keys or late:
                trust(known_hosts, hosts[name], keys)
                met[instance_id] = {"address": entry_name(hosts[name]), "keys": keys}
                waiting.remove(name)
        record.write("waiting for host keys" if waiting else None, met=met)
        if waiting:
            time.sleep(EACH_LOOK)


def _delete_group(ec2: Any, group: str, deadline: float) -> None:
    """Delete a security group once no instance uses it any more; no waiter of boto3 knows when."""
    from botocore.exceptions import ClientError

    def in_use(error: BaseException) -> bool:
        return isinstance(error, ClientError) and error.response["Error"]["Code"] == "DependencyViolation"

    patiently = Retrying(
        retry=retry_if_exception(in_use),
        stop=stop_after_delay(max(deadline - time.monotonic(), 0)),
        wait=wait_fixed(EACH_LOOK),
        reraise=True,
    )
    with aws_errors(f"deleting security group {group}"):
        try:
            patiently(ec2.delete_security_group, GroupId=group)
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidGroup.NotFound":
                raise
