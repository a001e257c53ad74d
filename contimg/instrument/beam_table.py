"""The table of measured primary beams that is in force: widths in units of the Airy disk's, each with its validity.

The table is `primary_beam.json` in the state directory. Without it, and at times that no entry covers, the beam is the
Airy disk. `contimg beam install` adds an entry; the newest of those that cover a time is used.
"""

import json
import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from contimg.common.errors import BadInput, Misconfigured
from contimg.common.files.writing import write_text

FILE_NAME = "primary_beam.json"
ALWAYS_MJD = (0.0, 1e6)
WIDTHS = (0.5, 2.0)  # of an entry; outside is a mistake


@dataclass(frozen=True)
class BeamEntry:
    """A measured width.

    Attributes
    ----------
    width, width_error : FWHM over that of the Airy disk of the dish, and its standard error.
    valid_from_mjd, valid_to_mjd : UTC; ALWAYS_MJD where open.
    measured_mjd : mean time of the images that it was measured in.
    images, sources : their numbers.
    """

    width: float
    width_error: float
    valid_from_mjd: float
    valid_to_mjd: float
    measured_mjd: float
    images: int
    sources: int

    def covers(self, mjd: float) -> bool:
        """Whether a time is in the validity.

        Parameters
        ----------
        mjd : UTC.
        """
        return self.valid_from_mjd <= mjd <= self.valid_to_mjd


def table_path() -> Path:
    """Return the path of the table: in PIPELINE_STATE_DIR, or `state`."""
    return Path(os.environ.get("PIPELINE_STATE_DIR") or "state") / FILE_NAME


def read_measurement(path: Path) -> BeamEntry:
    """Read the file of `contimg beam measure`.

    Parameters
    ----------
    path : JSON file with the fields of an entry.

    Raises
    ------
    BadInput : the file is not one of these.
    """
    try:
        return BeamEntry(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"{path}: not a file of `contimg beam measure` ({error})") from error


def read_entries(path: Path | None = None) -> tuple[BeamEntry, ...]:
    """Read the table, the oldest installed first; empty when there is no file.

    Parameters
    ----------
    path : of the table; that in force when not given.

    Raises
    ------
    Misconfigured : the file is not a table of beams.
    """
    path = path or table_path()
    try:
        return _read(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return ()


@lru_cache(maxsize=8)
def _read(path: Path, _modified_ns: int) -> tuple[BeamEntry, ...]:
    try:
        entries = tuple(BeamEntry(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))["entries"])
        if not all(WIDTHS[0] <= entry.width <= WIDTHS[1] for entry in entries):
            raise ValueError(f"a width outside {WIDTHS[0]:g} to {WIDTHS[1]:g}")
    except (ValueError, KeyError, TypeError) as error:
        raise Misconfigured(f"{path}: not a table of primary beams ({error}); install a beam again") from error
    return entries


def beam_width(mjd: float | None = None) -> float:
    """Return the width in force over that of the Airy disk; 1 when no entry covers the time.

    Parameters
    ----------
    mjd : UTC; the newest entry is used when not given.
    """
    entries = [entry for entry in read_entries() if mjd is None or entry.covers(mjd)]
    return entries[-1].width if entries else 1.0


def install_entry(entry: BeamEntry, path: Path | None = None) -> Path:
    """Add an entry to the table.

    Parameters
    ----------
    entry : the newest measurement.
    path : of the table; that in force when not given.

    Returns
    -------
    path of the table.

    Raises
    ------
    BadInput : the width or the validity makes no sense.
    """
    path = path or table_path()
    if not WIDTHS[0] <= entry.width <= WIDTHS[1]:
        limits = f"{WIDTHS[0]:g} to {WIDTHS[1]:g}"
        raise BadInput(f"width {entry.width:.3f}: outside {limits} of the Airy disk's; not installed")
    if not entry.valid_from_mjd < entry.valid_to_mjd:
        raise BadInput(f"validity MJD {entry.valid_from_mjd} to {entry.valid_to_mjd}: empty; give a later end")
    entries = [asdict(installed) for installed in (*read_entries(path), entry)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"entries": entries}, indent=2) + "\n", mode=0o644)
    _read.cache_clear()
    return path
