"""What the tests of the report share."""

import pytest

from tests.flows.report.examples import rows_of


@pytest.fixture
def results():
    values = {"spread": [0.8, 0.9], "optimum": [1.2, 1.2], "greedy": [1.1, 1.0], "local_search": [1.15, 1.1]}
    return rows_of(values)
