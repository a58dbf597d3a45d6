"""Processes that begin with their imports done, handled as those of `subprocess`.

A process of `metis` or Prefect spends seconds on importing the same libraries anew. `Popen` here asks a
process that has imported them, and does nothing else, to fork: the new process is a child of the caller like
any other, with the environment, folder, pipes, session and signals of its own, and ends as Python does. What
it starts in turn (`metis run` its Prefect server, Prefect its flow runs) is forked likewise.

Prefect reads its settings from the environment where it is first imported: it is imported, and put aside
until a process imports it, which reads the settings anew. Our own modules are imported too, and what most
processes here compose was composed once: Hydra has found its plugins and read its grammar and our files.

Tests of starting itself (imports, the entry point, the encoding of a terminal) use `subprocess`.
"""

import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import importlib.util
import inspect
import io
import json
import os
import platform
import runpy
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

LIBRARIES = (
    *("pandas", "hydra", "mlflow", "mlflow.server", "sqlalchemy.ext.asyncio", "aiosqlite", "uvicorn"),
    *("scipy.sparse.linalg", "scipy.optimize", "sklearn.ensemble", "highspy"),
)
# not what is run with `-m`: Python warns where that was imported already
OWN = ("flows.stages.chain", "flows.command.verbs.run", "flows.command.verbs.serve", "flows.engine.store")
COMPOSED = ((), ("experiment=quick",))
ASIDE = "prefect"
MADE = "METIS_TESTS_MADE"  # variable with the folder of databases that are made already
SET_ASIDE = ("prefect", "prefect.engine", "prefect.main", "prefect.cli", "prefect.server.api.server")
CLONE = {"x86_64": 56, "aarch64": 220}.get(platform.machine()) if sys.platform == "linux" else None
CLONE_PARENT = 0x8000  # the child's parent is that of the process that forks it
ONE_THREAD = {  # threads are not forked
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
ABOVE = 200  # what is passed is moved above these numbers before it takes its own


PIPE = subprocess.PIPE
# what else `subprocess` can do, and processes here cannot
PLAIN = {"preexec_fn": None, "uid": None, "gid": None, "gids": None, "umask": -1, "process_group": -1}
GIVEN = inspect.signature(subprocess.Popen._execute_child)


class Popen(subprocess.Popen):
    """As `subprocess.Popen`; `python -m MODULE` and `python -c CODE` of this Python begin preloaded."""

    def _execute_child(self, *given):
        asked = GIVEN.bind(self, *given).arguments
        words = asked["args"]
        if (
            CLONE is None
            or not _is_python(words)
            or any(asked[name] != value for name, value in PLAIN.items())
        ):
            super()._execute_child(*given)
            return
        places = {0: asked["p2cread"], 1: asked["c2pwrite"], 2: asked["errwrite"]}
        places = {number: number if fd == -1 else fd for number, fd in places.items()}
        places |= {fd: fd for fd in asked["pass_fds"]}
        env = dict(os.environ if asked["env"] is None else asked["env"])
        request = {
            "words": [os.fspath(word) for word in words[1:]],
            "cwd": str(Path(asked["cwd"] or ".").absolute()),
            "env": {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()},
            "places": list(places),
            "session": bool(asked["start_new_session"]),
        }
        self.pid = _forker().ask(request, list(places.values()))
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in pipes))


def run(words, *, capture_output=False, timeout=None, check=False, **options):
    """As `subprocess.run`, in a process that begins preloaded."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(words, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(words, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def _is_python(words):
    return (
        not isinstance(words, str | bytes | os.PathLike)
        and len(words) > 2
        and os.fspath(words[0]) == sys.executable
        and words[1] in ("-m", "-c")
    )


class _Forker:
    """The caller's end of a process that forks for it."""

    def __init__(self, connection):
        self._connection, self._lock, self.owner = connection, threading.Lock(), os.getpid()

    def ask(self, request, fds):
        """Return the process id of a new child of this process."""
        text = json.dumps(request).encode()
        with self._lock:
            socket.send_fds(self._connection, [struct.pack("i", len(text))], fds)
            self._connection.sendall(text)
            return struct.unpack("i", _exactly(self._connection, 4))[0]


_own = None


def _forker():
    """Return this process's forker, started where there is none yet."""
    global _own
    if _own is None or _own.owner != os.getpid():
        ours, theirs = socket.socketpair()
        with tempfile.TemporaryDirectory() as folder:
            kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
            kept |= {"PREFECT_HOME": folder, "PYTHONPATH": os.pathsep.join(sys.path), **ONE_THREAD}
            command = [sys.executable, "-m", "tests.preloaded", str(theirs.fileno())]
            process = subprocess.Popen(command, env=kept, pass_fds=[theirs.fileno()], start_new_session=True)
            theirs.close()
            assert _exactly(ours, 1) == b"!"
        _own = _Forker(ours)
        atexit.register(_end, ours, process)
    return _own


def _end(connection, process):
    connection.close()
    process.wait()


def _exactly(connection, size):
    read = b""
    while len(read) < size:
        more = connection.recv(size - len(read))
        if not more:
            raise EOFError
        read += more
    return read


# ------------------------------------------------------------------------------- the process that forks


