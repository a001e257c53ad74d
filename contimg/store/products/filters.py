"""Conditions on images, which lists, counts, charts and downloads of images share."""

import math
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func

from contimg.common.errors import BadInput
from contimg.formats.caltables.caltable_set import STRIP_DEG
from contimg.store import tables
from contimg.store.jobs.kinds import LIVE


@dataclass(frozen=True, kw_only=True)
class ImageFilter:
    """Conditions on images, for lists, counts and downloads: an image is selected if all that are not None hold.

    Attributes
    ----------
    since_mjd, until_mjd : limits of the middle of the observation, days, UTC; the second is excluded.
    grade : QA grade.
    calibrated : whether a caltable set was applied.
    ra_deg, dec_deg, radius_deg : centre and radius of a circle that holds the image's centre, ICRS, degrees; all three
        or none.
    declination_deg : declination of the strip, degrees: that of the image's centre differs by at most `strip_deg`.
    strip_deg : half width of a declination strip, degrees.
    ids : numbers of images.
    processing : `live`, or the name of a campaign.

    Raises
    ------
    BadInput : a part of the circle is missing, or a number is outside its range.
    """

    since_mjd: float | None = None
    until_mjd: float | None = None
    grade: str | None = None
    calibrated: bool | None = None
    ra_deg: float | None = None
    dec_deg: float | None = None
    radius_deg: float | None = None
    declination_deg: float | None = None
    strip_deg: float = STRIP_DEG
    ids: tuple[int, ...] | None = None
    processing: str = LIVE

    def __post_init__(self) -> None:
        circle = {"ra": self.ra_deg, "dec": self.dec_deg, "radius": self.radius_deg}
        missing = [name for name, value in circle.items() if value is None]
        if 0 < len(missing) < len(circle):
            raise BadInput(f"a circle on the sky has no {', no '.join(missing)}; give ra, dec and radius in degrees")
        limits = {"ra": (0.0, 360.0), "dec": (-90.0, 90.0), "radius": (0.0, 180.0), "declination": (-90.0, 90.0)}
        for name, value in {**circle, "declination": self.declination_deg}.items():
            low, high = limits[name]
            if value is not None and not low <= value <= high:
                raise BadInput(f"{name}: {value:g}; must be between {low:g} and {high:g} degrees")

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions on rows of the table of images."""
        image = tables.Image
        conditions = [
            image.processing == self.processing,
            None if self.since_mjd is None else image.mjd >= self.since_mjd,
            None if self.until_mjd is None else image.mjd < self.until_mjd,
            None if self.grade is None else image.verdict == self.grade,
            None if self.calibrated is None else image.calibration_set.is_not(None) == self.calibrated,
            None if self.ids is None else image.id.in_(self.ids),
        ]
        if self.declination_deg is not None:
            low, high = self.declination_deg - self.strip_deg, self.declination_deg + self.strip_deg
            conditions.append(image.dec_deg.between(low, high))
        if self.ra_deg is not None and self.dec_deg is not None and self.radius_deg is not None:
            conditions += _within_circle(self.ra_deg, self.dec_deg, self.radius_deg)
        return [condition for condition in conditions if condition is not None]


def _within_circle(ra_deg: float, dec_deg: float, radius_deg: float) -> list[ColumnElement[bool]]:
    """The haversine formula, which is exact at small angles, at the poles and across right ascension 0."""
    image, margin_deg = tables.Image, 1e-9
    if radius_deg >= 180.0:
        return []
    along = func.sin(func.radians(image.dec_deg - dec_deg) / 2)
    across = func.sin(func.radians(image.ra_deg - ra_deg) / 2)
    cosines = func.cos(func.radians(image.dec_deg)) * math.cos(math.radians(dec_deg))
    reach_deg = radius_deg + margin_deg
    return [
        image.dec_deg.between(dec_deg - reach_deg, dec_deg + reach_deg),  # excludes most rows without a sine
        along * along + cosines * across * across <= math.sin(math.radians(reach_deg) / 2) ** 2,
    ]
