"""The primary beam of the simulated dishes: voltage patterns that can differ from the beam that the imager assumes.

Offsets on the sky are direction cosines to the east and north of the pointing. A source's field at an antenna has the
factor of that antenna's voltage pattern, which is negative between the first and the second null of an Airy disk; a
visibility has the product of two antennas' patterns.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import j1

from contimg.instrument import dsa110 as telescope
from contimg.instrument.dsa110 import C_M_S
from contimg.simulation import drift
from contimg.simulation.options import SimulateOptions

ARCMIN_RAD = np.pi / 180 / 60


@dataclass(frozen=True)
class Beam:
    """The voltage patterns of the antennas of a run.

    Attributes
    ----------
    shape : `airy` or `uniform`.
    width : (across, along), factors of the Airy disk's width on its two axes.
    angle_rad : of the second axis, from north through east.
    squint_rad : XX is pointed half of this to the east, YY to the west.
    offsets_rad : east and north pointing offsets, shape (1, 2) when all antennas are equal, else (slots, 2).
    """

    shape: str
    width: tuple[float, float]
    angle_rad: float
    squint_rad: float
    offsets_rad: NDArray[np.float64]

    @property
    def hands(self) -> int:
        """2 when the polarisations have different patterns, else 1."""
        return 2 if self.squint_rad and self.shape != "uniform" else 1

    def of_antennas(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the pointing offsets of antennas, shape (1 or antennas, 2).

        Parameters
        ----------
        numbers : antenna slots, shape (antennas,).
        """
        return self.offsets_rad if len(self.offsets_rad) == 1 else self.offsets_rad[numbers]

    def voltage(
        self, east: ArrayLike, north: ArrayLike, freqs_hz: ArrayLike, offset_rad: ArrayLike = (0.0, 0.0), hand: int = 0
    ) -> NDArray[np.float64]:
        """Return the voltage pattern 2 J1(x) / x; its square is the response to power.

        Parameters
        ----------
        east, north : direction cosines from the pointing; broadcast with the frequencies.
        freqs_hz : Hz.
        offset_rad : pointing offset east and north; its last axis has length 2, the others broadcast.
        hand : 0 for XX, 1 for YY.
        """
        shape = np.broadcast_shapes(np.shape(east), np.shape(north), np.shape(freqs_hz), np.shape(offset_rad)[:-1])
        if self.shape == "uniform":
            return np.ones(shape)
        offset = np.asarray(offset_rad, dtype=np.float64)
        x = np.asarray(east) - offset[..., 0] - (0.5 - hand) * self.squint_rad
        y = np.asarray(north) - offset[..., 1]
        sine, cosine = np.sin(self.angle_rad), np.cos(self.angle_rad)
        across, along = (x * cosine - y * sine) / self.width[0], (x * sine + y * cosine) / self.width[1]
        argument = np.hypot(across, along) * (np.pi * telescope.DISH_DIAMETER_M / C_M_S) * np.asarray(freqs_hz)
        argument = np.maximum(argument, 1e-9)
        return np.asarray(2.0 * j1(argument) / argument)


def build_beam(options: SimulateOptions) -> Beam:
    """Return the beam of a run, with pointing offsets drawn for every slot.

    Parameters
    ----------
    options : of the run.
    """
    common = np.array([options.pointing_east_arcmin, options.pointing_north_arcmin])
    offsets = common[np.newaxis] * ARCMIN_RAD
    if options.pointing_rms_arcmin:
        rng = np.random.default_rng([options.seed, 10])
        scatter = rng.standard_normal((len(telescope.stations()), 2))
        offsets = offsets + options.pointing_rms_arcmin * ARCMIN_RAD * scatter
    width, ellipticity = options.beam_width, options.beam_ellipticity
    return Beam(
        options.beam,
        (width * (1 - ellipticity), width * (1 + ellipticity)),
        float(np.deg2rad(options.beam_angle_deg)),
        options.squint_arcmin * ARCMIN_RAD,
        offsets,
    )


def sky_offsets(
    directions: NDArray[np.float64], apparent_dec_rad: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the direction cosines of directions to the east and north of the dishes' pointing.

    Parameters
    ----------
    directions : ITRS unit vectors, shape (..., 3).
    apparent_dec_rad : declination of the pointing, on the meridian.
    """
    pointing = drift.meridian_direction(apparent_dec_rad)
    north = drift.meridian_direction(apparent_dec_rad + np.pi / 2)
    return directions @ np.cross(north, pointing), directions @ north


def mean_power(
    beam: Beam,
    numbers: NDArray[np.int64],
    directions: NDArray[np.float64],
    apparent_dec_rad: float,
    freqs_hz: ArrayLike,
) -> NDArray[np.float64]:
    """Return the mean response to power over baselines and polarisations.

    Parameters
    ----------
    beam : of the run.
    numbers : antenna slots, shape (antennas,).
    directions : ITRS unit vectors, shape (times, sources, 3).
    apparent_dec_rad : declination of the pointing.
    freqs_hz : shape (channels,).

    Returns
    -------
    shape (times, sources, channels).
    """
    east, north = (offset[..., np.newaxis] for offset in sky_offsets(directions, apparent_dec_rad))
    freqs = np.asarray(freqs_hz, dtype=np.float64)
    offsets = beam.of_antennas(numbers)
    power = []
    for hand in range(beam.hands):
        total, squares = np.zeros(1), np.zeros(1)
        for offset in offsets:
            voltage = beam.voltage(east, north, freqs, offset, hand)
            total, squares = total + voltage, squares + voltage**2
        count = len(offsets)
        power.append(squares if count == 1 else (total**2 - squares) / (count * (count - 1)))
    return np.asarray(np.mean(power, axis=0))
