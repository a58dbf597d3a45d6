"""Two applications that disturb each other, and a space for them."""

import numpy as np

from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("A", "B"), 4)


def hostile_tables(space=SPACE):
    """Applications that halve one another's RPS, and do not mind their own kind."""
    mixed = (space.counts > 0).all(axis=1)
    return Tables(space, {"rps": np.where(mixed[:, None], 0.5, 1.0) * (space.counts > 0)})
