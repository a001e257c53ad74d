"""Provenance of an image: the calibration of its data, and the versions of the software."""

import re
import subprocess
from importlib.metadata import version

from casacore.tables import table

import contimg
from contimg.errors import BadInput
from contimg.formats.ms.columns import read_calibration_record
from contimg.formats.ms.info import MSInfo
from contimg.tile.image.deconvolution.wsclean import PROGRAM
from contimg.tile.image.options import WSCLEAN, ImageOptions
from contimg.tile.image.result import Calibration

SOFTWARE = {"DUCC0": "ducc0", "RADLER": "radler", "CASACORE": "python-casacore", "NUMPY": "numpy"}


def read_calibration(ms: MSInfo) -> Calibration:
    """Choose the column to image, CORRECTED_DATA before DATA, and read the note on its calibration.

    Raises
    ------
    BadInput : the Measurement Set has neither column.
    """
    column = next((name for name in ("CORRECTED_DATA", "DATA") if name in ms.columns), None)
    if column is None:
        raise BadInput(f"{ms.path}: has neither CORRECTED_DATA nor DATA; convert the group again")
    with table(str(ms.path), ack=False) as main:
        note = read_calibration_record(main, column)
    if note is None:
        return Calibration(column, reason=f"{column} has no note of its calibration")
    if note.get("set") is None:
        return Calibration(column, reason=str(note.get("reason") or "no reason was given"))
    mjd = note.get("mjd")
    return Calibration(column, str(note["set"]), note.get("calibrator"), None if mjd is None else float(mjd))


def imager_version(options: ImageOptions) -> str:
    """Return the imager's name and version."""
    if options.imager != WSCLEAN:
        return f"ducc0 {version('ducc0')} and Radler {version('radler')}"
    output = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"WSClean version (\S+)", output)
    return f"WSClean {match[1] if match else 'of unknown version'}"


def software_versions() -> dict[str, str]:
    """Return the versions of the packages that an image depends on, by FITS keyword."""
    return {"CONTIMG": contimg.__version__} | {keyword: version(package) for keyword, package in SOFTWARE.items()}
