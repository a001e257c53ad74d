"""Remove unused files from the Python environment of the image: `slimming.py /opt/contimg`, at build time.

Removed are the debugging symbols of compiled packages, CASA reference data that this project does not read, and the
tests of packages. This halves the image; the remaining packages are those of the lock file.
"""

import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Spectral lines, models of planets and of ALMA, orbits of bodies of the solar system, demonstrations.
CASA_DATA = (
    "alma", "catalogs", "demo", "gui", "ephemerides/JPL-Horizons", "ephemerides/SplatDefault.tbl",
    "ephemerides/splatalogue.db",
)  # fmt: skip
TESTED_PACKAGES = ("astropy", "h5py", "llvmlite", "matplotlib", "mpl_toolkits", "numba", "numpy", "pyuvdata", "scipy")
USED_TESTS = ("astropy/tests",)  # Astropy imports its test runner
_LOAD = 1  # PT_LOAD: type of a segment that is mapped into memory


def main(environment: Path) -> None:
    """Remove unused files of a virtual environment and print the sizes before and after."""
    (packages,) = environment.glob("lib/python3*/site-packages")
    size_before = size_of(packages)
    for name in CASA_DATA:
        remove(packages / "casadata/__data__" / name)
    for package in TESTED_PACKAGES:
        for tests in sorted((packages / package).rglob("tests")):
            if str(tests.relative_to(packages)) not in USED_TESTS:
                remove(tests)
    for library in shared_objects(packages):
        strip(library)
    print(f"slimming: {size_before / 1e6:.0f} MB reduced to {size_of(packages) / 1e6:.0f} MB")


def shared_objects(packages: Path) -> Iterator[Path]:
    """Return the shared objects of all packages."""
    return (path for path in packages.rglob("*.so*") if path.is_file() and not path.is_symlink())


def strip(library: Path) -> None:
    """Remove the debugging symbols of a library unless the result cannot be loaded.

    Wheels are repaired by a tool that moves segments; after that `strip` may place a segment where the kernel cannot
    map it.
    """
    with tempfile.TemporaryDirectory() as directory:
        stripped = Path(directory) / library.name
        command = ["strip", "--strip-unneeded", "-o", str(stripped), str(library)]
        is_stripped = subprocess.run(command, capture_output=True, check=False).returncode == 0
        if is_stripped and can_be_mapped(stripped) and stripped.stat().st_size < library.stat().st_size:
            shutil.copyfile(stripped, library)


def can_be_mapped(library: Path) -> bool:
    """Return whether the file offset of each loaded segment of a 64-bit ELF file is congruent to its address."""
    content = library.read_bytes()
    if content[:5] != b"\x7fELF\x02":
        return False
    (table,) = struct.unpack_from("<Q", content, 32)
    entry_size, entries = struct.unpack_from("<HH", content, 54)
    for number in range(entries):
        kind, _, offset, address, _, _, _, alignment = struct.unpack_from(
            "<IIQQQQQQ", content, table + number * entry_size
        )
        if kind == _LOAD and alignment > 1 and (offset - address) % alignment:
            return False
    return True


def size_of(directory: Path) -> int:
    """Return the size of all files below a directory in bytes."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def remove(path: Path) -> None:
    """Remove a file, or a directory and its contents."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
