"""The table of a product's numbers beside the limits that its grade comes from: its checks as text."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from contimg.quality.grades import GOOD, Check
from contimg.quality.image import ImageNumbers, QualityThresholds, check_image
from web.pages.filters import count, flux, percent


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


def quality_rows(image: ImageNumbers, limits: QualityThresholds) -> tuple[QualityRow, ...]:
    """Give a row for every check of an image; unmeasured numbers show a dash.

    Parameters
    ----------
    image : its numbers; flux densities in Jy.
    limits : of the checks of an image.
    """
    return rows_of_checks(check_image(image, limits))


def rows_of_checks(checks: Iterable[Check]) -> tuple[QualityRow, ...]:
    """Give a row for every check of a product; unmeasured numbers show a dash.

    Parameters
    ----------
    checks : the product's table of checks.
    """
    return tuple(
        QualityRow(check.name, _value(check), _limit(check), None if check.grade is None else check.grade == GOOD)
        for check in checks
    )


def _value(check: Check) -> str:
    if check.text and (check.value is not None or not check.has_limits):
        return check.text
    return _text(check, check.value)


def _limit(check: Check) -> str:
    if check.limit_text or not check.has_limits:
        return check.limit_text
    low, high = (_text(check, limit).removesuffix(".000") for limit in (check.low, check.high))
    if math.isinf(check.low) and math.isinf(check.high):
        return f"> {_text(check, check.bad_low)}"
    if math.isinf(check.low):
        return f"≤ {high}"
    return f"≥ {low}" if math.isinf(check.high) else f"{low} to {high}"


def _text(check: Check, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    if check.unit == "fraction":
        return percent(value)
    if check.unit == "Jy/beam":
        return f"{flux(value)}/beam"
    if check.unit == "count":
        return count(round(value))
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
