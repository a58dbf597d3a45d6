"""`metis config` and its kin: every key with its meaning, the plain YAML, and a user's own groups."""

import re

import pytest
import yaml

from flows.command.main import main
from flows.configuration.description import completions, described
from flows.configuration.settings import Settings, known_keys, plain
from metis.errors import InputError
from tests.flows.conftest import settings_of


def test_every_key_is_shown_with_its_meaning():
    text = described(plain(Settings()))
    shown, silent, sections = [], [], []
    for line in text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, meaning = re.match(r"\s*([\w]+):.*?(?:  # (.*))?$", line).groups()
        sections = [*sections[:depth], name]
        shown.append(".".join(sections))
        if not meaning:
            silent.append(".".join(sections))
    assert set(known_keys()) <= set(shown)
    assert silent == []


def test_it_is_yaml_that_composes_to_the_same():
    tree = plain(Settings())
    assert yaml.safe_load(described(tree)) == yaml.safe_load(yaml.safe_dump(tree))


def test_config_shows_what_a_verb_reads(capfd):
    assert main(["config", "place", "group.size=33"]) == 0
    out = capfd.readouterr().out
    assert re.search(r"^  size: 33 +# containers of a group", out, re.MULTILINE)
    assert "schedulers:" not in out
    assert "simulator: boosted, ensemble" in out


def test_cfg_job_prints_plain_yaml(capfd):
    assert main(["place", "group.size=33", "--cfg", "job"]) == 0
    out = capfd.readouterr().out
    assert yaml.safe_load(out) == yaml.safe_load(yaml.safe_dump(plain(settings_of("group.size=33"))))


def test_groups_of_ones_own(tmp_path, capfd):
    (tmp_path / "objective").mkdir()
    (tmp_path / "objective" / "mine.yaml").write_text("kind: slo\nlevel: 0.42\n")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "night.yaml").write_text("# @package _global_\ngroup:\n  size: 17\n")
    own = settings_of("--config-dir", str(tmp_path), "objective=mine", "+experiment=night")
    assert (own.objective.kind, own.objective.level, own.group.size) == ("slo", 0.42, 17)
    same = settings_of(f"--config-dir={tmp_path}", "objective=mine", "experiment=night")
    assert same == own
    assert main(["config", "--config-dir", str(tmp_path), "experiment=night", "output=json"]) == 0
    assert '"size": 17' in capfd.readouterr().out


def test_hydras_grammar():
    assert settings_of("+experiment=quick") == settings_of("experiment=quick")
    assert settings_of("~rules").rules == Settings().rules
    assert settings_of("++group.size=5").group.size == 5


@pytest.mark.parametrize("word", ["cluster=lab", "simulator=forest", "group.size=", "rules.at_most="])
def test_words_that_a_shell_completes(word):
    assert word in completions()


def test_an_experiment_without_its_first_line_says_which_line(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "bare.yaml").write_text("cluster:\n  nodes: 6\n", "utf-8")
    with pytest.raises(InputError, match="bare: its file needs the first line `# @package _global_`"):
        settings_of("--config-dir", str(tmp_path), "experiment=bare")
