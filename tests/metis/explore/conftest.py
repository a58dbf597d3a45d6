"""The testbed of three applications."""

import pytest

from metis.measure.embedded import InterferenceModel
from metis.measure.testbed import EmbeddedTestbed
from tests.metis.explore.examples import TABLE


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InterferenceModel:
    path = tmp_path_factory.mktemp("model") / "three.yaml"
    path.write_text(TABLE)
    return InterferenceModel.load(path)


@pytest.fixture(scope="module")
def testbed(model: InterferenceModel) -> EmbeddedTestbed:
    return EmbeddedTestbed(model, slots=4, noise=0.0)  # 34 co-locations that hold something
