"""From the command's words to settings: paths as they stand, and one clear line for what is none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.configuration.compose import compose_plain, quote_path, settings_of
from flows.configuration.settings import validated
from metis.errors import InputError

PATHS = [
    "a b.npz",
    "a=b.npz",
    "~/a.npz",
    "a~b.npz",
    "[a]{b}(c).npz",
    "größe-数据.npz",
    "it's.npz",
    'say "hi".npz',
    "a,b.npz",
    "a:b.npz",
    "100%.npz",
    "${seed}.npz",
    "$HOME.npz",
    "a\\b.npz",
    "a\\'b.npz",
    "a\\${b}.npz",
    "ends in\\",
    "#1;2&3|4.npz",
    "a.npz?x=1",
    " a.npz ",
    "007",
    "true",
    "-1",
    "?",
    "@x",
]
KEYS = {
    "profile.path": ("profile", "path"),
    "testbed.path": ("testbed", "path"),
    "testbed.coefficients": ("testbed", "coefficients"),
    "groups.path": ("groups", "path"),
    "constraints.path": ("constraints", "path"),
    "tracking.path": ("tracking", "path"),
    "existing": ("existing",),
    "placement": ("placement",),
    "report": ("report",),
    "out": ("out",),
}


def composed(key, override):
    value = compose_plain([override])
    for part in KEYS[key]:
        value = value[part]
    return value


@pytest.mark.parametrize("path", PATHS)
def test_paths_arrive_as_they_stand(path):
    assert composed("profile.path", f"profile.path={path}") == path


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_a_path_may_hold_any_letter(key):
    path = "my [files] ~ä=b/'x'.npz"
    assert composed(key, f"{key}={path}") == path


@settings(max_examples=20, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12))
def test_any_path_arrives_as_it_stands(path):
    quoted = len(path) > 1 and path[0] == path[-1] and path[0] in "'\""
    if path == "null" or quoted:
        return  # documented: words already quoted, and null, are Hydra's
    assert composed("profile.path", f"profile.path={path}") == path


def test_quoting_is_left_to_whoever_did_it():
    assert quote_path("profile.path='a b'") == "profile.path='a b'"
    assert quote_path("profile.path=null") == "profile.path=null"
    assert quote_path("cluster.nodes=3") == "cluster.nodes=3"
    assert quote_path("+profile.path=a b") == "+profile.path='a b'"


TYPE = "name, count, nodes, slots, capacity, labels, domains"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("clustr.nodes=3", "clustr.nodes: there is no such setting"),
        ("cluster.node=3", "cluster.node: there is no such setting"),
        ("+typo=1", "typo: there is no such setting"),
        ("+cluster.typo=1", "cluster.typo: there is no such setting"),
        ("++cluster.typo=1", "cluster.typo: there is no such setting"),
        (
            "objective=speed",
            "objective=speed: there is no such option; use one of .*latency, p99_below, rps, slo",
        ),
        ("objective=latncy", "objective=latncy: there is no such option; did you mean latency[?] use one of"),
        ("size=huge", "size=huge: there is no such option; use one of large, medium, small"),
        ("simulator=oracle", "simulator=oracle: .*use one of boosted, .*forest, .*table"),
        ("experiment=nope", "experiment=nope: there is no such option; use one of .*quick"),
        ("nodes", "'nodes' is not an override; write key=value"),
        ("cluster=3", "cluster=3"),
        ("=3", "=3"),
        ("cluster.nodes=[1", r"cluster\.nodes=\[1: '\]' is missing; quote it, as in 'cluster\.nodes=\[1\]'"),
        ("scheduler=a=b", "scheduler=a=b: .*quotes"),
        ("seed=${nope}", "nope"),
        ("cluster.nodes=0", "cluster.nodes 0: give at least 1"),
        ("cluster.nodes=-5", "cluster.nodes -5: give at least 1"),
        ("cluster.nodes=2.5", "cluster.nodes 2.5: give a whole number"),
        ("cluster.nodes=many", "cluster.nodes 'many': give a whole number"),
        ("cluster.nodes=null", "cluster.nodes null: give a whole number"),
        ("cluster.slots=0", "cluster.slots 0: give at least 1"),
        ("group.size=0", "group.size 0: give at least 1"),
        ("group.counts=abc", "group.counts 'abc': .*list"),
        ("groups.count=0", "groups.count 0"),
        ("profile.share=0", "profile.share 0: give more than 0"),
        ("profile.share=1.5", "profile.share 1.5: give at most 1"),
        ("testbed.noise=2", "testbed.noise 2: give at most 1"),
        ("objective.kind=speedy", "objective.kind 'speedy': .*use rps, slo"),
        ("simulator.trees=0", "simulator.trees 0"),
        ("simulator.held_out=1", "simulator.held_out 1: .*less than 1"),
        ("optimum.time_limit=0", "optimum.time_limit 0: give more than 0"),
        ("optimum.gap=1", "optimum.gap 1: .*less than 1"),
        ("seed=-1", "^seed -1: give at least 0"),
        ("output=xml", "output 'xml': .*'table' or 'json'"),
        ("cluster.types={new:2}", f"^cluster.types {{new:2}}: give a list of mappings with {TYPE}$"),
        ("cluster.types=new", f"^cluster.types 'new': give a list of mappings with {TYPE}$"),
        ("cluster.types=[new]", f"^cluster.types.0 'new': give a mapping with {TYPE}$"),
        ("profile={a:1}", r"^profile\.a: there is no such setting"),
        ("week={hours:24,day:3}", r"^week\.day: there is no such setting; did you mean week\."),
        ("schedulers={greedy:1}", "^schedulers {greedy:1}: give a list$"),
        ("rules.soft={eligible:{a:[b]}}", "^rules.soft {eligible:{a:.b.}}: give a list"),
        ("profile=file", "profile=file needs profile.path=FILE"),
        ("testbed=file", "testbed=file needs testbed.path=FILE"),
        ("schedulers=[]", r"schedulers \[\]"),
        ("schedulers=greedy", "schedulers 'greedy': .*list"),
        ("rules.at_most={ISR:-1}", "rules.at_most.ISR -1: give at least 0"),
        ("rules.only_beside={MMS:Redis}", "rules.only_beside.MMS 'Redis': .*list"),
        ("rules.never_together=[[Redis]]", r"rules.never_together.0 \[Redis\]: give a pair"),
        ("tracking.port=70000", "tracking.port 70000: give at most 65535"),
    ],
)
def test_what_is_no_setting_is_refused_in_one_line(override, says):
    with pytest.raises(InputError, match=says) as refused:
        validated(compose_plain([override]))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    assert refused.value.exit_code == 2


def test_rules_are_given_as_documented():
    words = [
        "rules.never_together=[[Redis,YCSB-A]]",
        "rules.at_most={ISR:2}",
        "rules.only_beside={MMS:[Redis]}",
    ]
    rules = validated(compose_plain(words)).rules
    assert rules.never_together == (("Redis", "YCSB-A"),)
    assert rules.at_most == {"ISR": 2}
    assert rules.only_beside == {"MMS": ("Redis",)}
    none = validated(compose_plain([])).rules
    assert (none.at_most, none.only_beside) == ({}, {})


def test_groups_are_given_by_position_or_name():
    assert validated(compose_plain(["group.counts=[1,2,3]"])).group.counts == (1, 2, 3)
    named = validated(compose_plain(["group.counts={YCSB-A:3,Redis:1}"])).group.counts
    assert named == {"YCSB-A": 3, "Redis": 1}


def test_composing_twice_in_one_process_does_not_leak():
    assert validated(compose_plain(["cluster.nodes=3"])).cluster.nodes == 3
    assert validated(compose_plain([])).cluster.nodes == 81


@pytest.mark.parametrize(
    ("words", "says"),
    [
        # what bash makes of group.counts={Redis:10,MMS:20}, and of one with a space
        (["group.counts=Redis:10", "group.counts=MMS:20"], "'group.counts={Redis:10,MMS:20}'"),
        (["group.counts={Redis:10,", "MMS:20}", "seed=1"], "'group.counts={Redis:10,MMS:20}'"),
        (["group.counts={Redis:10"], "'group.counts={Redis:10}'"),
        (["rules.at_most=Redis:1"], "'rules.at_most={Redis:1}'"),
        (["rules.never_together=[[Redis,", "MMS]]"], "'rules.never_together=[[Redis,MMS]]'"),
        (["rules.never_together=[[Redis", "seed=1"], "'rules.never_together=[[Redis]]'"),
    ],
)
def test_a_word_that_the_shell_took_apart_is_shown_in_quotes(words, says):
    with pytest.raises(InputError) as caught:
        compose_plain(words)
    assert str(caught.value).endswith(f"as in {says}")


@pytest.mark.parametrize("word", ["tracking.path=/a{b", "profile.path=[a", "scheduler=mine:place"])
def test_a_brace_in_a_path_and_a_name_of_a_function_are_left_alone(word):
    assert compose_plain([word])


TWO_TYPES = "cluster.types=[{name:a,count:2,slots:3},{name:b,count:1,slots:4}]"


@pytest.mark.parametrize(
    "words", [["cluster.nodes=3", "cluster.slots=4"], ["size=large"], ["cluster.slots=null"]]
)
def test_what_agrees_with_types_or_was_not_typed_is_accepted(words):
    typed = [TWO_TYPES, *words]
    made = settings_of(typed, compose_plain(typed)).cluster
    assert (made.nodes, made.slots) == (3, 4)


def test_slots_count_where_a_type_has_none_of_its_own():
    typed = ["cluster.types=[{name:a,count:2,slots:3},{name:b,count:1}]", "cluster.slots=5"]
    assert settings_of(typed, compose_plain(typed)).cluster.slots == 5


@pytest.mark.parametrize("word", ["cluster.nodes=81", "++cluster.nodes=7", "cluster.slots=3"])
def test_nodes_and_slots_that_types_overrule_are_refused(word):
    typed = [TWO_TYPES, word]
    with pytest.raises(InputError, match=r"follows from cluster\.types"):
        settings_of(typed, compose_plain(typed))
