"""How fine an image has to be, and how far channels may be averaged for it."""

import numpy as np
from numpy.typing import NDArray

from contimg.imaging.options import ImageOptions
from contimg.imaging.visibilities import Visibilities
from contimg.measurement_set.description import Description
from contimg.telescope import BAND, C_M_S, DISH_DIAMETER_M

MAX_PIXEL_ARCSEC = 6.0
PIXELS_PER_FRINGE = 2.6  # of the longest baseline: 2 would be Nyquist's limit
HALF_POWER_RAD = 0.51 * C_M_S / BAND.centre_hz / DISH_DIAMETER_M
ARCSEC_RAD = float(np.deg2rad(1 / 3600))


def longest_baseline_lambda(data: Visibilities) -> float:
    """Longest projected baseline that has weight, in wavelengths."""
    metres = np.hypot(data.uvw_m[:, 0], data.uvw_m[:, 1])
    highest = np.where(data.weights > 0, data.freqs_hz[None, :], 0).max(axis=1)
    return float((metres * highest).max() / C_M_S)


def pixel_size_arcsec(data: Visibilities) -> float:
    """A pixel that samples the longest baseline's fringe, rounded down to 0.1 arcsec, at most 6 arcsec."""
    fine = 1 / (PIXELS_PER_FRINGE * longest_baseline_lambda(data)) / ARCSEC_RAD
    return float(min(MAX_PIXEL_ARCSEC, max(0.1, np.floor(fine * 10) / 10)))


def channel_average(description: Description, uvw_m: NDArray[np.float64], options: ImageOptions) -> int:
    """The most channels to average into one within the smearing allowed; a divisor of their number.

    A channel of width Δν takes (π θ B Δν / c)² / 6 of a source's flux at distance θ, B the rms baseline (Bridle &
    Schwab, in Synthesis Imaging II, ch. 18, for a square band). θ is the half-power radius of the primary beam, or
    the image's edge if that is nearer.
    """
    edge = 0.5 * options.size * (options.pixel_arcsec or MAX_PIXEL_ARCSEC) * ARCSEC_RAD
    distance = min(HALF_POWER_RAD, edge)
    baseline = float(np.sqrt(np.mean(np.square(uvw_m[:, :2]).sum(axis=1)))) if uvw_m.size else 0.0
    channels = description.freqs_hz.size
    divisors = [number for number in range(1, channels + 1) if channels % number == 0]
    loss = {
        number: (np.pi * distance * baseline * number * description.channel_width_hz / C_M_S) ** 2 / 6
        for number in divisors
    }
    return max((number for number in divisors if loss[number] <= options.smearing_percent / 100), default=1)
