"""The tiles of a run: times, pointing and sources."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from contimg.common.errors import Misconfigured
from contimg.formats.uvh5.grouping import seconds_of, stamp_of, subband_file_name
from contimg.instrument.time import DAY_S, MJD_ZERO_JD, jd_to_unix
from contimg.simulation import drift
from contimg.simulation.options import SimulateOptions
from contimg.simulation.sky import CALIBRATOR, Source, counts_sky, strong_source, target_sky
from contimg.simulation.variables import VariableSources, read_variables

REACH_DEG = 5.0  # sources farther from the pointing at mid-tile are left out


@dataclass(frozen=True)
class TilePlan:
    """A tile to observe.

    Attributes
    ----------
    index : its number in the run, 0 is the first.
    group : id of the group, the start of its first integration in whole seconds (truncated), UTC.
    mid_jd : middle of the tile, UTC Julian date.
    times_jd : integration centres, shape (integrations,), UTC Julian dates.
    apparent_dec_rad : declination the dishes point at, of date.
    centre_ra_deg, centre_dec_deg : ICRS position on the meridian there at mid-tile.
    sources : those within 5 degrees of the pointing at mid-tile, those of the counts within the options' radius.
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
        """Return the name of a subband file, from a machine whose clock is `late_s` late.

        Parameters
        ----------
        subband : its number.
        late_s : whole seconds.
        """
        return subband_file_name(seconds_of(self.group) + late_s, subband)


def plan_tiles(options: SimulateOptions) -> tuple[TilePlan, ...]:
    """Return the run's tiles at the cadence: 3C48 transits in the middle of the first, or of the middle one.

    Parameters
    ----------
    options : of the run.

    Raises
    ------
    Misconfigured : the table of variables is not usable, or names a source that no tile has.
    """
    transit_jd, dec_rad = drift.transit(CALIBRATOR.ra_deg, CALIBRATOR.dec_deg, options.date)
    dec_rad += np.deg2rad(options.declination_offset_deg)
    pointing = drift.meridian_direction(dec_rad)
    steps = [0, *range(1 + options.gap, options.tiles + options.gap)]
    if not options.calibrator_first:
        steps = [step - options.tiles // 2 for step in range(options.tiles)]
    mids_jd = [transit_jd + step * options.cadence_s / DAY_S for step in steps]
    centres = [drift.icrs_of(pointing, mid_jd) for mid_jd in mids_jd]
    rng = np.random.default_rng([options.seed, 0])
    targets = [centre for step, centre in zip(steps, centres, strict=True) if step != 0]
    sky = (CALIBRATOR, *target_sky(targets, options.sources, rng))
    if options.strong_jy > 0:
        sky = (*sky, strong_source((targets or centres)[0], options.strong_jy, options.strong_radius_deg))
    variables = read_variables(Path(options.variable_sources)) if options.variable_sources else VariableSources({}, ())
    sky = (*sky, *variables.added)
    plans = tuple(
        TilePlan(
            index=index,
            group=_group_name(mid_jd - 0.5 * options.integrations * options.integration_s / DAY_S),
            mid_jd=mid_jd,
            times_jd=_times_jd(mid_jd, options),
            apparent_dec_rad=dec_rad,
            centre_ra_deg=float(centre.ra.deg),
            centre_dec_deg=float(centre.dec.deg),
            sources=variables.at(
                _within_reach(sky, pointing, mid_jd) + _counts(options, centre, sky), mid_jd - MJD_ZERO_JD
            ),
        )
        for index, (mid_jd, centre) in enumerate(zip(mids_jd, centres, strict=True))
    )
    names = {source.name for plan in plans for source in plan.sources} | {source.name for source in variables.added}
    if unknown := sorted(set(variables.curves) - names):
        raise Misconfigured(
            f"--variable-sources={options.variable_sources}: no tile of the run has {', '.join(unknown[:5])}; "
            "leave it out, or give its ra_deg, dec_deg and flux_jy"
        )
    return plans


def _counts(options: SimulateOptions, centre: SkyCoord, named: tuple[Source, ...]) -> tuple[Source, ...]:
    if options.sky != "counts":
        return ()
    return counts_sky(options.seed, options.faintest_mjy, centre, options.radius_deg, named)


def _times_jd(mid_jd: float, options: SimulateOptions) -> NDArray[np.float64]:
    steps = np.arange(options.integrations) - 0.5 * (options.integrations - 1)
    return np.asarray(mid_jd + steps * options.integration_s / DAY_S)


def _group_name(start_jd: float) -> str:
    return stamp_of(float(np.floor(jd_to_unix(start_jd))))


def _within_reach(sky: tuple[Source, ...], pointing: NDArray[np.float64], mid_jd: float) -> tuple[Source, ...]:
    ra_deg, dec_deg = zip(*((source.ra_deg, source.dec_deg) for source in sky), strict=True)
    near = drift.source_directions(ra_deg, dec_deg, mid_jd)[0] @ pointing > np.cos(np.deg2rad(REACH_DEG))
    return tuple(source for source, is_near in zip(sky, near, strict=True) if is_near)
