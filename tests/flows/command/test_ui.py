"""`metis ui` where it cannot start; that it responds, and to whom: tests/pipeline/test_compare_view.py."""

import socket

from flows.command.main import main


def test_a_port_that_is_taken_is_reported(tracking, capfd):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["ui", tracking, f"tracking.port={port}"]) == 1
    assert capfd.readouterr().err.endswith(
        f"metis: port {port} is taken; choose another with tracking.port=\n"
    )