class _Aside:
    """A library that was imported, and comes back where it is imported: its settings are read then."""

    def __init__(self):
        names = [name for name in sys.modules if name.partition(".")[0] == ASIDE]
        self._modules = {name: sys.modules.pop(name) for name in names}
        self._specs = {name: module.__spec__ for name, module in self._modules.items()}

    def find_spec(self, name, path=None, target=None):
        del path, target
        if name not in self._modules or name in sys.modules:
            return None
        return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec):
        sys.modules.update(self._modules)
        return self._modules[spec.name]

    def exec_module(self, module):
        sys.meta_path.remove(self)
        module.__spec__ = self._specs[module.__name__]
        context = importlib.import_module(f"{ASIDE}.context")
        context.refresh_global_settings_context()
        configuration = importlib.import_module(f"{ASIDE}.logging.configuration")
        configuration.PROCESS_LOGGING_CONFIG.clear()
        configuration.setup_logging()


def _serve(connection):
    """Fork for each request, until the process that asks is gone; return in what was forked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            size, fds, _, _ = socket.recv_fds(connection, 4, 64)
            if not size:
                os._exit(0)
            size += _exactly(connection, 4 - len(size)) if len(size) < 4 else b""
            request = json.loads(_exactly(connection, struct.unpack("i", size)[0]))
        except (EOFError, ConnectionError):
            os._exit(0)
        pid = _fork_beside()
        if not pid:
            connection.close()
            return request, fds
        for fd in fds:
            os.close(fd)
        connection.sendall(struct.pack("i", pid))


def _fork_beside():
    """As `os.fork`, but the new process is a child of our own parent."""
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    pid = ctypes.PyDLL(None).syscall(CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid:
        python.PyOS_AfterFork_Parent()
    else:
        python.PyOS_AfterFork_Child()
    return pid


def _take_places(fds, places):
    """Give what was passed its numbers, and close all else."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, ABOVE) for fd in fds]
    for fd, number in zip(moved, places, strict=True):
        os.dup2(fd, number)
    _close_all_but(places)


def _close_all_but(kept):
    limit = min(os.sysconf("SC_OPEN_MAX"), 4096)
    begin = 3
    for number in sorted(fd for fd in kept if fd >= begin):
        os.closerange(begin, number)
        begin = number + 1
    os.closerange(begin, limit)


def _become(request, fds):
    """Take on all that a new process has of its own; its stream objects too."""
    if request["session"]:
        os.setsid()
    _take_places(fds, request["places"])
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8").partition(":")[0]
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        raw = io.FileIO(number, mode, closefd=False)
        buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
        errors = "backslashreplace" if name == "stderr" else "strict"
        lines = name == "stderr" or raw.isatty()
        stream = io.TextIOWrapper(buffer, encoding, errors, line_buffering=lines)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    paths = [path for path in request["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = dict.fromkeys([request["cwd"], *paths, *sys.path])
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _own_forker():
    """Fork a forker for what this process starts in turn; in that one, return the next request."""
    global _own
    ours, theirs = socket.socketpair()
    if os.fork():
        theirs.close()
        _own = _Forker(ours)
        subprocess.Popen = Popen
        return None
    ours.close()
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    _close_all_but([theirs.fileno()])
    return _serve(theirs)


def _execute(words):
    """Run `-m MODULE ...` or `-c CODE ...` as Python does."""
    option, what, *rest = words
    sys.argv = [what if option == "-m" else option, *rest]
    if option == "-m":
        if what.partition(".")[0] == ASIDE:
            importlib.import_module(ASIDE)  # `runpy` wants the module's own loader
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})


def _copy_made_databases():
    """Let a database that this process creates begin as a copy of one that the tests made, where they did."""
    folder = Path(os.environ.get(MADE) or os.devnull)
    for name, of, creates in (("mlflow.db", "engine", "create"), ("prefect.db", "prefect", "migrate")):
        if (made := folder / name).is_file():
            module = importlib.import_module(f"flows.{of}.database")
            setattr(module, creates, lambda path, *_, made=made: shutil.copy(made, path))


def _end_as_python_does(words):
    code = 0
    try:
        _copy_made_databases()
        _execute(words)
    except SystemExit as ended:
        code = ended.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(BaseException):
        threading._shutdown()
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # a full disk, a closed pipe
            code = code or 120
    os._exit((code or 0) & 0xFF)


def main():
    """Import what takes seconds; fork for whoever asks on the socket."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    gc.disable()  # a quarter of the time of importing
    for name in (*SET_ASIDE, *LIBRARIES, *OWN):
        importlib.import_module(name)
    from flows.configuration.compose import compose_plain
    from flows.configuration.settings import validated

    for words in COMPOSED:
        validated(compose_plain(words))
    sys.meta_path.insert(0, _Aside())
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread of a library would be lost"
    gc.collect()
    gc.freeze()
    gc.enable()
    connection.sendall(b"!")
    request, fds = _serve(connection)
    while True:  # each turn in a process of its own
        _become(request, fds)
        next_ = _own_forker()
        if next_ is None:
            _end_as_python_does(request["words"])
        request, fds = next_


if __name__ == "__main__":
    main()
