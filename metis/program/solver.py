"""HiGHS without its own layers: programs given and changed column by column."""

from typing import Any

import numpy as np

from metis.problem.counts import FloatArray, IntArray

NO_LIMIT = 1e30  # what HiGHS takes as infinite


def silent_highs(integer: bool = False) -> Any:
    """A silent HiGHS on one core; without presolve, which costs more than it saves, unless `integer`."""
    import highspy  # hundredths of a second that other commands need not pay

    model: Any = highspy.Highs()
    for name, value in (("output_flag", False), ("threads", 1), ("random_seed", 0)):
        model.setOptionValue(name, value)
    if not integer:
        model.setOptionValue("presolve", "off")
    return model


def add_program(model: Any, rows: tuple[Any, FloatArray, FloatArray], cost: FloatArray) -> None:
    """Give HiGHS a program: minimise cost @ x, x >= 0, where matrix @ x lies within bounds.

    Args:
        model: without rows and columns.
        rows: matrix (sparse, by columns), lower and upper bounds.
        cost: of every column.
    """
    matrix, lower, upper = rows
    none: IntArray = np.zeros(0, dtype=np.int32)
    model.addRows(len(lower), lower, upper, 0, none, none, np.zeros(0))
    add_columns(model, matrix, cost)


def add_columns(model: Any, matrix: Any, cost: FloatArray) -> None:
    """Add columns, 0 or more each: a sparse matrix by columns, float64 [rows, n], and their costs [n]."""
    count = len(cost)
    model.addCols(
        count,
        cost,
        np.zeros(count),
        np.full(count, NO_LIMIT),
        matrix.nnz,
        matrix.indptr[:-1].astype(np.int32),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float64),
    )


def begin_with(model: Any, x: FloatArray) -> None:
    """Let an integer program begin with a solution that is known, float64 [columns]."""
    import highspy

    known = highspy.HighsSolution()
    known.col_value = x.tolist()
    model.setSolution(known)
