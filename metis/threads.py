"""Threads of the numeric libraries."""

import sys
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any


def one_thread(api: str | None = None) -> AbstractContextManager[Any]:
    """Limit the numeric libraries to one thread each: on small matrices more of them wait for one another.

    Args:
        api: `blas` or `openmp` for these alone; None for all that are loaded.
    """
    limit: AbstractContextManager[Any] = _controller(len(sys.modules)).limit(limits=1, user_api=api)
    return limit


@lru_cache(maxsize=1)
def _controller(modules: int) -> Any:
    """Find the libraries that are loaded, once: only an import, which `modules` counts, loads another.

    To find them the whole memory map of the process is read, up to a twentieth of a second.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
