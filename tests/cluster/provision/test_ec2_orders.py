"""Tokens of orders as EC2 treats them, which moto does not; and endpoints that are none of EC2."""

import http.server
import json
import threading
from contextlib import contextmanager
from dataclasses import replace

import botocore.client
import pytest
from botocore.exceptions import ClientError

from cluster.provision.ec2.account import client
from cluster.provision.ec2.instances import launch
from metis.errors import SurroundingsError
from tests.cluster.provision.conftest import alive


class Tokens:
    """EC2's rules for tokens of orders: one order each, for as long as its instances live.

    Attributes:
        refuse: error codes that the next orders are refused with.
        crash: whether the next order crashes here once it is done there.
        seen: tokens of all orders, in order.
    """

    def __init__(self, account, patch):
        self.account, self.refuse, self.crash, self.seen = account, [], False, []
        self._orders = {}
        self._call = botocore.client.BaseClient._make_api_call
        # the function, not a bound method: it is called with the client as its first argument
        patch.setattr(botocore.client.BaseClient, "_make_api_call", lambda *given: self._called(*given))

    def _called(self, of, operation, given):
        if operation != "RunInstances":
            return self._call(of, operation, given)
        order = dict(given)
        token = order.pop("ClientToken")
        self.seen.append(token)
        if self.refuse:
            raise error(self.refuse.pop(0))
        known, ids = self._orders.get(token, (order, None))
        if known != order:
            raise error("IdempotentParameterMismatch")
        if ids is not None and not ids & {one["InstanceId"] for one in alive(self.account)}:
            raise error("IdempotentInstanceTerminated")
        made = self._call(of, operation, order)
        self._orders[token] = order, {one["InstanceId"] for one in made["Instances"]}
        if self.crash:
            self.crash = False
            raise KeyboardInterrupt
        return made


def error(code):
    return ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {}}, "RunInstances")


@pytest.fixture
def tokens(account, monkeypatch):
    return Tokens(account, monkeypatch)


def orders(folder):
    return json.loads((folder / "ec2.json").read_text())["orders"]


def test_after_a_refusal_another_type_is_another_order(account, settings, tokens, tmp_path):
    tokens.refuse = ["InsufficientInstanceCapacity"]
    with pytest.raises(SurroundingsError, match="AWS: launching 1 manager: InsufficientInstanceCapacity: no"):
        launch(tmp_path, "lab1", 1, settings)
    assert orders(tmp_path) == {}
    launch(tmp_path, "lab1", 1, replace(settings, manager_type="m5.xlarge"))
    assert len(set(tokens.seen)) == len(tokens.seen) == 4
    assert len(alive(account)) == 3


def test_where_an_order_may_have_been_done_its_token_is_kept_for_the_same_order(
    account, settings, tokens, tmp_path
):
    tokens.refuse = ["InternalError"]
    with pytest.raises(SurroundingsError, match="InternalError"):
        launch(tmp_path, "lab1", 1, settings)
    (kept,) = orders(tmp_path).values()
    launch(tmp_path, "lab1", 1, replace(settings, disk_gb=50))  # another order, so another token
    assert tokens.seen[:2][0] == kept != tokens.seen[1]


def test_instances_that_ended_after_a_crash_are_launched_again(account, settings, tokens, tmp_path):
    tokens.crash = True
    with pytest.raises(KeyboardInterrupt):
        launch(tmp_path, "lab1", 1, settings)
    assert len(orders(tmp_path)) == 1
    account.terminate_instances(InstanceIds=[one["InstanceId"] for one in alive(account)])
    inventory = launch(tmp_path, "lab1", 1, settings)
    assert len(alive(account)) == len(inventory.hosts) == 3
    assert orders(tmp_path) == {}
    assert tokens.seen[0] == tokens.seen[1] != tokens.seen[2]


@contextmanager
def responding(status, body, kind):
    """The URL of a server that sends the same to everybody."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (200, b"<html>\n<body>Sign in</body></html>", "text/html", "status 200, a web page: 'Sign in'"),
        (200, b"<!DOCTYPE html><p>Sign<br>in", "text/plain", "status 200, a web page: 'Sign in'"),
        (404, b"<html><h1>Not here</h1></html>", "text/html", "status 404, a web page: 'Not here'"),
        (200, b"neither", "text/plain", "Unable to parse response"),
        (404, b"<a/>", "text/xml", "AWS: .*: status 404"),
    ],
)
def test_a_page_instead_of_ec2_is_one_line(settings, tmp_path, status, body, kind, reason):
    client.cache_clear()
    with (
        responding(status, body, kind) as url,
        pytest.raises(SurroundingsError, match=reason) as failed,
    ):
        launch(tmp_path, "lab1", 1, replace(settings, endpoint=url))
    assert "\n" not in str(failed.value)
    assert len(str(failed.value)) < 500
