"""The DSA-110 in numbers: site, band plan, stations, primary beam.

Sources: OVRO_MMA in casacore's Observatories table (site); the correlator's channel formula, which equals a
real Measurement Set's CHAN_FREQ to 0 Hz (band); the observatory's station list of 2022 (stations.csv).
"""

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

NAME = "OVRO_MMA"
NAMES = (NAME, "DSA-110", "DSA_110")  # in Measurement Sets
LONGITUDE_DEG = -118.283
LATITUDE_DEG = 37.2334051
HEIGHT_M = 1188.0519
DISH_DIAMETER_M = 4.65
SAME_DISH = 0.1  # difference from it, as a fraction, within which a diameter is that of these dishes
SEFD_JY = 6500.0
INTEGRATION_S = 12.884902
INTEGRATIONS_PER_TILE = 24
CADENCE_S = 309.0
C_M_S = 299_792_458.0


@dataclass(frozen=True)
class BandPlan:
    """Equal, contiguous subbands: subband 0 is the highest in frequency and channels descend, unless `rising`.

    Attributes
    ----------
    top_hz : upper edge of the band, Hz.
    subband_width_hz : width of one subband, Hz.
    subbands : their number.
    channels : native channels per subband.
    rising : subband 0 is the lowest in frequency and channels ascend, as in files of other arrays.
    """

    top_hz: float
    subband_width_hz: float
    subbands: int
    channels: int
    rising: bool = False

    @property
    def channel_width_hz(self) -> float:
        """Width of a native channel, Hz."""
        return self.subband_width_hz / self.channels

    @property
    def bottom_hz(self) -> float:
        """Lower edge of the band, Hz."""
        return self.top_hz - self.subbands * self.subband_width_hz

    @property
    def centre_hz(self) -> float:
        """Middle of the band, Hz."""
        return 0.5 * (self.top_hz + self.bottom_hz)

    def subbands_above(self, subband: int) -> int:
        """Return how many subbands lie above this one in frequency.

        Parameters
        ----------
        subband : its number, 0 to `subbands` - 1.
        """
        return self.subbands - 1 - subband if self.rising else subband

    def channel_freqs_hz(self, subband: int, channels: int | None = None) -> NDArray[np.float64]:
        """Return the channel centres of a subband in the files' order.

        Parameters
        ----------
        subband : its number.
        channels : channels in a subband; the native number when not given.

        Returns
        -------
        Hz, shape (channels,).
        """
        number = channels or self.channels
        width = self.subband_width_hz / number
        top = self.top_hz - self.subbands_above(subband) * self.subband_width_hz
        descending = np.asarray(top - (np.arange(number) + 0.5) * width, dtype=np.float64)
        return descending[::-1] if self.rising else descending

    def subband_of(self, freqs_hz: ArrayLike, width_hz: float, tolerance_hz: float = 1.0) -> int | None:
        """Return the subband that channels fill from edge to edge, or None when they fill none.

        Channel-averaged data of the same band have the same edges.

        Parameters
        ----------
        freqs_hz : channel centres, shape (channels,).
        width_hz : width of a channel.
        tolerance_hz : largest distance of an edge from the subband's.
        """
        freqs = np.asarray(freqs_hz, dtype=np.float64)
        upper = freqs.max() + 0.5 * abs(width_hz)
        lower = freqs.min() - 0.5 * abs(width_hz)
        above = round((self.top_hz - upper) / self.subband_width_hz)
        if not 0 <= above < self.subbands:
            return None
        edge = self.top_hz - above * self.subband_width_hz
        fits = abs(upper - edge) <= tolerance_hz and abs(lower - edge + self.subband_width_hz) <= tolerance_hz
        return self.subbands_above(above) if fits else None


# Channel centres f[sb, k] = 1.53e9 - (1024 + 384 sb + 8 k + 3.5) * 250e6/8192 Hz, k = 0..47: eight fine
# channels of 250e6/8192 Hz to a channel, 384 to a subband; the upper edge lies half a fine channel above 1024.
_FINE_HZ = 250e6 / 8192
BAND = BandPlan(top_hz=1.53e9 - 1023.5 * _FINE_HZ, subband_width_hz=384 * _FINE_HZ, subbands=16, channels=48)


@dataclass(frozen=True)
class Station:
    """An antenna slot.

    Attributes
    ----------
    number : 1-based.
    latitude_deg, longitude_deg, elevation_m : WGS84.
    live : whether it was in use on 2026-01-25.
    """

    number: int
    latitude_deg: float
    longitude_deg: float
    elevation_m: float
    live: bool


@lru_cache(maxsize=1)
def stations() -> tuple[Station, ...]:
    """Return all 117 station slots, sorted by number."""
    text = files("contimg.instrument.data").joinpath("stations.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        Station(
            int(row["station"]), float(row["latitude_deg"]), float(row["longitude_deg"]), float(row["elevation_m"]),
            row["live"] == "1",
        )
        for row in rows
    )  # fmt: skip


def is_own_dish(diameters_m: ArrayLike) -> NDArray[np.bool_]:
    """Whether diameters are those of this telescope's dishes, within SAME_DISH; False where one is not finite.

    Parameters
    ----------
    diameters_m : any shape.
    """
    return np.asarray(np.abs(np.asarray(diameters_m) / DISH_DIAMETER_M - 1) <= SAME_DISH)


def primary_beam(
    separation_rad: ArrayLike, freq_hz: ArrayLike, diameter_m: float = DISH_DIAMETER_M, mjd: float | None = None
) -> NDArray[np.float64]:
    """Return the power response of a dish: the Airy pattern, FWHM 1.02 lambda/D, 2.7 deg at 1.4 GHz for 4.65 m.

    The pattern of this telescope's dishes has the width that `contimg beam install` put in force.

    Parameters
    ----------
    separation_rad : angle from the pointing centre, radians; broadcasts against `freq_hz`.
    freq_hz : frequency, Hz.
    diameter_m : of the dish; NaN where it is not known makes the response NaN.
    mjd : time for which the measured width is looked up, UTC; the newest when not given.

    Returns
    -------
    response to power, 1 at the centre, the broadcast shape of the inputs.
    """
    from scipy.special import j1  # takes 0.2 s to import; most processes need only the band plan

    from contimg.instrument.beam_table import beam_width

    width = beam_width(mjd) if is_own_dish(diameter_m) else 1.0
    x = np.pi * diameter_m / width * np.sin(np.asarray(separation_rad)) * np.asarray(freq_hz) / C_M_S
    x = np.where(np.abs(x) < 1e-9, 1e-9, x)
    return np.asarray((2.0 * j1(x) / x) ** 2)
