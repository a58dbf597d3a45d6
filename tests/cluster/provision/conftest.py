"""An account at moto's EC2 server, for the suites about instances."""

import json

import pytest

from cluster.provision.ec2 import instances as ec2
from cluster.provision.ec2.account import client
from cluster.settings import Ec2Settings

SECRET = "a-secret-that-nobody-may-read"
IMAGE = "ami-debian12"
CONSOLE = """
-----BEGIN SSH HOST KEY KEYS-----
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJvb3RhbmRicmFuY2hlc29mYXRyZWVzdGFuZGluZw root@ip
-----END SSH HOST KEY KEYS-----
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Endpoint of a moto server of this module's own, that knows two images."""
    from moto.server import ThreadedMotoServer

    images = tmp_path_factory.mktemp("moto") / "images.json"
    images.write_text(json.dumps([image_of(IMAGE, "20260101"), image_of("ami-older", "20250101")]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_AMIS_PATH", str(images))
        running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        running.start()
        host, port = running.get_host_and_port()
        yield f"http://{host}:{port}"
        running.stop()


def image_of(ami_id, date):
    """An image as Debian publishes them, in the form of moto's file."""
    return {
        "ami_id": ami_id,
        "name": f"debian-12-amd64-{date}-1",
        "description": "Debian 12",
        "owner_id": "136693071363",
        "public": True,
        "virtualization_type": "hvm",
        "architecture": "x86_64",
        "state": "available",
        "platform": None,
        "image_type": "machine",
        "hypervisor": "xen",
        "root_device_name": "/dev/xvda",
        "root_device_type": "ebs",
        "sriov": "simple",
        "creation_date": f"{date[:4]}-01-01T00:00:00.000Z",
    }


@pytest.fixture
def account(server, monkeypatch):
    """A fresh account with credentials in the environment: a client for the test's own questions."""
    import requests
    from moto.ec2.responses import general

    requests.post(f"{server}/moto-api/reset", timeout=10)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setattr(general, "SAMPLE_CONSOLE_OUTPUT", CONSOLE)
    monkeypatch.setattr(ec2, "EACH_LOOK", 0.05)
    return client("us-east-1", server)


@pytest.fixture
def settings(account, server):
    """Of that account; moto takes long to look for an image, which one test has it do."""
    return Ec2Settings(from_address="203.0.113.7/32", endpoint=server, wait=5, image=IMAGE)


def alive(account):
    found = account.describe_instances()["Reservations"]
    every = [one for each in found for one in each["Instances"]]
    return [one for one in every if one["State"]["Name"] not in ("terminated", "shutting-down")]
