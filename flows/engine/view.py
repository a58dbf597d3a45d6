"""The view on which MLflow's UI opens: schedulers as evaluated, with the columns that are compared.

MLflow keeps a view that was shared as a tag of its experiment, and opens it by an address that names the tag.
"""

import json
from typing import Any

NAME = "metis"
COMPARED = (
    *("params.`scheduler`", "params.`nodes`", "params.`containers`", "params.`seed`"),
    *("metrics.`ratio`", "metrics.`true_ratio`", "metrics.`rps`", "metrics.`seconds`"),
)
SHARED: dict[str, Any] = {
    "searchFilter": "tags.`metis.stage` = 'scheduler'",  # runs below those of `evaluate`, each a row
    "orderByKey": "metrics.`true_ratio`",  # by their begin they would be folded under their parents
    "orderByAsc": False,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "selectedColumns": list(COMPARED),
}
TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # of the two modes of the UI
    f"mlflow.sharedViewState.{NAME}": json.dumps(SHARED),
}


def save_view(uri: str, experiment: str) -> None:
    """Keep the view in the experiment with this id, also in one of an earlier version of metis."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    kept = client.get_experiment(experiment).tags
    for name, value in TAGS.items():
        if kept.get(name) != value:
            client.set_experiment_tag(experiment, name, value)


def view_path(experiment: str) -> str:
    """Return the address of the view below that of the UI."""
    return f"#/experiments/{experiment}/runs?viewStateShareKey={NAME}"
