import os
import subprocess
import sys
import threading

import numpy as np
from threadpoolctl import threadpool_info

from metis.threads import one_thread


def used(api):
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == api}


def test_libraries_have_one_thread_within_and_theirs_after():
    np.linalg.inv(np.eye(3))
    before = used("blas")
    with one_thread():
        assert used("blas") == {1}
    assert used("blas") == before


LATER = """
import importlib
from threadpoolctl import threadpool_info
from metis.threads import one_thread
def openmp():
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "openmp"}
with one_thread():
    assert not openmp()
importlib.import_module("sklearn.ensemble")
assert openmp() == {3}
with one_thread("openmp"):
    assert openmp() == {1}
"""


def test_a_library_that_an_import_loads_later_is_limited_too():
    """In a process of its own, where it is not loaded yet."""
    environment = {**os.environ, "OMP_NUM_THREADS": "3", "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", LATER], capture_output=True, text=True, env=environment, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_two_threads_may_limit_at_once():
    ended = []

    def limit():
        for _ in range(20):
            with one_thread():
                np.linalg.inv(np.eye(3))
        ended.append(True)

    threads = [threading.Thread(target=limit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [True, True]
