"""The throughputs of training jobs on three types of GPU that Gavel published, read as measurements.

One JSON file: by type of GPU, by job, the steps a second of the job alone (`null`) and of both jobs of each
pair that shares a GPU; 0 where a pair does not fit into its memory.

Source: D. Narayanan et al., Heterogeneity-Aware Cluster Scheduling Policies for Deep Learning Workloads, OSDI
2020.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.inputs.documents import read_json
from metis.inputs.sheet import Sheet
from metis.measure.measurement_sheet import APP, COUNT, RPS, RUN, TYPE
from metis.problem.statement import SLOTS, Statement

SHARING = 2  # jobs on a GPU
ALONE = "null"
GPUS, JOBS = 36, 6  # of each type and of each job, in the problem that is made of them
BATCH = re.compile(r" \(batch size (\d+)\)")
HEADER = (RUN, TYPE, APP, COUNT, RPS)


def read_gavel(path: Path) -> Sheet:
    """Read the throughputs as a table in the long form that `measurements_of` describes, RPS in steps/s.

    A pair of one job with itself has the mean of both.

    Raises:
        InputError: unreadable, or not as published; names the file.
    """
    given = read_json(path)
    try:
        if not given:
            raise ValueError("it is empty")
        runs = [run for gpu, jobs in given.items() for run in _runs(str(gpu), jobs)]
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is not Gavel's throughputs as published ({error})") from None
    rows = [(str(i), *cells) for i, run in enumerate(runs) for cells in run]
    return Sheet(str(path), HEADER, rows, range(len(rows)), unit="row")


def gavel_problem(sheet: Sheet) -> Statement:
    """Return a problem of the jobs and types of a table: `GPUS` nodes of each type, `JOBS` of each job."""
    apps, types = (tuple(dict.fromkeys(sheet.texts(column))) for column in (APP, TYPE))
    nodes = [f"{name}-{i + 1}" for name in types for i in range(GPUS)]
    return Statement(
        apps=apps,
        demand=np.full(len(apps), JOBS),
        requests=np.ones((len(apps), 1)),
        nodes=tuple(nodes),
        capacity=np.full((len(nodes), 1), float(SHARING)),
        dimensions=(SLOTS,),
        beside=np.zeros((0, 3), dtype=np.int64),
        existing=np.zeros((0, 3), dtype=np.int64),
        types=types,
        type_of=np.repeat(np.arange(len(types)), GPUS),
    )


def _runs(gpu: str, jobs: Any) -> list[list[tuple[str, str, str, str]]]:
    """Return rows of type, application, count and rate for each run on one type of GPU."""
    names = sorted(jobs, key=_size)
    found = [[_row(gpu, job, 1, jobs[job][ALONE])] for job in names]
    for i, first in enumerate(names):
        for second in names[i:]:
            rates = [float(rate) for rate in jobs[first][second]]
            if len(rates) != SHARING:
                raise ValueError(f"{first} beside {second} has {len(rates)} rates")
            if first == second:
                found.append([_row(gpu, first, SHARING, sum(rates) / SHARING)])
            else:
                found.append([_row(gpu, *of) for of in ((first, 1, rates[0]), (second, 1, rates[1]))])
    return found


def _row(gpu: str, job: str, count: int, rate: float) -> tuple[str, str, str, str]:
    return gpu, BATCH.sub(r"-\1", job), str(count), repr(float(rate))


def _size(job: str) -> tuple[str, int]:
    """Return by what jobs are ordered: the model, then its batch."""
    batch = BATCH.search(job)
    return BATCH.sub("", job), int(batch[1]) if batch else 0
