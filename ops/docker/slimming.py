"""Takes out of the image's Python environment what nothing in it uses: `slimming.py /opt/contimg`, at build time.

What goes: the debugging symbols of compiled packages, those of CASA's reference data that no measure and no task of
ours reads, and the packages' own tests. It halves the image; what stays is as the lock file says.
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
TESTED = ("astropy", "h5py", "llvmlite", "matplotlib", "mpl_toolkits", "numba", "numpy", "pyuvdata", "scipy")
IN_USE = ("astropy/tests",)  # Astropy imports its runner of tests
_LOAD = 1  # the type of a segment that is mapped into memory


def main(environment: Path) -> None:
    """Slim one virtual environment and say what came of it."""
    (packages,) = environment.glob("lib/python3*/site-packages")
    before = size_of(packages)
    for name in CASA_DATA:
        remove(packages / "casadata/__data__" / name)
    for package in TESTED:
        for tests in sorted((packages / package).rglob("tests")):
            if str(tests.relative_to(packages)) not in IN_USE:
                remove(tests)
    for library in compiled(packages):
        strip(library)
    print(f"slimming: {before / 1e6:.0f} MB became {size_of(packages) / 1e6:.0f} MB")


def compiled(packages: Path) -> Iterator[Path]:
    """The shared objects of all packages."""
    return (path for path in packages.rglob("*.so*") if path.is_file() and not path.is_symlink())


def strip(library: Path) -> None:
    """Take a library's debugging symbols out, unless that would break it.

    Wheels are put together by a tool that moves segments about, and after that `strip` may leave a segment where the
    kernel cannot map it.
    """
    with tempfile.TemporaryDirectory() as directory:
        stripped = Path(directory) / library.name
        command = ["strip", "--strip-unneeded", "-o", str(stripped), str(library)]
        done = subprocess.run(command, capture_output=True, check=False).returncode == 0
        if done and can_be_mapped(stripped) and stripped.stat().st_size < library.stat().st_size:
            shutil.copyfile(stripped, library)


def can_be_mapped(library: Path) -> bool:
    """Whether each loaded segment of a 64-bit ELF file lies in the file as it is to lie in memory."""
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
    """Bytes of all files below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def remove(path: Path) -> None:
    """A file, or a directory with all in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
