"""Which tiles a run has, when each is taken, where the dishes point and what sky lies there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg.formats.uvh5.grouping import SubbandName, seconds_of, stamp_of
from contimg.instrument.dsa110 import BAND
from contimg.simulation import drift
from contimg.simulation.options import SimulateOptions
from contimg.simulation.sky import CALIBRATOR, Source, target_sky

UNIX_EPOCH_JD = 2440587.5
DAY_S = 86400.0
REACH_DEG = 5.0  # sources further from the pointing than this at mid-tile are left out


@dataclass(frozen=True)
class TilePlan:
    """One tile to be observed.

    Attributes
    ----------
    index : its place in the run, 0 is the calibrator's.
    group : its name, the start of its first integration in whole seconds (truncated), UTC.
    mid_jd : middle of the tile, UTC Julian date.
    times_jd : integration centres, shape (integrations,), UTC Julian dates.
    apparent_dec_rad : declination the dishes point at, of date.
    centre_ra_deg, centre_dec_deg : ICRS position on the meridian there at mid-tile.
    sources : the sky within reach.
    """

    index: int
    group: str
    mid_jd: float
    times_jd: NDArray[np.float64]
    apparent_dec_rad: float
    centre_ra_deg: float
    centre_dec_deg: float
    sources: tuple[Source, ...]

    def file_name(self, subband: int, late_s: int = 0) -> str:
        """The name that a machine whose clock is `late_s` late gives its finished file."""
        return str(SubbandName(seconds_of(self.group) + late_s, subband))


def plan_tiles(options: SimulateOptions) -> tuple[TilePlan, ...]:
    """The run's tiles: 3C48 transits in the middle of the first, the others follow at the cadence on the same sky."""
    transit_jd, dec_rad = drift.transit(CALIBRATOR.ra_deg, CALIBRATOR.dec_deg, options.date)
    dec_rad += np.deg2rad(options.declination_offset_deg)
    pointing = drift.meridian_direction(dec_rad)
    places = [0, *range(1 + options.gap, options.groups + options.gap)]
    mids_jd = [transit_jd + place * options.cadence_s / DAY_S for place in places]
    centres = [drift.icrs_of(pointing, mid_jd) for mid_jd in mids_jd]
    rng = np.random.default_rng([options.seed, 0])
    sky = (CALIBRATOR, *target_sky(centres[1:], options.sources, rng))
    return tuple(
        TilePlan(
            index=index,
            group=_group_name(mid_jd - 0.5 * options.integrations * options.integration_s / DAY_S),
            mid_jd=mid_jd,
            times_jd=_times_jd(mid_jd, options),
            apparent_dec_rad=dec_rad,
            centre_ra_deg=float(centre.ra.deg),
            centre_dec_deg=float(centre.dec.deg),
            sources=_within_reach(sky, pointing, mid_jd),
        )
        for index, (mid_jd, centre) in enumerate(zip(mids_jd, centres, strict=True))
    )


def _times_jd(mid_jd: float, options: SimulateOptions) -> NDArray[np.float64]:
    steps = np.arange(options.integrations) - 0.5 * (options.integrations - 1)
    return np.asarray(mid_jd + steps * options.integration_s / DAY_S)


def _group_name(start_jd: float) -> str:
    return stamp_of(float(np.floor((start_jd - UNIX_EPOCH_JD) * DAY_S)))


def _within_reach(sky: tuple[Source, ...], pointing: NDArray[np.float64], mid_jd: float) -> tuple[Source, ...]:
    directions = drift.source_directions([source.ra_deg for source in sky], [source.dec_deg for source in sky], mid_jd)[
        0
    ]
    near = directions @ pointing > np.cos(np.deg2rad(REACH_DEG))
    return tuple(source for source, is_near in zip(sky, near, strict=True) if is_near)


def subband_freqs_hz(options: SimulateOptions, subband: int) -> NDArray[np.float64]:
    """Channel centres of one file of this run, descending, Hz."""
    return BAND.channel_freqs_hz(subband, options.channels_per_subband)
