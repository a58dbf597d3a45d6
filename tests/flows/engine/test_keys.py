"""Keys: what changes them, and what must not."""

import ast
from concurrent.futures import ThreadPoolExecutor

import pytest

from flows.engine import keys as engine_keys
from flows.engine.keys import PACKAGES, ROOT, digest, file_digest, folder_digest, source_digest, sources
from flows.stages.chain import all_steps, chosen_steps
from metis.errors import InputError
from tests.flows.conftest import settings_of

BASE = [
    "experiment=quick",
    "profile=testbed",
    "simulator=boosted",
    "schedulers=[greedy,spread,greedy+local_search]",
]


def keys(*overrides):
    """Keys of all steps, as if an output's digest were its step's key: changes run down the chain."""
    found = {}
    for step in all_steps(settings_of(*BASE, *overrides)):
        found[step.name] = step.key(found)
    return found


def changed(*overrides):
    before, after = keys(), keys(*overrides)
    return {name for name in after if before.get(name) != after[name]}


PLACING = {f"baselines/{name}" for name in ("optimum", "greedy", "spread", "greedy+local_search")}
LAST = {"evaluate", "report"}


def test_the_same_settings_have_the_same_keys():
    assert changed() == set()
    assert len(set(keys().values())) == len(keys())


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["output=json"], set()),
        (["tracking.experiment=other"], set()),
        (["tracking.orchestrate=false"], set()),
        (["report=x.html"], set()),
        (["groups.seed=5"], PLACING | LAST),
        (["cluster.nodes=28"], PLACING | LAST),
        (["objective=slo"], PLACING | LAST),
        (["rules.at_most={ISR:2}"], PLACING | LAST),
        (["optimum.gap=0.01"], {"baselines/optimum"} | LAST),
        (["local_search.max_steps=5"], {"baselines/greedy+local_search"} | LAST),
        (["simulator.trees=5"], {"simulator", "constraints"} | PLACING | LAST),
        (["profile.share=0.3"], {"profile", "simulator", "constraints"} | PLACING | LAST),
        (["testbed.noise=0.1"], {"profile", "simulator", "constraints"} | PLACING | LAST),
        (["objective=latency"], {"simulator", "constraints"} | PLACING | LAST),
    ],
)
def test_a_setting_changes_what_reads_it_and_nothing_else(overrides, expected):
    assert changed(*overrides) == expected


def test_a_file_counts_by_its_content_not_its_name(tmp_path):
    first, second, other = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv"))
    for path, text in ((first, "Redis\n1\n"), (second, "Redis\n1\n"), (other, "Redis\n2\n")):
        path.write_text(text, encoding="utf-8")
    one, same, different = (keys(f"existing={path}") for path in (first, second, other))
    assert one == same
    assert one["baselines/greedy"] != different["baselines/greedy"]
    one, same, different = (keys(f"groups.path={path}") for path in (first, second, other))
    assert one == same
    assert one["baselines/greedy"] != different["baselines/greedy"]


def test_a_stage_depends_on_the_modules_it_imports_and_no_others():
    greedy = sources("baselines.greedy")
    assert {"baselines.greedy", "baselines.stepwise", "metis.problem.space", "metis.problem.rules"} <= set(
        greedy
    )
    assert "baselines.optimum" not in greedy
    assert not [name for name in greedy if name.startswith("flows")]
    assert all(path.suffix == ".py" for path in greedy.values())


def test_source_counts_and_documents_do_not(tmp_path, monkeypatch):
    """Editing a module changes keys; nothing of docs, README or tests is read for any key."""
    settings = settings_of(*BASE)
    read = {
        path for step in all_steps(settings) for module in step.modules for path in sources(module).values()
    }
    tops = {path.relative_to(ROOT).parts[0] for path in read}
    assert tops <= {"metis", "baselines", "cluster", "flows"}
    module = tmp_path / "users_own.py"
    module.write_text("def place(): ...\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    before = source_digest("users_own")
    source_digest.cache_clear()
    assert source_digest("users_own") == before
    module.write_text("def place(): pass\n", encoding="utf-8")
    source_digest.cache_clear()
    assert source_digest("users_own") != before


def test_digests(tmp_path):
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    (tmp_path / "x").write_bytes(b"1")
    (tmp_path / "y").write_bytes(b"1")
    assert file_digest(tmp_path / "x") == file_digest(tmp_path / "y")
    assert file_digest(tmp_path / "none") == "missing"
    whole = folder_digest(tmp_path, ["x", "y"])
    assert whole == folder_digest(tmp_path, ["y", "x"])
    (tmp_path / "y").write_bytes(b"2")
    assert folder_digest(tmp_path, ["x", "y"]) != whole
    assert folder_digest(tmp_path, ["x"]) != whole


def names(*overrides):
    return [step.name for step in chosen_steps(settings_of(*BASE, *overrides))]


def test_stages_are_chosen_with_all_they_read():
    assert names("until=simulator") == ["setup", "profile", "simulator"]
    assert names("stages=[baselines/greedy]") == ["setup", "profile", "simulator", "baselines/greedy"]
    assert names("stages=[]") == []
    assert set(names("stages=[evaluate]")) == {"setup", "profile", "simulator", "evaluate", *PLACING}
    assert names()[-1] == "report"


@pytest.mark.parametrize(
    "override", ["until=nope", "stages=[nope]", "rerun=[nope]", "rerun=[baselines/nope]"]
)
def test_an_unknown_stage_is_refused_with_those_there_are(override):
    with pytest.raises(
        InputError, match=r"nope' is not a stage of this chain: use setup, profile, simulator"
    ):
        names(override)


def test_imports_are_parsed_side_by_side():
    """CPython 3.11 raises SystemError where two threads build syntax trees at once."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("flows/**/*.py"))[:80]]
    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(ast.parse, text) for text in texts]
        found = list(pool.map(engine_keys._parsed_imports, texts))
    assert len(others) == len(texts)
    assert found == [engine_keys._parsed_imports(text) for text in texts]


def test_imports_are_found_without_a_syntax_tree():
    """All that a syntax tree finds; what only a docstring imports may come with it."""
    texts = [
        path.read_text(encoding="utf-8") for top in PACKAGES for path in sorted((ROOT / top).rglob("*.py"))
    ]
    plain = [engine_keys._plain_imports(text) for text in texts]
    found = [(set(names), text) for names, text in zip(plain, texts, strict=True) if names is not None]
    assert len(found) > 0.9 * len(texts)
    for names, text in found:
        assert names >= set(engine_keys._parsed_imports(text))


@pytest.mark.parametrize(
    "text",
    [
        "import json; import metis.problem",
        "if True: from metis import problem",
        "from metis import errors, \\\n    problem",
        "from metis import (errors,  # not import\n    problem)",
        "exec('import metis.problem')",
    ],
)
def test_imports_in_any_other_form_are_parsed(text):
    assert engine_keys._plain_imports(text) is None


def test_forms_of_imports():
    text = (
        "import os, metis.problem.space as space\n"
        "if os:\n    from metis import (\n        errors as e,  # its errors\n        files,\n    )\n"
    )
    found = set(engine_keys._plain_imports(text))
    assert found == {"os", "metis.problem.space", "metis", "metis.errors", "metis.files"}
