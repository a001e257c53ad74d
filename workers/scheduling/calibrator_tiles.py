"""Which tiles have a calibrator in the beam, from their time alone: the sky drifts and the declination is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from contimg.instrument import dsa110 as telescope
from contimg.instrument.calibrators import catalogue, min_flux_jy
from contimg.instrument.time import unix_to_jd
from contimg.settings import Settings
from contimg.store import Store, StoredMS
from contimg.tile.calibrate.options import CalibrateOptions

_SAME_STRIP_DEG = 0.01  # the sky's own motion, which moves no calibrator in or out
HOUR_S = 3600.0
_REACH_RAD = np.deg2rad(5.0)  # beyond it lie only side lobes


class StripCalibrator(NamedTuple):
    """A calibrator near a declination strip, and the apparent flux that it needs."""

    position_rad: tuple[float, float]
    flux_jy: float
    min_jy: float


class CalibratorTiles:
    """Tiles with a calibrator at the declination of the newest Measurement Set; none before there is one."""

    def __init__(self, store: Store, options: CalibrateOptions) -> None:
        self._store = store
        self._options = options
        self._flags: dict[float, bool] = {}  # by the beginning of the tile
        self._dec_deg = float("nan")
        self._calibrators: tuple[StripCalibrator, ...] = ()

    @classmethod
    def of(cls, store: Store) -> Self:
        """Return the tiles by the limits of the calibrate stage.

        Parameters
        ----------
        store : of the tiles and of the newest Measurement Set.

        Raises
        ------
        Misconfigured : an option of the stage is not valid.
        """
        options = CalibrateOptions.from_environment()
        if not options.catalogue and (path := Settings.from_environment().reference_path):
            options = options.replace(catalogue=str(path))
        return cls(store, options)

    def have_calibrator(self, starts_s: Sequence[float]) -> list[bool]:
        """Return whether tiles have a calibrator in the beam, from the times at which they begin.

        Parameters
        ----------
        starts_s : beginnings of the tiles, epoch seconds.

        Returns
        -------
        one value per tile in the order given; all False before there is a Measurement Set.
        """
        newest = self._store.products.measurement_sets(1) if starts_s else ()
        if not newest:
            return [False] * len(starts_s)
        if not abs(newest[0].dec_deg - self._dec_deg) < _SAME_STRIP_DEG:
            self._flags, self._dec_deg = {}, newest[0].dec_deg
            self._calibrators = self._find_calibrators(newest[0])
        # The same waiting tiles come again and again; those that no longer wait are dropped.
        self._flags = {start_s: self._flags[start_s] for start_s in starts_s if start_s in self._flags}
        new = [start_s for start_s in dict.fromkeys(starts_s) if start_s not in self._flags]
        if new:
            dec_rad = float(np.deg2rad(self._dec_deg))
            has_calibrator = with_calibrator(
                np.asarray(new, dtype=np.float64), dec_rad, self._options.min_attenuation, self._calibrators
            )
            self._flags.update(zip(new, has_calibrator.tolist(), strict=True))
        return [self._flags[start_s] for start_s in starts_s]

    def _find_calibrators(self, ms: StoredMS) -> tuple[StripCalibrator, ...]:
        """Give the calibrators of tiles like a Measurement Set's."""
        of_snr_jy = min_flux_jy(
            self._options.min_channel_snr, ms.antennas, telescope.BAND.channel_width_hz,
            ms.integrations * telescope.INTEGRATION_S,
        )  # fmt: skip
        return find_calibrators(float(np.deg2rad(ms.dec_deg)), of_snr_jy, self._options)


