"""No network at run time, said in one place: Astropy's Earth-orientation tables and CASA's reference data.

Both would fetch fresh tables by themselves. The tables that come with the installed wheels serve: for dates past
their end UT1−UTC is off by tens of milliseconds at most, under an arcsecond on the sky.
"""

import os
from functools import lru_cache
from pathlib import Path

from contimg.errors import Misconfigured


@lru_cache(maxsize=1)
def use_bundled_iers() -> None:
    """Let Astropy take the Earth-orientation tables it carries, however old, and download nothing."""
    from astropy.utils import iers  # loads much of Astropy, which who asks for CASA's directory can do without

    iers.conf.auto_download = False
    iers.conf.auto_max_age = None
    iers.conf.iers_degraded_accuracy = "warn"


def casa_data_directory() -> Path:
    """The `casadata` package's directory; raises Misconfigured when it is not installed."""
    try:
        import casadata
    except ImportError:
        raise Misconfigured("casadata is not installed, so CASA has no reference data; run make setup") from None
    return Path(casadata.datapath)


def casa_environment(home: Path) -> dict[str, str]:
    """Environment of a CASA process that has `home` as its HOME: reference data from the wheel, no updates.

    CASA reads its settings from HOME/.casa/config.py, which this writes.
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
