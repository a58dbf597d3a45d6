"""Secrets are left out of texts, and nothing else is."""

import pytest

from flows.engine.secrets import masked, masked_command, masked_value

CANARY = "c4naryV4lue"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"tracking.uri=http://me:{CANARY}@host:5000/x", "tracking.uri=http://me:***@host:5000/x"),
        (f"https://{CANARY}@host/path", "https://***@host/path"),
        (f"postgresql://me:{CANARY}@/x@host/db", "postgresql://me:***@host/db"),
        (f"https://host/x?key={CANARY}&v={CANARY}#top", "https://host/x?key=***&v=***#top"),
        (f"images.arguments={{TOKEN:{CANARY},B:{CANARY}}} next=1", "images.arguments=*** next=1"),
        (f"+images.arguments.MODEL={CANARY} next=1", "+images.arguments.MODEL=*** next=1"),
        (f"'images.arguments={{A: {CANARY}, B: c}}' next=1", "'images.arguments=***' next=1"),
        (f"DB_PASSWORD={CANARY} x", "DB_PASSWORD=*** x"),
        (f"AWS_SECRET_ACCESS_KEY='{CANARY} b'", "AWS_SECRET_ACCESS_KEY=***"),
        (f'{{"api_key": "{CANARY}", "b": "c"}}', '{"api_key": ***, "b": "c"}'),
        (f"api-token={CANARY}, b", "api-token=***, b"),
    ],
)
def test_secrets_are_masked(text, expected):
    assert masked(text) == expected
    assert masked(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "metis run experiment=quick group.counts={Redis:10}",
        "sqlite:////tmp/runs/mlflow.db: the disk is full",
        "metis run 'tracking.path=/tmp/runs?v=1' 'profile.path=a=b.npz'",
        "http://127.0.0.1:5000/#/experiments/1/runs/2",
        "git@host:path user@host",
        "tokenizer=fast, the secret of it: time",
        "images.base_image=python:3.12",
        "mail me@host at http://host/a@b",
    ],
)
def test_the_rest_stays(text):
    assert masked(text) == text


@pytest.mark.parametrize(
    "word",
    [
        f"images.arguments={{TOKEN:{CANARY}}}",
        f'images.arguments={{TOKEN: "it\'s {CANARY}"}}',
        f"images.arguments={{A:'x',TOKEN:'{CANARY}'}}",
        f"++images.arguments.TOKEN='{CANARY} {CANARY}'",
        f"tracking.uri=https://a:{CANARY}@h?token={CANARY}",
        f"tracking.uri='https://a:{CANARY}@h'",
    ],
)
def test_commands(word):
    made = masked_command(["metis", "run", word, "seed=1"])
    assert CANARY not in made
    assert made.endswith(" seed=1")


def test_values():
    assert masked_value("images.arguments.TOKEN", CANARY) == "***"
    assert masked_value("images.arguments", {"TOKEN": CANARY}) == "***"
    assert masked_value("trees", 3) == "3"
    assert masked_value("load.password", CANARY) == "***"
