"""Where an image comes from: the calibration its column carries, and the versions of the software that made it."""

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


def read_calibration(description: MSInfo) -> Calibration:
    """The column to image, CORRECTED_DATA before DATA, and what its note says of its calibration."""
    column = next((name for name in ("CORRECTED_DATA", "DATA") if name in description.columns), None)
    if column is None:
        raise BadInput(f"{description.path}: neither CORRECTED_DATA nor DATA is in it; convert the group again")
    with table(str(description.path), ack=False) as main:
        note = read_calibration_record(main, column)
    if note is None:
        return Calibration(column, reason=f"{column} does not say what it was calibrated with")
    if note.get("set") is None:
        return Calibration(column, reason=str(note.get("reason") or "no reason was given"))
    mjd = note.get("mjd")
    return Calibration(
        column,
        set=str(note["set"]),
        calibrator=note.get("calibrator"),
        mjd=None if mjd is None else float(mjd),
    )


def imager_version(options: ImageOptions) -> str:
    """The imager's name and version, as it says itself."""
    if options.imager != WSCLEAN:
        return f"ducc0 {version('ducc0')} and Radler {version('radler')}"
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"WSClean version (\S+)", said)
    return f"WSClean {found[1] if found else 'of unknown version'}"


def software_versions() -> dict[str, str]:
    """Version by FITS keyword of what shapes an image."""
    return {"CONTIMG": contimg.__version__} | {keyword: version(package) for keyword, package in SOFTWARE.items()}
