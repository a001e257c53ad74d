"""Where an image comes from: the calibration its column carries, and the versions of the software that made it."""

import json
from importlib.metadata import version
from typing import Any

from casacore.tables import table

import contimg
from contimg.errors import BadInput
from contimg.imaging.product import Calibration
from contimg.measurement_set.description import Description

CALIBRATION_KEYWORD = "CONTIMG_CALIBRATION"
SOFTWARE = {"DUCC0": "ducc0", "RADLER": "radler", "CASACORE": "python-casacore", "NUMPY": "numpy"}


def read_calibration(description: Description) -> Calibration:
    """The column to image, CORRECTED_DATA before DATA, and what it says of its calibration."""
    if "CORRECTED_DATA" not in description.columns:
        if "DATA" not in description.columns:
            raise BadInput(f"{description.path}: neither CORRECTED_DATA nor DATA is in it; convert the group again")
        return Calibration("DATA", reason="the Measurement Set has no CORRECTED_DATA")
    with table(str(description.path), ack=False) as main:
        keywords = main.getcolkeywords("CORRECTED_DATA")
    said = keywords.get(CALIBRATION_KEYWORD)
    if said is None:
        return Calibration("CORRECTED_DATA", reason="CORRECTED_DATA does not say what it was calibrated with")
    try:
        return _parsed(json.loads(said))
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{description.path}: the keyword {CALIBRATION_KEYWORD} of CORRECTED_DATA is damaged ({error}); "
            "calibrate the group again"
        ) from error


def software_versions() -> dict[str, str]:
    """Version by FITS keyword of what shapes an image."""
    return {"CONTIMG": contimg.__version__} | {keyword: version(package) for keyword, package in SOFTWARE.items()}


def _parsed(said: dict[str, Any]) -> Calibration:
    if said.get("set") is None:
        return Calibration("CORRECTED_DATA", reason=str(said.get("reason") or "no reason was given"))
    mjd = said.get("mjd")
    return Calibration(
        "CORRECTED_DATA",
        set=str(said["set"]),
        calibrator=said.get("calibrator"),
        mjd=None if mjd is None else float(mjd),
    )
