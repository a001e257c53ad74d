"""Which tiles have a calibrator in the beam, from their time alone: the sky drifts and the declination is known."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from contimg.instrument import dsa110 as telescope
from contimg.instrument.time import unix_to_jd
from contimg.store import Store

_SAME_STRIP_DEG = 0.01  # the sky's own motion, which moves no calibrator in or out
_REACH_RAD = np.deg2rad(5.0)  # beyond it lie only side lobes


class CalibratorTiles:
    """Knows the declination from the newest Measurement Set; before there is one, no tile is preferred."""

    def __init__(self, store: Store, min_attenuation: float, min_apparent_jy: float) -> None:
        self._store = store
        self._limits = (min_attenuation, min_apparent_jy)
        self._known: dict[float, bool] = {}
        self._dec_deg = float("nan")

    def among(self, reference_s: Sequence[float]) -> list[bool]:
        """Whether a tile that begins then (epoch seconds) will have a calibrator in its beam, one by one."""
        newest = self._store.products.measurement_sets(1) if reference_s else ()
        if not newest:
            return [False] * len(reference_s)
        if not abs(newest[0].dec_deg - self._dec_deg) < _SAME_STRIP_DEG:
            self._known, self._dec_deg = {}, newest[0].dec_deg
        asked = dict.fromkeys(reference_s)  # those that wait are asked for again and again
        self._known = {at: found for at, found in self._known.items() if at in asked}
        new = [at for at in asked if at not in self._known]
        if new:
            found = with_calibrator(np.asarray(new, dtype=np.float64), float(np.deg2rad(self._dec_deg)), *self._limits)
            self._known.update(zip(new, found.tolist(), strict=True))
        return [self._known[at] for at in reference_s]


def with_calibrator(
    starts_s: NDArray[np.float64], dec_rad: float, min_attenuation: float, min_apparent_jy: float
) -> NDArray[np.bool_]:
    """Whether a catalogued calibrator is in the beam at the middle of tiles, as the calibrate stage will judge it.

    Parameters
    ----------
    starts_s : when they begin, epoch seconds, shape (tiles,).
    dec_rad : ICRS declination of the phase centres, good to some arc minutes.
    """
    from contimg.instrument.coordinates import separation_rad

    middles_s = starts_s + 0.5 * telescope.INTEGRATIONS_PER_TILE * telescope.INTEGRATION_S
    directions = _meridian_rad(middles_s, dec_rad)
    found = np.zeros(starts_s.shape, dtype=bool)
    for position_rad, flux_jy in _candidates():
        if flux_jy < min_apparent_jy or abs(position_rad[1] - dec_rad) > _REACH_RAD:
            continue
        separation = separation_rad(directions, position_rad)
        attenuation = telescope.primary_beam(separation, telescope.BAND.centre_hz)
        found |= (
            (separation < _REACH_RAD) & (attenuation >= min_attenuation) & (attenuation * flux_jy >= min_apparent_jy)
        )
    return found


def _meridian_rad(times_s: NDArray[np.float64], dec_rad: float) -> NDArray[np.float64]:
    """ICRS direction on the meridian at a declination, shape (times, 2)."""
    from contimg.instrument.coordinates import TELESCOPE, meridian_icrs

    times_jd = unix_to_jd(times_s)
    # The declination of date that has this ICRS declination: precession moves it by up to 0.15 deg in 26 years.
    seen = meridian_icrs(TELESCOPE, times_jd[:1], dec_rad)[0]
    apparent = dec_rad - (float(seen[1]) - dec_rad)
    return meridian_icrs(TELESCOPE, times_jd, apparent)


@lru_cache(maxsize=1)
def _candidates() -> tuple[tuple[tuple[float, float], float], ...]:
    """Position and flux of every calibrator that could count anywhere."""
    from contimg.instrument.calibrators import catalogue

    freq_hz = telescope.BAND.centre_hz
    return tuple(((one.ra_rad, one.dec_rad), float(one.flux_jy(freq_hz))) for one in catalogue())
