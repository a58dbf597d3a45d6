"""The commands of the docs, pasted into bash: what arrives is what stands there."""

import shlex
import subprocess
from importlib import import_module

import pytest

from flows.command import flags
from flows.command.main import main
from flows.command.request import request_of
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.stages import profile, simulator
from tests.docs.test_pages import DOCS, FENCE, PAGES, WALKED

# names of what blocks call besides metis; nothing is run but shell built-ins
OTHERS = ("make", "git", "prefect", "docker", "docker-compose", "sh")
STUB = 'metis() { printf "%s\\0" metis "$@" >&3; printf "\\n" >&3; }\n' + "".join(
    f"{name}() {{ :; }}\n" for name in OTHERS
)
CHEAP = ("init", "export", "config", "completion")  # verbs that are run, within a second each
KINDS = ("", "bash", "sh", "console")


def blocks(page):
    """Shell code of a page: fences without a language, or with that of a shell, that are no listing."""
    text = page.read_text(encoding="utf-8")
    kinds = [found.group(0)[3:].split("\n")[0].strip() for found in FENCE.finditer(text)]
    codes = [(kind, title, code) for kind, (title, code) in zip(kinds, FENCE.findall(text), strict=True)]
    return [code for kind, title, code in codes if kind in KINDS and not title and not is_listing(code)]


def is_listing(code):
    """Whether a block shows a folder's content instead of commands."""
    return code.splitlines()[0].strip().endswith("/")


def pasted(page, folder):
    """The words of every `metis` command of a page, as bash passes them on; run in `folder`."""
    script = STUB + "\n".join(blocks(page))
    (folder / "metis").mkdir(exist_ok=True)  # the clone that README changes into
    environment = {"PATH": "/nowhere", "HOME": str(folder)}
    heard = folder / "heard"
    with heard.open("wb") as file:
        ran = subprocess.run(
            ["/bin/bash", "--norc", "-c", f"exec 3>&{file.fileno()}\n{script}"],
            capture_output=True, text=True, env=environment, cwd=folder, pass_fds=[file.fileno()], timeout=60,
        )  # fmt: skip
    assert ran.stderr == "", ran.stderr
    lines = heard.read_text(encoding="utf-8").split("\0\n")
    return [line.split("\0") for line in lines if line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_read_by_bash(page):
    for code in blocks(page):
        read = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True, timeout=60)
        assert (read.returncode, read.stderr) == (0, ""), code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_word_arrives_as_it_stands_there(page, tmp_path):
    """Brace expansion would make two words of `group.counts={A:1,B:2}`; a variable stands for its words."""
    arrived = pasted(page, tmp_path)
    whole = [code.replace("\\\n", " ") for code in blocks(page)]
    lines = [line.strip() for code in whole for line in code.splitlines()]
    written = [shlex.split(line, comments=True) for line in lines if line.startswith("metis ")]
    assert len(arrived) == len(written)
    for there, here in zip(written, arrived, strict=True):
        plain = [word for word in there if not word.startswith("$")]
        assert [word for word in here if word in plain] == plain
        assert len(plain) == len(there) or len(here) > len(there)
        assert len(plain) < len(there) or here == there


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_setting_of_a_command_is_refused(page, tmp_path):
    """A setting without effect for its verb is refused, and would be in whoever pastes it."""
    for words in pasted(page, tmp_path):
        if words[1].startswith("-") or any(word in ("-m", *WALKED) for word in words):
            continue  # sweeps compose their jobs; the walks of CONTRIBUTING.md would add what they name
        name, verb = words[1], import_module(f"flows.command.verbs.{words[1].replace('-', '_')}").VERB
        if flags.result(name, words[2:]) is None:
            request_of(name, verb, words[2:])


WALKS = ("hosts", "lab")


@pytest.mark.parametrize("cluster", WALKS)
def test_all_commands_of_a_walk_mean_one_profile_and_one_simulator(cluster, tmp_path):
    """What `deploy` asks for is what `run` measured: else it would be measured again, or refused."""
    walked = [
        [word for word in words[2:] if "=" in word]
        for words in pasted(DOCS / "real-cluster.md", tmp_path)
        if f"cluster={cluster}" in words and words[1] in ("run", "place", "explain", "deploy", "watch")
    ]
    assert len(walked) >= 3
    for stage in (profile.STAGE, simulator.STAGE):
        values = [values_of(stage, overrides, tmp_path) for overrides in walked]
        assert all(each == values[0] for each in values)


def values_of(stage, overrides, folder):
    (folder / "apps").mkdir(exist_ok=True)
    for name in ("Shop", "Search"):
        (folder / "apps" / name).mkdir(exist_ok=True)
        (folder / "apps" / name / "Dockerfile").write_text("FROM x\n")
        (folder / "apps" / f"{name}.yaml").write_text(f"name: {name}\nfolder: {name}\ndescribe: It.\n")
    moved = [word.replace("[apps]", f"[{folder / 'apps'}]") for word in overrides]
    (step,) = stage.steps(validated(compose_plain(moved)))
    return step.values()


def test_the_cheap_commands_do_what_they_say(tmp_path, monkeypatch, capfd):
    """`metis init`, `export`, `config` and `completion`; the others are run where their pages are tested."""
    monkeypatch.chdir(tmp_path)
    ran = []
    for page in PAGES:
        for words in pasted(page, tmp_path):  # redirections of the page write their files
            if words[1] not in CHEAP or any("=plan.json" in word for word in words):
                continue
            assert main(words[1:]) == 0, (words, capfd.readouterr().err)
            ran.append(words[1])
    assert {"init", "export"} <= set(ran)
