"""Removal of unused files from the image, on a small environment with a real library that must still load."""

import ctypes
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from numpy.random import _pcg64

sys.path.append(str(Path(__file__).parents[2] / "ops/docker"))
import slimming

LIBRARY = Path(_pcg64.__file__)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Create an environment with a compiled package, tests of packages and some of CASA's data."""
    packages = tmp_path / "lib/python3.11/site-packages"
    for name in ("numpy/random/tests/test_it.py", "numpy/tests/test_it.py", "astropy/tests/runner.py",
                 "astropy/wcs/tests/test_it.py", "unknown/tests/kept.py", "casadata/__data__/alma/model",
                 "casadata/__data__/geodetic/IERSeop2000/table.dat", "casadata/__data__/ephemerides/DE405/table.dat",
                 "casadata/__data__/ephemerides/splatalogue.db"):  # fmt: skip
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text("content")
    shutil.copy(LIBRARY, packages / "numpy" / LIBRARY.name)
    return packages


@pytest.mark.skipif(not shutil.which("strip"), reason="binutils is not installed")
def test_only_unused_files_are_removed(packages: Path, tmp_path: Path) -> None:
    outcome = subprocess.run([sys.executable, slimming.__file__, tmp_path], capture_output=True, text=True, check=True)
    assert outcome.stdout.count(" MB") == 2, "the size before and after"
    remaining = {str(path.relative_to(packages)) for path in packages.rglob("*") if path.is_file()}
    assert remaining == {
        f"numpy/{LIBRARY.name}", "astropy/tests/runner.py", "unknown/tests/kept.py",
        "casadata/__data__/geodetic/IERSeop2000/table.dat", "casadata/__data__/ephemerides/DE405/table.dat",
    }  # fmt: skip
    ctypes.CDLL(str(packages / "numpy" / LIBRARY.name))


def test_library_that_cannot_be_mapped_is_detected(tmp_path: Path) -> None:
    assert slimming.can_be_mapped(LIBRARY)
    content = bytearray(LIBRARY.read_bytes())
    (table,) = struct.unpack_from("<Q", content, 32)
    entry_size, entries = struct.unpack_from("<HH", content, 54)
    header = next(offset for offset in range(table, table + entries * entry_size, entry_size)
                 if struct.unpack_from("<I", content, offset)[0] == 1)  # fmt: skip
    (address,) = struct.unpack_from("<Q", content, header + 16)
    struct.pack_into("<Q", content, header + 16, address + 8)
    moved = tmp_path / "moved.so"
    moved.write_bytes(content)
    assert not slimming.can_be_mapped(moved)
    (tmp_path / "text.so").write_text("INPUT(libother.so)")
    assert not slimming.can_be_mapped(tmp_path / "text.so")