def find_calibrators(dec_rad: float, of_snr_jy: float, options: CalibrateOptions) -> tuple[StripCalibrator, ...]:
    """Return the calibrators near a declination that are bright enough, by the rule of the calibrate stage.

    Parameters
    ----------
    dec_rad : ICRS declination of the phase centres.
    of_snr_jy : apparent flux that gives the signal to noise that the options demand.
    options : of the stage; the reference catalogue gives the calibrators' neighbours and refutes absent ones.
    """
    from contimg.tile.calibrate.selection import read_neighbours, without_counterpart

    calibrators = []
    for source in (source for source in catalogue() if source.usable):
        flux_jy = float(source.flux_jy(telescope.BAND.centre_hz))
        if abs(source.dec_rad - dec_rad) > _REACH_RAD or flux_jy < of_snr_jy:
            continue
        position_rad = source.ra_rad, source.dec_rad
        neighbours = read_neighbours(Path(options.catalogue), *position_rad) if options.catalogue else []
        min_jy = options.min_calibrator_jy(of_snr_jy, has_neighbours=bool(neighbours))
        if flux_jy >= min_jy and not without_counterpart(source, neighbours):
            calibrators.append(StripCalibrator(position_rad, flux_jy, min_jy))
    return tuple(calibrators)


def with_calibrator(
    starts_s: NDArray[np.float64], dec_rad: float, min_attenuation: float, calibrators: Sequence[StripCalibrator]
) -> NDArray[np.bool_]:
    """Return whether a calibrator is in the beam at the middle of tiles.

    Parameters
    ----------
    starts_s : beginnings of the tiles, epoch seconds, shape (tiles,).
    dec_rad : ICRS declination of the phase centres, good to some arc minutes.
    min_attenuation : least primary beam at the calibrator.
    calibrators : those of the strip.

    Returns
    -------
    Booleans, shape (tiles,).
    """
    from contimg.instrument.coordinates import separation_rad

    middles_s = starts_s + 0.5 * telescope.INTEGRATIONS_PER_TILE * telescope.INTEGRATION_S
    directions = _meridian_rad(middles_s, dec_rad)
    has_calibrator = np.zeros(starts_s.shape, dtype=bool)
    for position_rad, flux_jy, min_jy in calibrators:
        separation = separation_rad(directions, position_rad)
        pb = telescope.primary_beam(separation, telescope.BAND.centre_hz)
        has_calibrator |= (separation < _REACH_RAD) & (pb >= min_attenuation) & (pb * flux_jy >= min_jy)
    return has_calibrator


def _meridian_rad(times_s: NDArray[np.float64], dec_rad: float) -> NDArray[np.float64]:
    """ICRS direction on the meridian at a declination, shape (times, 2); interpolated in each hour, good to 10 arcsec.

    Precession moves a direction by up to 0.15 deg in the course of a sidereal day, and hourly values follow that; a
    year of tiles has twelve times as many times as hours.
    """
    hours, count = np.floor(times_s / HOUR_S), times_s.size
    knots, indices = np.unique(np.concatenate([hours, hours + 1]), return_inverse=True)
    directions: NDArray[np.float64] = _exact_meridian_rad(knots * HOUR_S, dec_rad)
    first, steps = directions[indices[:count]], directions[indices[count:]] - directions[indices[:count]]
    steps[:, 0] %= 2 * np.pi  # across right ascension 0
    between: NDArray[np.float64] = first + (times_s / HOUR_S - hours)[:, None] * steps
    between[:, 0] %= 2 * np.pi
    return between


def _exact_meridian_rad(times_s: NDArray[np.float64], dec_rad: float) -> NDArray[np.float64]:
    """ICRS direction on the meridian at a declination, shape (times, 2)."""
    from contimg.instrument.coordinates import TELESCOPE, meridian_icrs

    times_jd = unix_to_jd(times_s)
    # The declination of date that has this ICRS declination: precession moves it by up to 0.15 deg in 26 years.
    icrs_dec_rad = float(meridian_icrs(TELESCOPE, times_jd[:1], dec_rad)[0][1])
    return meridian_icrs(TELESCOPE, times_jd, dec_rad - (icrs_dec_rad - dec_rad))
