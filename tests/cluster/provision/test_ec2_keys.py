"""Host keys of instances: read from what they print on their console, at moto's EC2 server."""

from dataclasses import replace
from pathlib import Path

from cluster.provision.ec2.account import printed_keys
from cluster.provision.ec2.instances import launch
from tests.cluster.provision.conftest import alive


def test_host_keys_are_read_from_what_cloud_init_prints():
    console = """[   12.3] cloud-init[500]: started
-----BEGIN SSH HOST KEY KEYS-----
ssh-rsa AAAAB3old root@ip
-----END SSH HOST KEY KEYS-----
<14>Nov 22 ec2: -----BEGIN SSH HOST KEY KEYS-----
<14>Nov 22 ec2: ecdsa-sha2-nistp256 AAAAE2VjZHNh root@ip-10-0-0-1
<14>Nov 22 ec2: ssh-ed25519 AAAAC3NzaC1lZDI1 root@ip-10-0-0-1
-----END SSH HOST KEY KEYS-----
Debian GNU/Linux 12
"""
    assert printed_keys(console) == [
        "ssh-ed25519 AAAAC3NzaC1lZDI1",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNh",
    ]
    assert printed_keys("") == []
    assert printed_keys("-----BEGIN SSH HOST KEY KEYS-----\nssh-rsa AAAAcut off") == []


def test_keys_on_the_console_are_trusted(account, settings, tmp_path):
    inventory = launch(tmp_path, "lab1", 1, settings)
    lines = Path(inventory.known_hosts).read_text().split("\n")
    assert [line.split()[0] for line in lines if line] == [host.address for host in inventory.hosts]
    assert [line.split()[2] for line in lines if line] == [
        "AAAAC3NzaC1lZDI1NTE5AAAAIHJvb3RhbmRicmFuY2hlc29mYXRyZWVzdGFuZGluZw"
    ] * 3


def test_what_a_person_accepted_stays(account, settings, tmp_path):
    inventory = launch(tmp_path, "lab1", 1, settings)
    accepted = f"{inventory.manager.address} ssh-ed25519 AAAAaccepted\n"
    Path(inventory.known_hosts).write_text(accepted)
    launch(tmp_path, "lab1", 1, settings)
    assert Path(inventory.known_hosts).read_text() == accepted


def test_a_started_instance_keeps_its_key_at_its_new_address(account, settings, tmp_path):
    before = launch(tmp_path, "lab1", 1, settings)
    account.stop_instances(InstanceIds=[one["InstanceId"] for one in alive(account)])
    after = launch(tmp_path, "lab1", 1, settings)
    lines = Path(after.known_hosts).read_text().splitlines()
    assert {host.address for host in after.hosts} <= {line.split()[0] for line in lines}
    assert [host.name for host in after.hosts] == [host.name for host in before.hosts]


def test_an_instance_that_prints_no_key_stays_unknown(account, settings, tmp_path, monkeypatch):
    from moto.ec2.responses import general

    monkeypatch.setattr(general, "SAMPLE_CONSOLE_OUTPUT", "booting")
    inventory = launch(tmp_path, "lab1", 1, replace(settings, wait=1))
    assert Path(inventory.known_hosts).read_text().strip() == ""
