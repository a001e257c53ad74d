"""Solve a tile on its calibrator: the caltables by StEFCal or CASA, their checks, and the caltable set in place."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadInput, Misconfigured
from contimg.common.files.locks import lock
from contimg.common.files.names import check_name
from contimg.common.files.staging import disk_errors, rename_guard
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.caltables.solutions import read_kind, read_solutions
from contimg.formats.ms.info import MSInfo
from contimg.instrument.calibrators import Calibrator
from contimg.quality.caltables import SolutionLimits
from contimg.tile.calibrate import antenna_faults
from contimg.tile.calibrate.apply import compute_inverse_gains
from contimg.tile.calibrate.assessment import describe, grade_or_reject, measure_caltable_set, read_gains
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.plots import write_plots
from contimg.tile.calibrate.selection import CalibratorInBeam, pointing_dec_deg
from contimg.tile.calibrate.solve import casa
from contimg.tile.calibrate.solve.caltable_solving import solve_caltables
from contimg.tile.calibrate.solve.edits import (
    fill_gaps,
    flag_antennas,
    flag_failed_receptors,
    rescale_amplitudes,
    write_data_fractions,
)
from contimg.tile.calibrate.solve.reference_antenna import has_enough_long_baselines, rank_reference_antennas
from contimg.tile.calibrate.solve.sky_model import make_sky_model
from contimg.tile.calibrate.solve.solving_data import SolvingData, read_solving_data
from contimg.tile.calibrate.solve.solving_set import write_solving_set

LONG_WAVELENGTHS = 1000.0
CASA = "casa"  # as the option `solver` has it
MAX_REFERENCES = 3  # reference antennas that are tried


def solve(
    ms: MSInfo, sources: Sequence[CalibratorInBeam], unflagged: NDArray[np.float64], directory: Path,
    options: CalibrateOptions, limits: SolutionLimits | None = None, previous: CaltableSet | None = None,
    reference: str | None = None,
) -> CaltableSet:  # fmt: skip
    """Solve and put the set at `directory/<tile>`, in place of an earlier one of that name.

    Parameters
    ----------
    ms : metadata of the tile's Measurement Set.
    sources : the catalogued sources in the beam; the first is the calibrator, all are in the model.
    unflagged : usable fraction of each antenna slot's data, shape (slots,).
    directory : where the caltable sets are.
    options, limits : options of the stage, and limits of the solutions.
    previous : an earlier set to compare with, and to take the flux scale from when the calibrator is variable.
    reference : name of the reference antenna; when not given, the best one that shows fringes of the calibrator.

    Raises
    ------
    BadInput : CASA failed or wrote no caltable, no reference antenna has a solution, or the set is rejected, with its
        numbers; the log of CASA, if it solves, is then at `directory/<tile>.failed.log`.
    Misconfigured : CASA is to solve gains for parts of the band.
    Transient : CASA died or took too long, or the disk is full.
    """
    limits = limits or SolutionLimits()
    if options.solver == CASA and options.gain_parts > 1:
        raise Misconfigured(
            f"CONTIMG_CALIBRATE_GAIN_PARTS={options.gain_parts}: CASA solves one gain for the band; set it to 1, or "
            "CONTIMG_SOLVER to stefcal"
        )
    directory = directory.absolute()  # CASA has a working directory of its own
    target, log = directory / check_name(ms.name, f"{ms.path}: name"), directory / f"{ms.name}.failed.log"
    with disk_errors(target), _scratch_directory(directory, ms.name) as scratch:
        set_directory, work = scratch / "set", scratch / "work"
        work.mkdir()
        model = make_sky_model(ms, [source.calibrator for source in sources])
        data = read_solving_data(ms, model, options.presolve_s, unflagged)
        solving_set = work / "solving.ms"
        if options.solver == CASA:
            write_solving_set(ms, data, solving_set)
        long_only = has_enough_long_baselines(ms, unflagged, LONG_WAVELENGTHS)
        for name in _list_references(ms, unflagged, data, reference):
            shutil.rmtree(set_directory, ignore_errors=True)
            set_directory.mkdir()
            versions, chi2 = {}, {}
            if options.solver == CASA:
                tasks = list_tasks(solving_set, set_directory, ms.name, name, long_only, options)
                memory_bytes = int(options.casa_memory_gb * 1e9)
                versions = {"casa": casa.run(tasks, work, log, options.casa_timeout_s, memory_bytes)}
            else:
                min_wavelengths = LONG_WAVELENGTHS if long_only else 0.0
                chi2 = solve_caltables(ms, data, set_directory, _find_slot(ms, name), min_wavelengths, options)
            for kind in ("bcal", "gcal"):
                read_kind(set_directory / f"{ms.name}.{kind}")  # raises where CASA wrote none
                write_data_fractions(set_directory / f"{ms.name}.{kind}", data.data_fractions, limits.min_data_fraction)
            turning = _edit(set_directory, ms, data, sources[0].calibrator, options.fill_gaps)
            caltable_set = _describe(ms, sources[0], set_directory, name, unflagged, options, versions)
            if name in caltable_set.antennas:
                break
        else:
            raise BadInput(f"{ms.path}: none of the {MAX_REFERENCES} best reference antennas has a solution")
        caltable_set = _grade(caltable_set, ms, unflagged, data, limits, previous, turning, chi2)
        if sources[0].catalogue_flux_ratio is not None:
            caltable_set = caltable_set.with_catalogue(sources[0].catalogue, sources[0].catalogue_flux_ratio)
        if sources[0].calibrator.variable:
            caltable_set = _take_flux_scale(previous, caltable_set, ms)
        caltable_set.write()
        write_plots(caltable_set, [ms.antenna_names[slot] for slot in ms.antennas])
        if options.solver == CASA:
            log.replace(set_directory / "casa.log")
        with rename_guard():
            if target.exists():
                target.rename(scratch / "older")  # removed with the scratch directory
            set_directory.rename(target)
        return caltable_set.moved_to(target)


def _list_references(
    ms: MSInfo, unflagged: NDArray[np.float64], data: SolvingData, reference: str | None
) -> Iterator[str]:  # fmt: skip
    """Give names of reference antennas to try: the one given, or the best ones with fringes, else the best one."""
    if reference is not None:
        yield reference
        return
    ranked = rank_reference_antennas(ms, unflagged)
    fringing = (slot for slot in ranked if antenna_faults.has_fringes(data, slot))
    slots = list(islice(fringing, 1)) or ranked[:1]
    yield ms.antenna_names[slots[0]]
    for slot in islice(fringing, MAX_REFERENCES - 1):
        yield ms.antenna_names[slot]


def _find_slot(ms: MSInfo, name: str) -> int:
    if name not in ms.antenna_names:
        raise BadInput(f"{ms.path}: has no antenna {name} for the reference; give the name of one in its ANTENNA table")
    return ms.antenna_names.index(name)


def list_tasks(
    solving_set: Path, directory: Path, name: str, reference: str, long_only: bool, options: CalibrateOptions
) -> list[casa.Task]:
    """List the CASA tasks, in order; the caltables are `<name>.start`, `.phase`, `.bcal` and `.gcal` in `directory`.

    Parameters
    ----------
    solving_set : path of the Measurement Set to solve on.
    directory : where CASA writes the caltables.
    name : of the tile.
    reference : name of the reference antenna.
    long_only : whether the phases by the minute are solved on baselines longer than `LONG_WAVELENGTHS` alone.
    options : of them, the minimum signal to noise of solutions, `bandpass_snr` and `gain_snr`, and what the gains are
        solved for, `gain_mode` and `gain_interval_s`, are used.
    """
    start, phase, bandpass, gains = (str(directory / f"{name}.{kind}") for kind in ("start", "phase", "bcal", "gcal"))
    common = {"vis": str(solving_set), "refant": reference, "solnorm": False}
    of_channels = {
        **common, "bandtype": "B", "solint": "inf", "combine": "scan", "minsnr": options.bandpass_snr,
    }  # fmt: skip
    of_gains = {**common, "minsnr": options.gain_snr, "interp": ["linear,linearflag"]}
    phases = {
        **of_gains, "solint": "int", "calmode": "p", "uvrange": f">{LONG_WAVELENGTHS:g}lambda" if long_only else "",
    }  # fmt: skip
    interval = f"{options.gain_interval_s:g}s" if options.gain_interval_s else "inf"
    mode = "p" if options.gain_mode == "phase" else "ap"
    amplitudes = {**of_gains, "solint": interval, "combine": "scan", "calmode": mode}
    return [
        casa.Task("bandpass", {**of_channels, "caltable": start}),
        casa.Task("gaincal", {**phases, "caltable": phase, "gaintable": [start]}),
        casa.Task("bandpass", {**of_channels, "caltable": bandpass, "gaintable": [phase]}),
        casa.Task("gaincal", {**amplitudes, "caltable": gains, "gaintable": [bandpass]}),
    ]


def _edit(
    set_directory: Path, ms: MSInfo, data: SolvingData, calibrator: Calibrator, max_channels: int
) -> dict[int, str]:  # fmt: skip
    """Fill narrow gaps of the bandpass and flag unreliable solutions.

    Returns the slots of antennas whose phases turn, and the reason of each.
    """
    bandpass = set_directory / f"{ms.name}.bcal"
    fill_gaps(bandpass, max_channels)
    flag_failed_receptors(bandpass)
    turning = antenna_faults.find_turning_antennas(read_solutions(set_directory / f"{ms.name}.phase"), ms, calibrator)
    gains = np.asarray(read_solutions(bandpass).gains[0] * read_solutions(set_directory / f"{ms.name}.gcal").gains[0])
    faint = antenna_faults.find_faint_antennas(gains, data.total_powers)
    flag_antennas(bandpass, [*turning, *faint])
    return turning


def _describe(
    ms: MSInfo, source: CalibratorInBeam, set_directory: Path, reference: str, unflagged: NDArray[np.float64],
    options: CalibrateOptions, versions: dict[str, str],
) -> CaltableSet:  # fmt: skip
    live = [ms.antenna_names[slot] for slot in ms.antennas if unflagged[slot] > 0]
    described = describe(ms.name, set_directory, (f"{ms.name}.bcal", f"{ms.name}.gcal"), options, live)
    return replace(
        described, calibrator=source.calibrator.label, model_jy=float(source.calibrator.flux_jy(ms.freqs_hz.mean())),
        flux_scale=source.calibrator.scale, attenuation=source.pb_response, reference_antenna=reference,
        versions={**described.versions, **versions}, dec_deg=pointing_dec_deg(ms),
    )  # fmt: skip


def _grade(
    caltable_set: CaltableSet, ms: MSInfo, unflagged: NDArray[np.float64], data: SolvingData,
    limits: SolutionLimits, previous: CaltableSet | None, turning: dict[int, str], chi2: dict[str, float],
) -> CaltableSet:  # fmt: skip
    """Give the set with its numbers, its grade, and why antennas have no fringes; BadInput when it is rejected."""
    live = [ms.antenna_names[slot] for slot in ms.antennas if unflagged[slot] > 0]
    numbers = measure_caltable_set(
        caltable_set, live, limits, phases=caltable_set.directory / f"{ms.name}.phase", ms=ms,
        solving_data=data, previous=previous, chi2=chi2,
    )  # fmt: skip
    graded = grade_or_reject(caltable_set, numbers, limits)
    reasons = {ms.antenna_names[slot]: reason for slot, reason in turning.items()}
    blind = [name for name in live if name not in caltable_set.antennas and name not in reasons]
    if blind:
        _, gains = read_gains(caltable_set, ms.antenna_names)
        reasons |= antenna_faults.explain_missing_fringes(data, ms.antenna_names, blind, gains)
    return replace(graded, quality={**graded.quality, "without_fringes": reasons})


def _take_flux_scale(previous: CaltableSet | None, caltable_set: CaltableSet, ms: MSInfo) -> CaltableSet:
    """Scale the set of a variable calibrator to an earlier set's amplitudes, as CASA's `fluxscale` does.

    The antennas' amplitudes hardly change from night to night, a blazar's flux does: the new amplitudes over the
    earlier ones, squared, are the true flux over the catalogued.
    """
    if previous is None:
        raise BadInput(
            f"{ms.path}: {caltable_set.calibrator} is variable and no earlier caltable set fits to take the flux "
            "scale from"
        )
    with np.errstate(all="ignore"):
        ratio = np.abs(compute_inverse_gains(previous, ms)) / np.abs(compute_inverse_gains(caltable_set, ms))
    shared = ratio[np.isfinite(ratio)]
    if not shared.size:
        raise BadInput(
            f"{caltable_set.directory}: no antenna and channel in common with {previous.name}, which has the flux scale"
        )
    flux_ratio = float(np.median(shared)) ** 2
    rescale_amplitudes(caltable_set.paths[-1], flux_ratio)
    scale = f"taken over from {previous.name}"
    return replace(caltable_set, model_jy=caltable_set.model_jy * flux_ratio, flux_scale=scale)


@contextmanager
def _scratch_directory(directory: Path, name: str) -> Iterator[Path]:
    """Make a scratch directory, locked while this process uses it and removed at the end.

    Those of the same tile that no process has locked are left from killed solves, and are removed first. Where the
    file system has no locks, none is: the reconciler removes them by their age.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for scratch in directory.glob(f".{name}.*.part"):
        with suppress(OSError):
            descriptor = lock(scratch)
            shutil.rmtree(scratch, ignore_errors=True)
            os.close(descriptor)
    # Locked under a name that no other solve looks for, so that none finds it unlocked.
    unlocked = Path(tempfile.mkdtemp(prefix=f".new.{name}.", suffix=".part", dir=directory))
    with ExitStack() as stack:
        with suppress(OSError):
            stack.callback(os.close, lock(unlocked))
        scratch = unlocked.rename(directory / unlocked.name.removeprefix(".new"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        yield scratch
