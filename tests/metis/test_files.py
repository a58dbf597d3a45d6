import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from metis.errors import InputError, SurroundingsError
from metis.files import load_arrays, save_arrays, written_whole


def test_arrays_round_trip(tmp_path):
    path = tmp_path / "new folder" / "a=b [c] é.npz"
    save_arrays(path, {"x": np.arange(3), "name": np.array("é")})
    stored = load_arrays(path)
    assert stored["x"].tolist() == [0, 1, 2]
    assert str(stored["name"]) == "é"
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_same_arrays_make_the_same_bytes(tmp_path):
    for name in ("one.npz", "two.npz"):
        save_arrays(tmp_path / name, {"x": np.arange(1000)})
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_python_objects_are_never_written(tmp_path):
    with pytest.raises(TypeError, match="'x' holds Python objects"):
        save_arrays(tmp_path / "a.npz", {"x": np.array([{}])})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_half_written_never_appears(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_bytes(b"before")

    def fail():
        with written_whole(path) as file:
            file.write(b"after")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_what_is_read_is_never_half_written(tmp_path):
    path = tmp_path / "a.txt"
    with written_whole(path) as file:
        file.write(b"whole")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"whole"


def test_a_folder_that_is_a_file_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(SurroundingsError, match=r"a\.txt: cannot be written"),
        written_whole(tmp_path / "file" / "a.txt"),
    ):
        pass


def test_a_file_that_may_not_grow_is_told_and_leaves_nothing(tmp_path):
    """A limit on file size meets every write as a full disk does."""
    code = (
        "import sys, numpy as np; from pathlib import Path; from metis.errors import MetisError\n"
        "from metis.files import save_arrays\n"
        "try: save_arrays(Path(sys.argv[1]), {'x': np.random.default_rng(0).random(100_000)})\n"
        "except MetisError as error: print(error); sys.exit(error.exit_code)\n"
    )

    def limit():
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.npz")],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == f"{tmp_path / 'a.npz'}: cannot be written (File too large)\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04broken"])
def test_corrupt_archives_are_refused_by_name(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz: not a readable \.npz"):
        load_arrays(tmp_path / "a.npz")


def test_missing_files_and_objects_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_arrays(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"b\.npz"):
        load_arrays(tmp_path / "b.npz")
    with pytest.raises(InputError, match="is a folder; give a file"):
        load_arrays(tmp_path)
