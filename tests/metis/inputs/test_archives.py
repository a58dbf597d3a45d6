"""Archives are read by what is needed, and refused by declared size before anything is read."""

import io
import resource
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from metis.errors import InputError
from metis.inputs.archives import array_names, read_archive


def declared(path, shape, dtype="<i8", content=b"", name="groups.npy"):
    """An archive with an array whose header promises a shape, whatever follows."""
    raw = io.BytesIO()
    np.lib.format.write_array_header_1_0(raw, {"descr": dtype, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, raw.getvalue() + content)
    return path


def test_only_what_is_needed_is_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, groups=np.ones((2, 3)), names=np.array([{}, "x"], dtype=object), other=np.zeros(5))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README.txt", "of the laboratory")
        archive.writestr("broken.npy", "no array")
    assert array_names(path) == ["groups", "names", "other", "broken"]
    assert list(read_archive(path, ["groups", "absent"])) == ["groups"]
    with pytest.raises(InputError, match=r"names\.npy is refused: it holds Python objects"):
        read_archive(path)
    with pytest.raises(InputError, match=r"broken\.npy is refused"):
        read_archive(path, ["broken"])


@pytest.mark.parametrize("shape", [(1 << 29,), (10**9, 10**9), (10**18, 7)])
def test_a_declared_size_is_refused_before_it_is_read(tmp_path, shape):
    with pytest.raises(InputError, match=r"groups\.npy of shape .* unpacks to [\d,]+ bytes: at most 1,000"):
        read_archive(declared(tmp_path / "a.npz", shape), limit=1000)


def test_a_file_that_unpacks_to_half_a_gibibyte_takes_no_memory(tmp_path):
    """Issue 13, point 25: `existing=` of 4 GiB took 1.7 GB; twice what is admitted shows it as well."""
    path = tmp_path / "bomb.npz"
    raw = io.BytesIO()
    shape = (1 << 23, 8)
    np.lib.format.write_array_header_1_0(raw, {"descr": "<i8", "fortran_order": False, "shape": shape})
    zeros = bytes(1 << 24)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("placement.npy", "w", force_zip64=True) as member,
    ):
        member.write(raw.getvalue())
        for _ in range(1 << 5):
            member.write(zeros)
    code = (
        "import sys, resource; from pathlib import Path\n"
        "from metis.errors import InputError\n"
        "from metis.problem.placement_files import read_placement\n"
        "from metis.problem.space import ColocationSpace\n"
        "space = ColocationSpace(tuple('abcdefgh'), 2)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_placement(Path(sys.argv[1]), space)\n"
        "except InputError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    line, grown = done.stdout.splitlines()
    assert "unpacks to 536,87" in line
    assert int(grown) < 50_000  # KiB; resource is read on Linux only, as everywhere in these tests
    assert resource.RUSAGE_SELF == 0


def test_less_than_promised_and_twice_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"less than its header promises|expected 48 bytes got 8"):
        read_archive(declared(tmp_path / "a.npz", (3, 2), content=bytes(8)))
    path = tmp_path / "b.npz"
    raw = io.BytesIO()
    np.save(raw, np.ones(2))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("groups.npy", raw.getvalue())
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("groups.npy", raw.getvalue())
    with pytest.raises(InputError, match=r"holds groups\.npy twice"):
        read_archive(path)


def test_the_first_entry_alone(tmp_path):
    path = tmp_path / "a.npz"
    placements = np.arange(24).reshape(4, 3, 2)
    np.savez_compressed(path, placements=placements, none=np.zeros((0, 2)))
    found = read_archive(path, ["placements"], first=["placements"], limit=48)
    np.testing.assert_array_equal(found["placements"], placements[0])
    with pytest.raises(InputError, match="no first entry"):
        read_archive(path, ["none"], first=["none"])
