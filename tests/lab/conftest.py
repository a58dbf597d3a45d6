"""A lab for all tests of this folder: a real Swarm of containers, gone when they end.

Without an engine the tests are skipped, saying why; with METIS_REQUIRE_LAB=1, as in CI, they fail instead.
"""

import os
import uuid

import pytest

from cluster.provision.hosts import Fleet
from cluster.provision.lab import lab as labs
from cluster.provision.lab.compose import compose_command
from cluster.provision.lab.image import LAB_BUILD, local_engine, node_image
from cluster.settings import ConnectSettings
from cluster.swarm import membership as swarm
from metis.errors import SurroundingsError

WORKERS = 2


@pytest.fixture(scope="session")
def engine():
    """The engine of this machine, with the image of a node built and Compose at hand."""
    try:
        found = local_engine()
        compose_command()
        node_image(found, LAB_BUILD)
    except SurroundingsError as error:
        if os.environ.get("METIS_REQUIRE_LAB") == "1":
            pytest.fail(f"METIS_REQUIRE_LAB=1, but {error}", pytrace=False)
        pytest.skip(f"no lab here: {error}")
    return found


@pytest.fixture(scope="session")
def lab_name():
    """A name that no other lab on this machine has."""
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def lab_state(tmp_path_factory):
    """The state folder of the lab."""
    return tmp_path_factory.mktemp("lab") / "state"


@pytest.fixture(scope="session")
def lab(engine, lab_state, lab_name):
    """The Inventory of a running lab whose hosts are one Swarm; for all tests of a session."""
    try:
        inventory = labs.up(lab_state, lab_name, WORKERS)
        with Fleet(inventory, ConnectSettings()) as fleet:
            inventory = swarm.prepare(fleet)
        inventory.save(lab_state / labs.INVENTORY)
        yield inventory
    finally:
        labs.down(lab_state, lab_name)


@pytest.fixture(scope="session")
def lab_fleet(lab):
    """Connections to the hosts of the lab."""
    with Fleet(lab, ConnectSettings()) as fleet:
        yield fleet
