"""Commands that are interrupted, lose who reads them, or print to a terminal that knows few characters."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from baselines.stepwise import place_stepwise
from flows.command.main import main
from flows.configuration.sections import TrackingSettings
from flows.engine.store import Store
from tests import preloaded
from tests.forked import metis
from tests.pipeline.test_chain import SMALL
from tests.waiting import wait_until

SIGN = "METIS_TEST_SIGN"


def deaf(group, cluster, worth):
    """A user's scheduler that shows that it has begun, and does not listen, as a solver in C."""
    Path(os.environ[SIGN]).touch()
    until = time.monotonic() + 600
    while time.monotonic() < until:
        try:
            time.sleep(1)
        except KeyboardInterrupt:
            continue


def swallowing(group, cluster, worth):
    """A user's scheduler in which Ctrl-C is lost, as in a library's bare `except` or a callback."""
    with suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    return place_stepwise(group, cluster, lambda app, ids, admitted: int(admitted.argmax())), {}


def environment(**more):
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]), **more}


@pytest.mark.parametrize(
    ("verb", "how", "code"), [("run", signal.SIGTERM, 143), ("place", signal.SIGINT, 130)]
)
def test_an_interrupt_is_two_lines_and_marks_the_runs(tracking, tmp_path, full_profile, verb, how, code):
    """Of a scheduler that does not listen; one that does: test_secrets.py and test_resume.py."""
    sign = tmp_path / "sign"
    name = f"{__name__}:deaf"
    if verb == "run":
        words = ["experiment=quick", *SMALL[1:-1], tracking, "tracking.orchestrate=false"]
        words += [f"schedulers=[greedy,{name}]", "images.arguments={A:c4nary}"]
    else:
        words = [tracking, "profile=file", f"profile.path={full_profile}", "simulator=table"]
        words += ["cluster.slots=3", "cluster.nodes=9", "group.size=20", f"scheduler={name}"]
    process = metis(tmp_path, [verb, *words], **{SIGN: str(sign)})
    wait_until(sign.exists, "the step did not begin", process)
    process.send_signal(how)
    out, err = process.communicate()
    lines = err.strip().splitlines()
    assert process.returncode == code, err
    assert lines[-2] == ("metis: terminated" if how == signal.SIGTERM else "metis: interrupted")
    assert shlex.split(lines[-1])[:2] == ["metis", verb]
    assert "Traceback" not in err
    assert "c4nary" not in err
    assert out == ""
    store = Store(TrackingSettings(path=str(tmp_path / "mlruns")))
    states = {run.info.status for run in store._client.search_runs([store.experiment])}
    assert states == {"FINISHED", "KILLED"} if verb == "run" else states <= {"FINISHED"}


def test_an_interrupt_that_is_lost_ends_the_command_all_the_same(tracking, tmp_path):
    words = ["cluster.nodes=6", "group.size=9", "simulator=testbed", "cluster.slots=3", tracking]
    process = metis(tmp_path, ["place", *words, f"scheduler={__name__}:swallowing"])
    out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-2] == "metis: interrupted"


# the command interrupts itself while it ends: in a handler at exit, or while a thread is waited for
AT_EXIT = """
import atexit, os, signal, sys, threading, time
def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
def late():
    ended.wait()
    time.sleep(0.2)
    interrupt()
ended = threading.Event()
if sys.argv[1] == "handler":
    atexit.register(interrupt)
else:
    threading.Thread(target=late).start()
from flows.command.main import main
sys.argv = ["metis", "config", "place"]
code = main()
ended.set()
sys.exit(code)
"""


@pytest.mark.parametrize("where", ["handler", "thread"])
def test_an_interrupt_while_a_command_ends_is_without_a_word(where):
    ended = preloaded.run([sys.executable, "-c", AT_EXIT, where], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "")
    assert "group:" in ended.stdout


PLACE = "place simulator=testbed scheduler=greedy cluster.nodes=6 cluster.slots=3 group.size=9"


@pytest.mark.parametrize(("words", "moments"), [("config place", 12), (PLACE, 6)])
def test_an_interrupt_at_any_moment_is_no_traceback(tmp_path, tracking, words, moments):
    """From the first import of a verb to the last handler at exit: moments spread over what it takes."""
    command = [sys.executable, "-m", "flows.command.main", *words.split()]
    command += [tracking] if command[3] == "place" else []
    given = {"text": True, "cwd": tmp_path, "env": environment(), "stderr": subprocess.PIPE}
    preloaded.run(command, stdout=subprocess.PIPE, **given)  # the first one waits for the libraries
    begun = time.monotonic()
    preloaded.run([*command, "seed=99"], stdout=subprocess.PIPE, **given)
    takes, codes = time.monotonic() - begun, set()
    for i in range(moments):
        seed = [f"seed={i + 1}"] if command[3] == "place" else []  # else all is found
        process = preloaded.Popen([*command, *seed], stdout=subprocess.PIPE, **given)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=takes * (0.2 + i / moments))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        codes.add(process.returncode)
        assert not {"Traceback", "Exception"} & set(err.replace(":", " ").split()), err
        said = [line for line in err.splitlines() if line.startswith("metis")]
        assert len(said) <= 2, err
        assert said[:1] in ([], ["metis: interrupted"])
    assert codes <= {0, 130, -signal.SIGINT}  # the last where Python itself had begun to end


