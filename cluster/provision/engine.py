"""The Docker SDK over an SSH connection of ours: each HTTP connection is one `docker system dial-stdio`."""

import queue
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests.adapters
import urllib3
import urllib3.connection

from cluster.provision.inventory import Host
from cluster.provision.shell import LONGEST, last_line
from metis.errors import MetisError, SurroundingsError

if TYPE_CHECKING:
    import docker

# what docker.APIClient itself uses over SSH, and looks at to find the socket of a stream
BASE_URL = "http+docker://ssh"
IDLE_CONNECTIONS = 4

OpenChannel = Callable[[str], Any]


class _Connection(urllib3.connection.HTTPConnection):
    """HTTP through a channel of an SSH connection."""

    def __init__(self, open_channel: OpenChannel, command: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._open_channel = open_channel
        self._command = command

    def connect(self) -> None:
        channel = self._open_channel(self._command)
        channel.settimeout(self.timeout)
        self.sock = channel

    @property
    def gone(self) -> bool:
        """Whether the other end has hung up."""
        channel: Any = self.sock
        return channel is None or channel.closed or channel.eof_received or not channel.get_transport().active


class _Pool(urllib3.HTTPConnectionPool):
    def __init__(self, open_channel: OpenChannel, command: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout, maxsize=IDLE_CONNECTIONS)
        self._make: Callable[[], _Connection] = lambda: _Connection(open_channel, command, timeout)

    def _new_conn(self) -> Any:
        return self._make()

    def _get_conn(self, timeout: float | None = None) -> Any:
        # urllib3's own asks a connection for its fileno(), for which paramiko opens a pipe each time
        assert self.pool is not None
        try:
            kept: Any = self.pool.get(block=False)
        except queue.Empty:
            kept = None
        if kept is not None and kept.sock is not None and kept.gone:
            kept.close()
        return kept or self._new_conn()

    def _put_conn(self, conn: Any) -> None:
        # urllib3's own warns on the terminal where more come back than are kept
        try:
            if self.pool is not None:
                self.pool.put(conn, block=False)
                return
        except queue.Full:
            pass
        if conn is not None:
            conn.close()


class SshAdapter(requests.adapters.HTTPAdapter):
    """Requests over `open_channel(command)`, which returns a channel that runs the command.

    Args:
        open_channel: opens one on a verified connection, anew where that was lost.
        command: that connects its standard input and output to the engine.
        timeout: seconds of silence after which a request is given up.
    """

    def __init__(self, open_channel: OpenChannel, command: str, timeout: float) -> None:
        self._pool = _Pool(open_channel, command, timeout)
        # repeated when the connection kept for it proves dead: a query may be, an order may not
        repeats = urllib3.Retry(
            total=2, read=2, connect=0, status=0, allowed_methods=["GET", "HEAD"], backoff_factor=0.5
        )
        super().__init__(max_retries=repeats)

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        """The one pool there is."""
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Mapping[str, str] | None) -> str:
        """The path alone: a proxy of the environment is not for an engine."""
        return request.path_url

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()
        super().close()


def connect(open_channel: OpenChannel, command: str, timeout: float) -> "docker.DockerClient":
    """A client of the Docker SDK that talks through `open_channel`; asks the engine for its version.

    Raises:
        MetisError: what opening a channel raises: SSH is in the way, not the engine.
        DockerException: the engine does not respond; says what the command to reach it said.
    """
    import docker

    # with a version given nothing is sent yet, so that the transport can still be changed
    client = docker.DockerClient(base_url="tcp://localhost:2375", version="1.41", timeout=timeout)
    client.api.trust_env = False
    last: list[Any] = []

    def opened(words: str) -> Any:
        last[:] = [open_channel(words)]
        return last[0]

    client.api.mount("http+docker://", SshAdapter(opened, command, timeout))
    client.api.base_url = BASE_URL
    try:
        client.api._version = client.api._retrieve_server_version()
    except docker.errors.DockerException as error:
        client.close()
        if isinstance(error.__cause__, MetisError):
            raise error.__cause__ from None
        said = last[0].recv_stderr(LONGEST) if last and last[0].recv_stderr_ready() else b""
        raise docker.errors.DockerException(last_line(said.decode(errors="replace")) or error) from None
    return client


@contextmanager
def engine_errors(host: Host, doing: str) -> Iterator[None]:
    """Turn failures of the Docker SDK into one line that names the host.

    Args:
        host: whose engine is used.
        doing: what is done, for instance `creating service web`.

    Raises:
        SurroundingsError: the engine refused or did not respond.
    """
    import paramiko
    from docker.errors import APIError, DockerException

    try:
        yield
    except APIError as error:
        raise SurroundingsError(f"{host.name}: {doing}: {_line(error.explanation or error)}") from None
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise SurroundingsError(
            f"{host.name}: {doing}: the engine does not respond ({_line(error)})"
        ) from None
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise SurroundingsError(f"{host.name}: {doing}: the connection was lost ({_line(error)})") from None


def _line(error: Any) -> str:
    return " ".join(str(error).split())[:300]
