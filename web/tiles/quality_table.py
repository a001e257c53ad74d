"""The table of an image's numbers beside the limits that its grade comes from."""

import math
from dataclasses import dataclass

from contimg.quality.grades import GOOD, Check
from contimg.quality.image import QualityThresholds, check_image
from contimg.store import StoredImage
from web.pages.filters import flux, percent


@dataclass(frozen=True)
class QualityRow:
    """A number beside its limits, as text.

    Attributes
    ----------
    name, value, limit : as shown; the limit is empty for a number that is not checked.
    good : whether it is within its limits; None when it was not measured or is not checked.
    """

    name: str
    value: str
    limit: str = ""
    good: bool | None = None


def quality_rows(image: StoredImage, limits: QualityThresholds) -> tuple[QualityRow, ...]:
    """Give the rows of the table: noise, peak and dynamic range, then every check; unmeasured numbers show a dash.

    Parameters
    ----------
    image : its numbers; flux densities in Jy.
    limits : of the checks of an image.
    """
    shown = (
        QualityRow("noise", f"{flux(image.rms_jy)}/beam"),
        QualityRow("peak", f"{flux(image.peak_jy)}/beam"),
        QualityRow("dynamic range", f"{image.dynamic_range:.0f}"),
    )
    return shown + tuple(_row(check, image) for check in check_image(image, limits))


def _row(check: Check, image: StoredImage) -> QualityRow:
    value = _text(check, check.value)
    if check.name in ("calibrated", "cleaned to the noise") and check.grade is not None:
        return QualityRow(check.name, "yes" if check.grade == GOOD else "no", "yes", check.grade == GOOD)
    if check.name == "flux over catalogue" and check.value is not None and image.catalogue_matches:
        value += f" ({image.catalogue_matches})"
    low, high = _text(check, check.low), _text(check, check.high)
    if math.isinf(check.low) and math.isinf(check.high):
        limit = f"> {_text(check, check.bad_low)}"
    else:
        limit = f"≤ {high}" if math.isinf(check.low) else f"≥ {low}" if math.isinf(check.high) else f"{low} to {high}"
    return QualityRow(check.name, value, limit, None if check.grade is None else check.grade == GOOD)


def _text(check: Check, value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    return percent(value) if check.unit == "fraction" else f"{value:.2f}"