def test_an_interrupt_that_a_library_hides_is_one(monkeypatch, capsys):
    """Hydra closes in its `finally` a file that was not opened yet."""

    def interrupted(words):
        try:
            raise KeyboardInterrupt
        finally:
            raise UnboundLocalError("cannot access local variable 'f'")

    monkeypatch.setattr("flows.configuration.compose.compose_plain", interrupted)
    assert main(["config", "place"]) == 130
    assert capsys.readouterr().err == "metis: interrupted\nmetis config place\n"


# Ctrl-C while the command is still importing what it needs to know that
AT_ONCE = """
import os, signal, sys
wanted = sys.argv[1]
class Interrupts:
    def find_spec(name, path=None, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts)
from flows.command.main import main
sys.argv = ["metis", "config", "place"]
sys.exit(main())
"""


@pytest.mark.parametrize("name", ["flows.command.commands", "click"])
def test_an_interrupt_during_the_first_imports_is_without_a_word(name):
    command = [sys.executable, "-c", AT_ONCE, name]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_an_interrupt_that_is_ignored_stays_ignored():
    """As a shell has it for a command in the background (`nohup metis ... &`)."""
    command = ["bash", "-c", 'trap "" INT; exec "$@"', "bash", sys.executable, "-c", AT_ONCE, "click"]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "closed"),
    [("--help", ">&-"), ("config place", ">&-"), ("config place", "2>&-"), ("place", "<&- >&- 2>&-")],
)
def test_closed_streams_change_nothing_else(tmp_path, tracking, words, closed):
    """The numbers are taken, so that no file that is opened gets what is printed."""
    given = [*PLACE.split()[1:], tracking] if words.startswith("place") else []
    call = [sys.executable, "-m", "flows.command.main", *words.split(), *given]
    options = {"capture_output": True, "text": True, "env": environment(), "cwd": tmp_path}
    ended = preloaded.run(["bash", "-c", f'exec "$@" {closed}', "bash", *call], **options)
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 0
    assert bool(ended.stdout) == (" >&-" not in f" {closed}")


VERBS = ["--help", "config", "run --help", "completion bash", "doctor --help"]
READERS = {"has enough": (True, 1), "is gone": (True, 0), "is gone before the first line": (False, 0)}
# each command in a process forked from one that has imported it: for a reader and a command's words, the
# command's code and how many lines were read
FORKED = """
import json, os, sys
from flows.command.main import main
from flows.configuration.compose import compose_plain
found, _ = {}, compose_plain([])
for reader, (buffered, lines) in json.loads(sys.argv[1]).items():
    found[reader] = {}
    for words in json.loads(sys.argv[2]):
        reading, writing = os.pipe()
        if not lines:
            os.close(reading)
        child = os.fork()
        if not child:
            os.dup2(writing, 1)
            os.close(writing)
            if lines:
                os.close(reading)
            sys.stdout.reconfigure(write_through=not buffered)
            sys.exit(main(words.split()))
        os.close(writing)
        line = ""
        if lines:
            with open(reading) as opened:
                line = opened.readline()
        found[reader][words] = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), line.count("\\n")]
print(json.dumps(found))
"""


def test_a_reader_that_has_enough_or_is_gone():
    """Of one that is gone: without a buffer the first line fails, with one the last flush does."""
    kept = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    ended = subprocess.run(
        [sys.executable, "-c", FORKED, json.dumps(READERS), json.dumps(VERBS)],
        capture_output=True,
        text=True,
        env=kept,
    )
    assert ended.stderr == ""
    assert json.loads(ended.stdout) == {
        reader: {words: [0, lines] for words in VERBS} for reader, (_, lines) in READERS.items()
    }


# several commands one after another in one process, each after a `;`; their codes on standard error
IN_TURN = """
import sys
from flows.command.main import main
starts = [at for at, word in enumerate(sys.argv) if word == ";"]
codes = [main(sys.argv[at + 1 : end]) for at, end in zip(starts, [*starts[1:], None])]
print(codes, file=sys.stderr)
"""


