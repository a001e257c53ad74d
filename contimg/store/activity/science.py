"""What the newest tiles of the live stream show: calibration, quality, missing subbands and pointing, for alerts."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import Any

from sqlalchemy import select

from contimg.formats.caltables.caltable_set import STRIP_DEG
from contimg.instrument.dsa110 import BAND
from contimg.instrument.time import unix_to_mjd
from contimg.quality.calibration import CalibrationClass, CalibrationNumbers
from contimg.quality.grades import GOOD
from contimg.store import tables
from contimg.store.database import Repository
from contimg.store.files.groups import FileState
from contimg.store.jobs.kinds import LIVE, TILE, State
from contimg.store.products.calibrations import Registry
from contimg.store.products.caltable_records import StoredCaltableSet

MEDIAN_DAYS = 7.0
MIN_IMAGES = 5  # for a median
SOLVE_DAYS = 1 / 72  # from a transit to its set: a tile's conversion and solve
MAX_AGE_DAYS = 30.0


@dataclass(frozen=True)
class ImageQuality:
    """The quality of one image: whether it is calibrated, its grade, and two ratios; None where not measured.

    Attributes
    ----------
    noise_ratio : noise over thermal rms.
    flux_ratio : measured over catalogued flux.
    calibration : class and age of its calibration.
    """

    group: str
    mjd: float
    dec_deg: float
    is_calibrated: bool
    grade: str | None
    noise_ratio: float | None
    flux_ratio: float | None
    calibration: CalibrationNumbers

    def has_old_gains(self, limit_h: float) -> bool:
        """Tell whether the gains are borrowed, or old while the sky did not show that the phases still hold.

        Parameters
        ----------
        limit_h : age above which gains are old, hours.
        """
        numbers = self.calibration
        if numbers.calibration_class == CalibrationClass.BORROWED:
            return True
        is_old = numbers.calibration_class == CalibrationClass.SAME_DAY and abs(numbers.gain_age_h or 0.0) > limit_h
        return is_old and (numbers.flux_loss_fraction is None or self.grade != GOOD)


@dataclass(frozen=True)
class Deviation:
    """A ratio of the newest images beside its median of the days before on the same declination strip.

    Attributes
    ----------
    name : what the ratio is.
    value : median of the newest images.
    usual : median of the days before.
    """

    name: str
    value: float
    usual: float

    @property
    def factor(self) -> float:
        """By which factor the value is above or below the usual one; at least 1."""
        if self.value <= 0 or self.usual <= 0:
            return math.inf
        return max(self.value / self.usual, self.usual / self.value)


class Science(Repository):
    """Reads of the newest live tiles by time of observation."""

    def newest_images(self, count: int) -> tuple[ImageQuality, ...]:
        """Return the newest images, the newest first.

        Parameters
        ----------
        count : largest number of images.
        """
        image: Any = tables.Image  # its columns of numbers are those of TileImage
        columns = (
            image.group_id, image.mjd, image.dec_deg, image.calibration_set, image.verdict, image.rms_jy,
            image.expected_rms_jy, image.catalogue_flux_ratio,
            *(getattr(image, field.name) for field in fields(CalibrationNumbers)),
        )  # fmt: skip
        newest_first = select(*columns).order_by(image.mjd.desc(), image.id.desc())  # without the lists of sources
        query = newest_first.where(image.processing == LIVE).limit(count)
        with self._database.read() as session:
            return tuple(
                ImageQuality(
                    row.group_id, row.mjd, row.dec_deg, row.calibration_set is not None, row.verdict,
                    _ratio(row.rms_jy, row.expected_rms_jy), row.catalogue_flux_ratio,
                    CalibrationNumbers.from_record(row._asdict()),
                )
                for row in session.execute(query)
            )  # fmt: skip

    def deviations(self, newest: Sequence[ImageQuality]) -> tuple[Deviation, ...]:
        """Compare the newest images with those of the seven days before them on the strip of the newest.

        Parameters
        ----------
        newest : from `newest_images`.

        Returns
        -------
        tuple of Deviation
            Of noise over thermal rms, and of measured over catalogued flux; a ratio that fewer than `MIN_IMAGES` of
            the images before have is left out.
        """
        if not newest:
            return ()
        image: Any = tables.Image
        strip_deg, first_mjd = newest[0].dec_deg, newest[-1].mjd
        query = select(image.rms_jy, image.expected_rms_jy, image.catalogue_flux_ratio).where(
            image.processing == LIVE,
            image.mjd < first_mjd,
            image.mjd >= newest[0].mjd - MEDIAN_DAYS,
            image.dec_deg.between(strip_deg - STRIP_DEG, strip_deg + STRIP_DEG),
        )
        with self._database.read() as session:
            rows = session.execute(query).all()
        ratios = {
            "noise over thermal noise": (
                [row.noise_ratio for row in newest],
                [_ratio(rms, expected) for rms, expected, _ in rows],
            ),
            "measured over catalogued flux": ([row.flux_ratio for row in newest], [flux for _, _, flux in rows]),
        }
        deviations = []
        for name, (present, before) in ratios.items():
            values, earlier = _finite_values(present), _finite_values(before)
            if values and len(earlier) >= MIN_IMAGES:
                deviations.append(Deviation(name, median(values), median(earlier)))
        return tuple(deviations)

    def missing_subbands(self, count: int) -> tuple[int, ...]:
        """Return the subbands that are missing in all of the newest groups; none when there are fewer groups.

        Groups that still collect files and discarded ones are left out.

        Parameters
        ----------
        count : number of groups.
        """
        job, file = tables.Job, tables.SubbandFileRow
        undecided = (State.COLLECTING, State.DISCARDED)
        newest = (
            select(job.key)
            .where(job.kind == TILE.name, job.processing == LIVE, job.state.not_in(undecided))
            .order_by(job.reference_s.desc())
            .limit(count)
        )
        with self._database.read() as session:
            keys = list(session.scalars(newest))
            if len(keys) < count:
                return ()
            present = select(file.subband).where(file.group_id.in_(keys), file.state != FileState.QUARANTINED)
            subbands = set(session.scalars(present.distinct()))
        expected = range(min(BAND.subbands, self._database.rules.expected_subbands))
        return tuple(number for number in expected if number not in subbands)

    def pointing(self) -> tuple[float, float] | None:
        """Return when the newest Measurement Set begins (MJD) and its declination (degrees); None without one."""
        ms = tables.MeasurementSet
        query = select(ms.mjd_start, ms.dec_deg).where(ms.processing == LIVE).order_by(ms.mjd_start.desc()).limit(1)
        with self._database.read() as session:
            row = session.execute(query).first()
        return None if row is None else (row[0], row[1])

    def lacks_good_set(self) -> bool:
        """Return whether caltable sets are registered and no good one is valid now for the present pointing.

        Now is the time of the newest tile where that is more than a day ago: old data are processed then. A set that
        was valid `SOLVE_DAYS` before counts too: the set of the next transit is being solved.
        """
        mjd, dec_deg = self._present()
        registry = Registry(self._database)
        valid = [registry.valid_at(time_mjd, dec_deg) for time_mjd in (mjd, mjd - SOLVE_DAYS)]  # good ones first
        return bool(registry.sets(1)) and not any(ranked and ranked[0].grade == GOOD for ranked in valid)

    def newest_good_set(self, days: float = MAX_AGE_DAYS) -> tuple[StoredCaltableSet, float] | None:
        """Return the newest good set in force of the present pointing, and its age in hours; None without one.

        Parameters
        ----------
        days : sets that are older count as of another season.
        """
        mjd, dec_deg = self._present()
        stored = Registry(self._database).valid_at(mjd, dec_deg, borrow_days=days)
        good = [caltable_set for caltable_set in stored if caltable_set.grade == GOOD and caltable_set.mjd <= mjd]
        newest = max(good, key=lambda caltable_set: caltable_set.mjd, default=None)
        return None if newest is None else (newest, 24.0 * (mjd - newest.mjd))

    def _present(self) -> tuple[float, float | None]:
        """Now and the declination that is observed: the time of the newest tile where that is more than a day ago."""
        now_mjd, pointing = unix_to_mjd(self._database.clock()), self.pointing()
        mjd, dec_deg = (now_mjd, None) if pointing is None else pointing
        return (now_mjd if abs(now_mjd - mjd) <= 1.0 else mjd), dec_deg


def _ratio(value: float, scale: float | None) -> float | None:
    return value / scale if scale else None


def _finite_values(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]
