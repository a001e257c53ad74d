"""What is installed: the Python packages, CASA's data, the Earth's orientation, WSClean."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.resources import files

from packaging.requirements import Requirement

from contimg.errors import Misconfigured
from contimg.instrument.bundled_data import casa_data_directory
from contimg.instrument.time import unix_to_mjd
from workers.doctor.finding import Finding, error, ok, warning

# Compiled against the machine; what is wrong with one shows when it is loaded, sometimes as a crash.
_COMPILED = ("casacore.tables", "aoflagger", "radler", "ducc0", "h5py", "numba")
# Columns of finals2000A.all, where a prediction that is not made is blank. Astropy itself takes half a second for them.
_MJD, _UT1_UTC = slice(7, 15), slice(58, 68)
_REINSTALL = "install again with the lock file: make setup, or ops/deploy.sh"


def python_packages() -> Iterator[Finding]:
    """Python, the packages that contimg asks for, and whether the compiled ones load."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        yield ok("Python", found)
    else:
        yield error("Python", f"{found}; 3.11 is needed", "install python3.11 and make the environment again")
    wrong = [problem for one in requires("contimg") or () if (problem := _problem(Requirement(one)))]
    yield error("packages", "; ".join(wrong), _REINSTALL) if wrong else ok("packages", "all that contimg asks for")
    broken = [] if _loads(*_COMPILED) else [name for name in _COMPILED if not _loads(name)]
    if broken:
        yield error("compiled packages", f"cannot be loaded: {', '.join(broken)}", _REINSTALL)
    else:
        yield ok("compiled packages", f"{len(_COMPILED)} load")


def casa_data() -> Finding:
    """CASA's reference data are there, the tables that measures need among them."""
    try:
        directory = casa_data_directory()
    except Misconfigured as wrong:
        return error("CASA data", str(wrong).partition(";")[0], "make setup")
    missing = [
        name for name in ("Observatories", "IERSeop2000", "TAI_UTC") if not (directory / "geodetic" / name).is_dir()
    ]
    if missing:
        return error(
            "CASA data", f"{directory}: without {', '.join(missing)}", "pip install --force-reinstall casadata"
        )
    return ok("CASA data", str(directory))


def earth_orientation() -> Finding:
    """Until when the Earth's orientation is known to the installed tables; nothing is downloaded at run time."""
    lines = (files("astropy_iers_data") / "data/finals2000A.all").read_text(encoding="ascii").splitlines()
    last = max(float(line[_MJD]) for line in lines if line[_UT1_UTC].strip())
    now = unix_to_mjd(time.time())
    if last < now:
        return warning(
            "Earth orientation",
            f"the installed tables end {now - last:.0f} days ago: positions are off by up to an arcsecond",
            "pip install --upgrade astropy-iers-data",
        )
    return ok("Earth orientation", f"known for {last - now:.0f} days to come")


def wsclean() -> Finding:
    """WSClean is an imager beside our own; nothing needs it."""
    found = shutil.which("wsclean")
    return ok("WSClean", found or "not installed; nothing needs it")


def _problem(wanted: Requirement) -> str | None:
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
        return None
    try:
        there = version(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name} is missing"
    return (
        None
        if wanted.specifier.contains(there, prereleases=True)
        else f"{wanted.name} is {there}, not {wanted.specifier}"
    )


def _loads(*modules: str) -> bool:
    command = [sys.executable, "-c", f"import {', '.join(modules)}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
