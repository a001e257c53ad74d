"""Checks of the installation: Python packages, CASA data, Earth orientation, WSClean."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.resources import files

from packaging.requirements import Requirement

from contimg.common.errors import Misconfigured
from contimg.instrument.bundled_data import casa_data_directory
from contimg.instrument.time import unix_to_mjd
from workers.doctor.finding import Finding, Level, grade

# Compiled packages: a fault shows when they are imported, sometimes as a crash.
_COMPILED = ("casacore.tables", "aoflagger", "radler", "ducc0", "h5py", "numba")
_CASA_TABLES = ("Observatories", "IERSeop2000", "TAI_UTC")
# Columns of finals2000A.all; UT1-UTC is blank where there is no prediction. Astropy needs half a second for the file.
_MJD, _UT1_UTC = slice(7, 15), slice(58, 68)
_REINSTALL = "install again from the lock file: make setup, or ops/deploy.sh"


def check_python_packages() -> Iterator[Finding]:
    """Check the version of Python, the versions of the required packages, and that compiled ones can be imported."""
    python = ".".join(map(str, sys.version_info[:3]))
    remedy = "install python3.11, which is needed, and create the environment again"
    yield grade("Python", python, (sys.version_info[:2] != (3, 11), Level.ERROR, remedy))
    problems = "; ".join(problem for text in requires("contimg") or () if (problem := _problem(Requirement(text))))
    yield grade("packages", problems or "all that are required", (problems, Level.ERROR, _REINSTALL))
    broken = "" if _can_import(*_COMPILED) else ", ".join(name for name in _COMPILED if not _can_import(name))
    text = f"cannot be imported: {broken}" if broken else f"{len(_COMPILED)} can be imported"
    yield grade("compiled packages", text, (broken, Level.ERROR, _REINSTALL))


def check_casa_data() -> Finding:
    """Check that CASA's reference data with the tables of measures are installed."""
    try:
        directory = casa_data_directory()
    except Misconfigured as error:
        return Finding("CASA data", Level.ERROR, str(error).partition(";")[0], "make setup")
    missing = ", ".join(name for name in _CASA_TABLES if not (directory / "geodetic" / name).is_dir())
    text = f"{directory}: {missing} missing" if missing else str(directory)
    return grade("CASA data", text, (missing, Level.ERROR, "pip install --force-reinstall casadata"))


def check_earth_orientation() -> Finding:
    """Check until when the installed tables give the Earth's orientation; nothing is downloaded at run time."""
    lines = (files("astropy_iers_data") / "data/finals2000A.all").read_text(encoding="ascii").splitlines()
    last_mjd = max(float(line[_MJD]) for line in lines if line[_UT1_UTC].strip())
    remaining_days = last_mjd - unix_to_mjd(time.time())
    text = f"given for the next {remaining_days:.0f} days"
    if remaining_days < 0:
        text = f"the installed tables end {-remaining_days:.0f} days ago: positions are off by up to an arcsecond"
    remedy = "pip install --upgrade astropy-iers-data"
    return grade("Earth orientation", text, (remaining_days < 0, Level.WARNING, remedy))


def check_wsclean() -> Finding:
    """Report whether WSClean is installed; only comparisons use it."""
    return Finding("WSClean", Level.OK, shutil.which("wsclean") or "not installed; only comparisons use it")


def _problem(requirement: Requirement) -> str | None:
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return None
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is missing"
    if requirement.specifier.contains(installed, prereleases=True):
        return None
    return f"{requirement.name} is {installed}, not {requirement.specifier}"


def _can_import(*modules: str) -> bool:
    command = [sys.executable, "-c", f"import {', '.join(modules)}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
