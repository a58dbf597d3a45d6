"""A home of the test's own, and an SSH server that lets its key in."""

import pytest

from tests.cluster.provision.sshd import make_key, running


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of the test's own, without an agent, with a key `login` and no SSH configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir()
    make_key(tmp_path / "login")
    return tmp_path


@pytest.fixture
def server(home):
    with running(home / "server") as one:
        one.let_in(home / "login")
        yield one