def test_a_terminal_that_knows_few_characters(tmp_path, full_profile):
    """`→` and the lines of tables are no part of ASCII."""
    words = f"place profile=file profile.path={full_profile} simulator=table cluster.slots=3 cluster.nodes=4"
    words += (
        f" group.size=9 scheduler=greedy existing={tmp_path / 'none→.csv'} tracking.path={tmp_path / 'r→s'}"
    )
    kept = environment(PYTHONIOENCODING="ascii", LANG="C", LC_ALL="C", PYTHONUTF8="0")
    given = f"; {words} ; config ; run --help ; doctor tracking.path={tmp_path}".split()
    ended = subprocess.run([sys.executable, "-c", IN_TURN, *given], capture_output=True, env=kept)
    assert b"Traceback" not in ended.stderr
    assert b"metis: " in ended.stderr
    assert ended.stderr.splitlines()[-1] == b"[2, 0, 0, 0]"
    ended.stdout.decode("ascii")


@pytest.mark.parametrize("word", ["seed=range(0,0)", "seed=", "group.size=range(5,5)"])
def test_a_sweep_of_nothing_is_refused(word, tracking, capfd):
    assert main(["run", "-m", "experiment=quick", tracking, word]) == 2
    err = [line for line in capfd.readouterr().err.splitlines() if not line.endswith("so far")]
    assert len(err) == 1
    assert err[0].startswith("metis: ")
    assert word.partition("=")[0] in err[0]


# reads everything, as the interpreter may lie in root's home, and writes only what is its own
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] + [
    f"--{which}-caps=-all,+dac_read_search" for which in ("inh", "ambient")
]


def test_as_others_run_it(tmp_path, full_profile, empty_database):
    """As in a container: no home, a strict umask, a checkout that is read-only; all goes into one folder.

    As root also as another user.
    """
    words = ["profile=file", f"profile.path={full_profile}", "simulator=table", "cluster.slots=3"]
    words += ["cluster.nodes=4", "group.size=9", "scheduler=greedy", "tracking.path=mlruns", "output=json"]
    kept = {name: value for name, value in environment().items() if name != "HOME"}
    kept |= {"PYTHONDONTWRITEBYTECODE": "1"}
    by = []
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    if os.geteuid() == 0 and shutil.which("setpriv"):
        for path in (tmp_path, folder, *folder.iterdir()):
            os.chown(path, 65534, 65534)
        by = NOBODY
        touch = [*by, "touch", f"{Path(__file__).parents[3]}/touched"]
        assert subprocess.run(touch, capture_output=True).returncode != 0
    both = [";", "place", *words, ";", "doctor", "tracking.path=mlruns"]
    command = [*by, "bash", "-c", 'umask 077 && exec "$@"', "bash", sys.executable, "-c", IN_TURN, *both]
    ended = subprocess.run(command, capture_output=True, text=True, env=kept, cwd=tmp_path)
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1] == "[0, 0]", ended.stderr + ended.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mlruns"]


def test_what_only_reads_does_so_in_a_folder_that_is_read_only(tmp_path, full_profile, empty_database):
    """As another user where this one is root, whom no permission keeps from writing."""
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    where, chain = f"tracking.path={folder}", ["experiment=quick", *SMALL[1:-1], "until=setup"]
    assert main(["run", *chain, where, "tracking.orchestrate=false"]) == 0
    by = NOBODY if os.geteuid() == 0 and shutil.which("setpriv") else []
    for path in (tmp_path, *folder.rglob("*"), folder):
        path.chmod(path.stat().st_mode & 0o555 | (0o555 if path.is_dir() else 0o444))
    given = ["; status", *chain, where, "; gc", where, "; runs", where]
    call = [*by, sys.executable, "-c", IN_TURN, *" ".join(given).split()]
    try:
        kept = environment(PYTHONDONTWRITEBYTECODE="1")
        ended = subprocess.run(call, capture_output=True, text=True, env=kept, cwd="/")
    finally:
        for path in (tmp_path, folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode | 0o200)
    assert ended.stderr.splitlines()[-1] == "[0, 0, 0]", ended.stderr


def test_a_page_that_cannot_be_written_does_not_lose_the_table(tmp_path, tracking, capfd):
    words = ["run", "experiment=quick", *SMALL[1:-1], tracking, "tracking.orchestrate=false"]
    (tmp_path / "page.html").mkdir()
    assert main([*words, f"report={tmp_path / 'page.html'}"]) == 1
    out, err = capfd.readouterr()
    assert "greedy" in out
    assert "report:" not in out
    assert err.splitlines()[-1].startswith(f"metis: {tmp_path / 'page.html'}: cannot be written")
