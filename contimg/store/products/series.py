"""Numbers of images over their time of observation, for charts."""

from typing import Any

from sqlalchemy import ColumnElement, Integer, case, cast, func, select

from contimg.instrument.time import DAY_S, unix_to_mjd
from contimg.quality.grades import BAD, GOOD, SUSPECT
from contimg.store import tables
from contimg.store.activity.events import Bucket
from contimg.store.database import Database
from contimg.store.jobs.kinds import LIVE


def _share(condition: ColumnElement[bool]) -> ColumnElement[float]:
    return case((condition, 1.0), else_=0.0)


_image = tables.Image
_numbers = tables.Image.__table__.c
VALUES: dict[str, ColumnElement[Any]] = {
    "image.rms_jy": _numbers.rms_jy,
    "image.noise_ratio": _numbers.rms_jy / func.nullif(_numbers.expected_rms_jy, 0.0),
    "image.flux_ratio": _numbers.catalogue_flux_ratio,
    "image.flagged_fraction": 1.0 - _numbers.unflagged_fraction,
}
SHARES: dict[str, ColumnElement[float]] = {
    "image.good": _share(_image.verdict == GOOD),
    "image.suspect": _share(_image.verdict == SUSPECT),
    "image.bad": _share(_image.verdict == BAD),
    "image.uncalibrated": _share(_image.calibration_set.is_(None)),
}


def read_image_series(database: Database, name: str, since_s: float, until_s: float, points: int) -> tuple[Bucket, ...]:
    """Return a number of the live images over a span of their time of observation, averaged in steps of equal length.

    Parameters
    ----------
    database : of the store.
    name : of `VALUES`; or of `SHARES`, for the part of the images of a step that have a property.
    since_s, until_s : the span, epoch seconds; the second is excluded.
    points : number of steps.

    Returns
    -------
    the steps in order of time; those without a value are left out. The range of a share is its mean.
    """
    width_s = (until_s - since_s) / points
    since_mjd, until_mjd = unix_to_mjd(since_s), unix_to_mjd(until_s)
    value = VALUES[name] if name in VALUES else SHARES[name]
    low, high = (func.min, func.max) if name in VALUES else (func.avg, func.avg)
    number = (_image.mjd - since_mjd) * DAY_S / width_s  # at least 0
    # SQLite cuts the fraction off; PostgreSQL would round. On SQLite floor is a slow function of Python.
    step = cast(number if database.engine.dialect.name == "sqlite" else func.floor(number), Integer)
    query = (
        select(step, func.avg(value), low(value), high(value))
        .where(_image.processing == LIVE, _image.mjd >= since_mjd, _image.mjd < until_mjd, value.is_not(None))
        .group_by(step)
        .order_by(step)
    )
    with database.read() as session:
        rows = session.execute(query).all()
    return tuple(Bucket(since_s + (n + 0.5) * width_s, mean, minimum, maximum) for n, mean, minimum, maximum in rows)
