"""The trace of GPU containers that Alibaba published in 2023 (openb), read as a problem with arrivals.

Two CSV files with headers: nodes with CPU, memory and GPUs of a model; pods with what they request and when
they were created and deleted. Pods that request the same are one application; a pod of one GPU may take a
share of it.
"""

from pathlib import Path

import numpy as np

from metis.errors import InputError
from metis.inputs.sheet import Sheet, read_sheet
from metis.problem.arrivals import Arrivals
from metis.problem.rules import Rules
from metis.problem.statement import Statement

NODES, PODS = "openb_node_list_all_node.csv", "openb_pod_list_default.csv"
GPU = "gpu"
MIB = 2.0**20
MILLI = 1000.0


def read_openb(source: Path) -> tuple[Statement, Arrivals]:
    """Read the trace: nodes, applications of which none runs yet, and pods in order of creation.

    Args:
        source: a folder with `openb_node_list_all_node.csv` and `openb_pod_list_default.csv`.

    Raises:
        InputError: a file is missing or not as described; names file, line and column.
    """
    nodes, pods = (_sheet(source, name) for name in (NODES, PODS))
    nodes.expect(["sn", "cpu_milli", "memory_mib", "gpu", "model"])
    needed = ["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec"]
    pods.expect([*needed, "creation_time", "deletion_time"], pods.header)
    given = nodes.counts(["cpu_milli", "memory_mib", "gpu"])
    models = nodes.texts("model")
    type_names = [
        f"{model or 'cpu'}-{cpu / MILLI:g}-{memory // 1024}-{gpus}"
        for (cpu, memory, gpus), model in zip(given.tolist(), models, strict=True)
    ]
    types = tuple(dict.fromkeys(type_names))
    asked, specs = pods.counts(["cpu_milli", "memory_mib", "num_gpu", "gpu_milli"]), pods.texts("gpu_spec")
    shared = np.where(asked[:, 2] == 1, asked[:, 3] / MILLI, asked[:, 2])
    requests = np.column_stack([asked[:, 0] / MILLI, asked[:, 1] * MIB, shared])
    names = [
        "-".join(
            [f"cpu{cpu / MILLI:g}", f"mem{memory}", f"gpu{gpu:g}", *sorted(filter(None, spec.split("|")))]
        )
        for (cpu, memory, _, _), gpu, spec in zip(asked.tolist(), shared.tolist(), specs, strict=True)
    ]
    apps = tuple(dict.fromkeys(names))
    number = {app: i for i, app in enumerate(apps)}
    app_of = np.array([number[name] for name in names], dtype=np.int64)
    first = np.array([names.index(app) for app in apps])
    eligible = {names[i]: tuple(filter(None, specs[i].split("|"))) for i in first.tolist() if specs[i]}
    statement = Statement(
        apps=apps,
        demand=np.zeros(len(apps), dtype=np.int64),
        requests=requests[first],
        nodes=tuple(nodes.texts("sn")),
        capacity=given * np.array([1 / MILLI, MIB, 1.0]),
        dimensions=("cpu", "memory", GPU),
        beside=np.zeros((0, 3), dtype=np.int64),
        existing=np.zeros((0, 3), dtype=np.int64),
        types=types,
        type_of=np.array([types.index(name) for name in type_names], dtype=np.int64),
        labels=tuple(frozenset([model] if model else []) for model in models),
        rules=Rules(eligible=eligible),
        devices=GPU,
    )
    arrives, leaves = pods.numbers(["creation_time", "deletion_time"]).T
    if np.isnan(arrives).any():
        raise InputError(
            f"{pods.place(int(np.argmax(np.isnan(arrives))), 'creation_time')}: is blank; give a time"
        )
    leaves = np.where(np.isnan(leaves), np.inf, leaves)
    order = np.argsort(arrives, kind="stable")
    return statement, Arrivals(app_of[order], arrives[order], leaves[order])


def _sheet(source: Path, name: str) -> Sheet:
    if not (source / name).exists():
        raise InputError(f"{source}: holds no file {name} of the 2023 trace")
    return read_sheet(source / name)
