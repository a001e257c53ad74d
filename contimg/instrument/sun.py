"""Where the Sun is, and how much of it reaches the correlations of a tile.

The Sun is above the horizon for half of all tiles. Its flux is attenuated by the sidelobes of the dishes and, because
its disc is half a degree wide, by the length of the baselines.
"""

from dataclasses import dataclass

import erfa
import numpy as np
from numpy.typing import NDArray

from contimg.instrument.coordinates import Site, itrf_directions, separation_rad
from contimg.instrument.dsa110 import C_M_S, primary_beam

QUIET_SUN_JY = 5e5  # near 1.4 GHz; several times more when the Sun is active
DISC_DEG = 0.6  # diameter near 1.4 GHz, a tenth wider than in the optical
_TDB_UTC_DAYS = 69.2 / 86400.0  # in which the Sun moves by 0.003 arcsec


@dataclass(frozen=True)
class SunNumbers:
    """The Sun as a tile sees it.

    Attributes
    ----------
    sun_distance_deg : angle from the pointing at mid-tile.
    sun_jy : rms over the imaged baselines of the quiet Sun's correlated flux; 0 below the horizon, None where the
        primary beam is not known.
    """

    sun_distance_deg: float
    sun_jy: float | None


def sun_position_rad(mjd: float) -> tuple[float, float]:
    """Return the geocentric position of the Sun by ERFA's ephemeris, right ascension and declination, ICRS axes.

    Parameters
    ----------
    mjd : UTC, days. The table of Earth orientation is not needed.
    """
    heliocentric, _ = erfa.epv00(2400000.5, mjd + _TDB_UTC_DAYS)
    right_ascension, declination = erfa.c2s(-np.asarray(heliocentric["p"]))
    return float(right_ascension) % (2 * np.pi), float(declination)


def describe_sun(
    pointing_rad: NDArray[np.float64], mjd: float, freq_hz: float, diameter_m: float,
    antenna_positions_m: NDArray[np.float64], min_baseline_m: float = 0.0,
) -> SunNumbers:  # fmt: skip
    """Compute the Sun's distance from a pointing, and estimate its correlated flux.

    Parameters
    ----------
    pointing_rad : right ascension and declination of the pointing, ICRS, shape (2,).
    mjd : UTC, days.
    freq_hz : frequency.
    diameter_m : of the dishes; NaN where it is not known.
    antenna_positions_m : ITRF, shape (antennas, 3).
    min_baseline_m : projected length below which baselines are not imaged.
    """
    sun_rad = sun_position_rad(mjd)
    distance_rad = float(separation_rad(np.asarray(pointing_rad), np.asarray(sun_rad)))
    site = Site.from_itrf(antenna_positions_m.mean(axis=0))
    direction = itrf_directions(site, np.array([mjd + 2400000.5]), *sun_rad)[0]
    if not is_above_horizon(site, direction):
        return SunNumbers(float(np.rad2deg(distance_rad)), 0.0)
    baselines_m = _project_baselines_m(antenna_positions_m, direction)
    baselines_m = baselines_m[baselines_m >= min_baseline_m]
    disc = np.sqrt(np.mean(disc_visibility(baselines_m, freq_hz) ** 2)) if baselines_m.size else 0.0
    flux_jy = QUIET_SUN_JY * sidelobe_response(distance_rad, freq_hz, diameter_m) * float(disc)
    return SunNumbers(float(np.rad2deg(distance_rad)), None if np.isnan(flux_jy) else flux_jy)


def is_above_horizon(site: Site, direction: NDArray[np.float64]) -> bool:
    """Tell whether an ITRF direction is above the horizon of a site.

    Parameters
    ----------
    site : the array's centre.
    direction : unit vector, shape (3,).
    """
    cosine = np.cos(site.latitude_rad)
    up = cosine * np.cos(site.longitude_rad), cosine * np.sin(site.longitude_rad), np.sin(site.latitude_rad)
    return bool(np.dot(up, direction) > 0)


def sidelobe_response(distance_rad: float, freq_hz: float, diameter_m: float) -> float:
    """Return the power response of a dish far from its axis: the Airy pattern, at least that of an isotropic antenna.

    The response of a filled aperture, averaged over the sphere, is (lambda / (pi D))^2 of that on the axis. Spillover
    and scattering by the feed's legs are not in the Airy pattern, which falls below this 15 degrees from the axis.

    Parameters
    ----------
    distance_rad : from the axis; beyond 90 degrees the isotropic response alone.
    freq_hz : frequency.
    diameter_m : of the dish; NaN makes the response NaN.
    """
    isotropic = (C_M_S / (freq_hz * np.pi * diameter_m)) ** 2
    if distance_rad >= np.pi / 2:
        return float(isotropic)
    return float(np.maximum(primary_beam(distance_rad, freq_hz, diameter_m), isotropic))


def disc_visibility(baselines_m: NDArray[np.float64], freq_hz: float) -> NDArray[np.float64]:
    """Return the visibility of a uniform disc of the Sun's diameter over its flux, 2 J1(x) / x.

    Parameters
    ----------
    baselines_m : projected lengths, any shape; x = pi diameter length / lambda.
    freq_hz : frequency.
    """
    from scipy.special import j1  # slow to import

    x = np.maximum(np.pi * np.deg2rad(DISC_DEG) * baselines_m * freq_hz / C_M_S, 1e-9)
    return np.asarray(2.0 * j1(x) / x)


def _project_baselines_m(positions_m: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths of all baselines across a direction, shape (baselines,)."""
    ant1, ant2 = np.triu_indices(len(positions_m), 1)
    vectors = positions_m[ant1] - positions_m[ant2]
    return np.asarray(np.linalg.norm(vectors - (vectors @ direction)[:, None] * direction, axis=1))
