"""The calibrate stage: flag, solve when a calibrator is in the beam, apply the caltable set that is valid."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.ms.flags import FLAG_COLUMNS, record_flags
from contimg.formats.ms.info import MSInfo, read_ms_info
from contimg.formats.ms.revision import revised
from contimg.instrument import calibrators as listed
from contimg.quality.caltables import SolutionLimits
from contimg.quality.grades import GOOD
from contimg.sky.catalogue import open_catalogue
from contimg.tile.calibrate.antenna_numbers import describe_set_antennas, describe_tile_antennas
from contimg.tile.calibrate.apply import (
    apply_caltable_set,
    compute_inverse_gains_in_time,
    corrected_bytes,
    interpolate_gains,
    mark_uncalibrated,
    remove_corrected,
)
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.selection import (
    compare_with_catalogue,
    compute_min_calibrator_jy,
    describe_calibration,
    merge_sources,
    read_neighbours,
    select_calibrators,
    select_caltable_set,
    select_second_set,
    with_companions,
    without_counterpart,
)
from contimg.tile.calibrate.sky_gains.run import solve_sky_gains
from contimg.tile.calibrate.solve.run import solve
from contimg.tile.flag.run import FlagResult, flag
from contimg.tile.products import FLAGS, CalibratedMS, StepTimer


def calibrate(
    ms_path: Path, caltable_sets: Sequence[CaltableSet], directory: Path, options: CalibrateOptions,
    limits: SolutionLimits | None = None,
) -> CalibratedMS:  # fmt: skip
    """Flag and calibrate a Measurement Set, in a copy that replaces it in the end.

    Parameters
    ----------
    ms_path : the Measurement Set.
    caltable_sets : the known sets, to select from when this tile gives none of its own.
    directory : where a new set is written, under the tile's name.
    options : options of the stage.
    limits : limits of a new set's solutions.

    Raises
    ------
    BadInput : not a Measurement Set that can be calibrated (see `read_ms_info`), or no antenna in it is alive.
    Transient : the CASA process died or took too long, or the disk is full.
    """
    with revised(ms_path, FLAG_COLUMNS, grows_by=corrected_bytes(read_ms_info(ms_path))) as copy:
        return _calibrate(read_ms_info(copy), caltable_sets, directory, options, limits or SolutionLimits())


def _calibrate(
    ms: MSInfo, caltable_sets: Sequence[CaltableSet], directory: Path, options: CalibrateOptions,
    limits: SolutionLimits,
) -> CalibratedMS:  # fmt: skip
    """Calibrate in place."""
    timer = StepTimer()
    with timer("flag"):
        flagged = flag(ms, search=options.flag)
        flagged.summary.write(directory / FLAGS, ms, flagged.dead)
    ms = remove_corrected(ms)
    live = replace(ms, antennas=np.array([slot for slot in ms.antennas if slot not in flagged.dead]))
    earlier_sets = [caltable_set for caltable_set in caltable_sets if caltable_set.name != ms.name]
    with timer("solve"):
        new, solve_reason, has_failed = _solve(ms, flagged, earlier_sets, directory, options, limits)
    if new is not None and new.grade == GOOD:
        selected: CaltableSet | None = new
        reason = f"solved on {new.calibrator} in this tile"
    else:
        usable = [*earlier_sets, new] if new else earlier_sets
        selected, reason = select_caltable_set(usable, live, options.strip_deg, options.borrow_days)
    if new is not None and selected is not new:
        solve_reason = f"the set solved on {new.calibrator} in this tile is {new.grade}: {'; '.join(new.reasons)}"
    by_hand = flagged.summary.by_hand
    hand_reason = f"{by_hand:.1%} of the samples are flagged by hand" if by_hand else ""
    fraction = flagged.fraction
    sky = None
    with timer("sky gains"):
        second, factors, second_reason = _interpolate(earlier_sets, selected, live, options.strip_deg)
        numbers = describe_calibration(selected, second, ms, options.gains_hours)
        if selected is not None and selected is not new and options.sky_gains:
            inverse = compute_inverse_gains_in_time(selected, live, factors)
            sky = solve_sky_gains(live, inverse, options.catalogue, options.sky_gains_min_jy, selected)
            numbers = sky.update(numbers)
        elif selected is not None and selected is new:  # the phases by the minute are not applied
            numbers = replace(numbers, phase_residual_deg=new.quality.get("phase_scatter_deg"))
    with timer("apply"):
        if selected is None:
            reason = _join(solve_reason, reason, hand_reason)
            mark_uncalibrated(ms, reason)
        else:
            reason = _join(reason, second_reason, sky.reason if sky else "", hand_reason, solve_reason)
            record = sky.record() if sky else None
            fraction = apply_caltable_set(selected, ms, numbers, second, factors, record)
        record_flags(ms)
    dead = {ms.antenna_names[slot]: reason for slot, reason in sorted(flagged.dead.items())}
    bad = _name_bad_antennas(live, dead, selected or new)
    return CalibratedMS(
        calibration_set=selected.name if selected else None, calibration_note=reason, new_set=new,
        flagged_fraction=fraction, dead_antennas=tuple(dead),
        bad_antennas=bad, seconds=timer.seconds,
        solve_failure=solve_reason if has_failed else "",
        antenna_numbers=describe_tile_antennas(ms, flagged, bad, selected or new, sky.gains if sky else None),
        set_antenna_numbers=describe_set_antennas(new, live) if new else (),
        interference=flagged.summary.interference(ms.freqs_hz), **vars(numbers),
    )  # fmt: skip


def _interpolate(
    earlier_sets: Sequence[CaltableSet], selected: CaltableSet | None, live: MSInfo, strip_deg: float
) -> tuple[CaltableSet | None, NDArray[np.complex128] | None, str]:  # fmt: skip
    """Give the set that the gains are interpolated with, the factors of the gains, and a note for the operator."""
    second = select_second_set(earlier_sets, selected, live, strip_deg) if selected else None
    if selected is None or second is None:
        return None, None, ""
    factors, problem = interpolate_gains(selected, second, live)
    if factors is None:
        return None, None, f"its gains are not interpolated with {second.name}: {problem}"
    return second, factors, f"gains interpolated with {second.name}"


def _join(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)


def _name_bad_antennas(live: MSInfo, dead: dict[str, str], caltable_set: CaltableSet | None) -> dict[str, str]:
    """Name the dead antennas, and the live ones that the set applied, or solved on this tile, has no solution for."""
    if caltable_set is None:
        return dead
    causes: dict[str, str] = caltable_set.quality.get("without_fringes", {})
    names = [live.antenna_names[slot] for slot in live.antennas]
    unsolved = [name for name in names if name not in caltable_set.antennas]
    default = f"no solution in caltable set {caltable_set.name}"
    return dead | {name: causes.get(name, default) for name in unsolved}


def _solve(
    ms: MSInfo, flagged: FlagResult, earlier_sets: Sequence[CaltableSet], directory: Path, options: CalibrateOptions,
    limits: SolutionLimits,
) -> tuple[CaltableSet | None, str, bool]:  # fmt: skip
    """Give the tile's own set, or None, the reason, and whether a solve failed: the tile is left to the other sets."""
    if not options.solve:
        return None, "solving is switched off", False
    live_count = int(np.count_nonzero(flagged.unflagged[ms.antennas] > 0))
    pointing_rad = ms.pointing_rad[len(ms.times_mjd_s) // 2]
    neighbours = read_neighbours(Path(options.catalogue), *pointing_rad) if options.catalogue else []
    of_snr_jy = compute_min_calibrator_jy(ms, live_count, options.min_channel_snr)
    min_jy = options.min_calibrator_jy(of_snr_jy, has_neighbours=bool(neighbours))
    calibrators = [
        candidate
        for candidate in select_calibrators(ms, options.min_attenuation, min_jy)
        if not without_counterpart(candidate.calibrator, neighbours)
    ]
    if not calibrators:
        unknown = (
            ": the diameter of the dishes in ANTENNA differs or is not given" if np.isnan(ms.dish_diameter_m) else ""
        )
        return None, f"no calibrator of {min_jy:.2g} Jy in the beam{unknown}", False
    previous, _ = select_caltable_set(earlier_sets, ms, options.strip_deg)
    main, *companions = with_companions(ms, calibrators[0], merge_sources(listed.catalogue(), neighbours, ms))
    if neighbours:
        main = compare_with_catalogue(main, neighbours, ms, open_catalogue(options.catalogue).label)
    try:
        return solve(ms, [main, *companions], flagged.unflagged, directory, options, limits, previous), "", False
    except BadInput as error:
        return None, f"solving on {calibrators[0].calibrator.label} failed: {error}", True
