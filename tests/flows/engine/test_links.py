"""Addresses in the MLflow UI: at the port that is set, and without a password."""

from dataclasses import replace

import pytest

from flows.configuration.sections import TrackingSettings
from flows.engine.links import run_link, ui_address


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "http://127.0.0.1:5000"),
        ({"port": 5017}, "http://127.0.0.1:5017"),
        ({"port": 5017, "ui": "https://site.example/mlflow/"}, "https://site.example/mlflow"),
        ({"uri": "http://user:secret@site.example:5000"}, "http://site.example:5000"),
        ({"uri": "postgresql://user:secret@site.example/db"}, "http://127.0.0.1:5000"),
    ],
)
def test_links_lead_to_the_port_that_is_set(given, address):
    tracking = replace(TrackingSettings(), **given)
    assert ui_address(tracking) == address
    assert run_link(tracking, "1", "ab") == f"{address}/#/experiments/1/runs/ab"
