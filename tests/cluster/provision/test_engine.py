"""The connections to an engine over SSH that are kept for the next question."""

from cluster.provision.engine import IDLE_CONNECTIONS, _Pool


def test_more_connections_than_are_kept_are_closed_in_silence(caplog, monkeypatch):
    """urllib3 warned on the terminal, in the midst of a profile's progress."""
    pool, closed = _Pool(lambda command: None, "docker system dial-stdio", 1.0), []
    used = [pool._get_conn() for _ in range(IDLE_CONNECTIONS + 2)]
    for one in used:
        monkeypatch.setattr(one, "close", lambda one=one: closed.append(one))
        pool._put_conn(one)
    assert closed == used[IDLE_CONNECTIONS:]
    assert not caplog.records
