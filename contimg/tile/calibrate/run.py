"""The calibrate stage: flag, solve when a calibrator is in the beam, apply the set that holds for the tile."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from contimg.errors import BadInput
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.ms.info import MSInfo, read_ms_info
from contimg.formats.ms.revision import revised
from contimg.quality.caltables import SolutionLimits
from contimg.quality.grades import GOOD
from contimg.tile.calibrate.apply import CORRECTED, apply, corrected_bytes, leave_uncalibrated
from contimg.tile.calibrate.calibrator_selection import select_calibrators, with_companions
from contimg.tile.calibrate.caltable_selection import select_caltable_set
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.solve.solve import solve
from contimg.tile.flag.run import ORIGINAL, FlagResult, flag

CHANGED = ("FLAG", ORIGINAL)
FLAGS = "flags"  # where the tiles' flag summaries are, below the sets' directory


def calibrate(
    ms: Path,
    calibrations: Sequence[CaltableSet],
    directory: Path,
    options: CalibrateOptions,
    limits: SolutionLimits | None = None,
) -> CalibratedMS:
    """Flag and calibrate a Measurement Set, in a copy that takes its place when all is done.

    Parameters
    ----------
    calibrations : the known sets, to choose from when this tile gives none of its own.
    directory : where a new set goes, under the tile's name.
    limits : where a new set's solutions stop being good.

    Raises
    ------
    BadInput : not a Measurement Set, or nothing in it is alive.
    Transient : the CASA process died or took too long, or the disk has no room.
    """
    with revised(ms, CHANGED, drops=(CORRECTED,), grows_by=corrected_bytes(read_ms_info(ms))) as copy:
        return _calibrate(read_ms_info(copy), calibrations, directory, options, limits or SolutionLimits())


def _calibrate(
    tile: MSInfo, calibrations: Sequence[CaltableSet], directory: Path, options: CalibrateOptions,
    limits: SolutionLimits,
) -> CalibratedMS:  # fmt: skip
    """The same in place."""
    seconds: dict[str, float] = {}
    with _timed(seconds, "flag"):
        flagged = flag(tile, search=options.flag)
        flagged.summary.write(directory / FLAGS, tile, flagged.dead)
    with _timed(seconds, "solve"):
        new, story = _solve(tile, flagged, calibrations, directory, options, limits)
    chosen, why = _chosen(tile, new, calibrations, options)
    fraction = flagged.fraction
    with _timed(seconds, "apply"):
        if chosen is None:
            why = f"{story}; {why}"
            leave_uncalibrated(tile, why)
        else:
            fraction = apply(chosen, tile).flagged_fraction
            why = f"{why}; {story}" if story else why
    return CalibratedMS(
        calibration_set=chosen.name if chosen else None,
        calibration_note=why,
        new_set=new,
        flagged_fraction=fraction,
        dead_antennas=tuple(tile.antenna_names[slot] for slot in sorted(flagged.dead)),
        seconds=seconds,
    )


def _solve(
    tile: MSInfo, flagged: FlagResult, calibrations: Sequence[CaltableSet], directory: Path,
    options: CalibrateOptions, limits: SolutionLimits,
) -> tuple[CaltableSet | None, str]:  # fmt: skip
    """The tile's own set, or None and why; a solution that fails leaves the tile to the other sets."""
    if not options.solve:
        return None, "solving is switched off"
    found = select_calibrators(tile, options.min_attenuation, options.min_apparent_jy)
    if not found:
        return None, "no calibrator in the beam"
    earlier = [one for one in calibrations if one.name != tile.name]
    previous, _ = select_caltable_set(earlier, tile, options.strip_deg)
    sources = with_companions(tile, found[0])
    try:
        return solve(tile, sources, flagged.unflagged, directory, options, limits, previous), ""
    except BadInput as error:
        return None, f"solving on {found[0].calibrator.label} failed: {error}"


def _chosen(
    tile: MSInfo, new: CaltableSet | None, calibrations: Sequence[CaltableSet], options: CalibrateOptions
) -> tuple[CaltableSet | None, str]:
    """The tile's own set if it is good, else the best of all."""
    if new is not None and new.grade == GOOD:
        return new, f"solved on {new.calibrator} in this tile"
    others = [one for one in calibrations if one.name != tile.name]
    return select_caltable_set([*others, new] if new else others, tile, options.strip_deg)


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - begin
