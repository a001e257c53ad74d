"""Reference data from the installed packages, without the network: Earth orientation for Astropy, tables for CASA.

Both would download newer tables by themselves. For dates past the end of the bundled tables UT1−UTC is off by tens of
milliseconds at most, less than an arcsecond on the sky.
"""

import os
from functools import lru_cache
from pathlib import Path

from contimg.common.errors import Misconfigured


@lru_cache(maxsize=1)
def use_bundled_iers() -> None:
    """Make Astropy use its bundled Earth-orientation tables whatever their age, and download nothing."""
    from astropy.utils import iers  # slow to import, and the functions for CASA do not need it

    iers.conf.auto_download = False
    iers.conf.auto_max_age = None
    iers.conf.iers_degraded_accuracy = "warn"


def casa_data_directory() -> Path:
    """Return the directory of the `casadata` package.

    Raises
    ------
    Misconfigured : the package is not installed.
    """
    try:
        import casadata
    except ImportError:
        raise Misconfigured("casadata is not installed, so CASA has no reference data; run make setup") from None
    return Path(casadata.datapath)


def casa_environment(home: Path) -> dict[str, str]:
    """Write CASA's settings and return the environment of a CASA process: bundled data, no updates, no log files.

    Parameters
    ----------
    home : the process's HOME; CASA reads its settings from `.casa/config.py` in it.
    """
    directory = home / ".casa"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.py").write_text(
        f"measurespath = {str(casa_data_directory())!r}\n"
        "measures_auto_update = False\n"
        "data_auto_update = False\n"
        "nologger = True\n"
        "log2term = False\n",
        encoding="utf-8",
    )
    return {**os.environ, "HOME": str(home)}
