"""Solve a tile on its calibrator: the recipe, its checks, and the finished set under its name.

A first bandpass takes out the delays (up to 1.7 microseconds: without it an average over the band is noise), then
phases per minute on the long baselines, the bandpass proper with those phases applied, and gains of amplitude and
phase on top of it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg import __version__
from contimg.errors import BadInput
from contimg.files.filesystems import lock
from contimg.files.staging import disk_errors, rename_guard
from contimg.formats.caltables import tables
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.ms.info import MSInfo
from contimg.instrument.calibrators import Calibrator
from contimg.quality.caltables import SolutionLimits, grade_caltable_set
from contimg.quality.grades import REJECTED
from contimg.tile.calibrate.apply import inverse_gains
from contimg.tile.calibrate.assess.assess import assess
from contimg.tile.calibrate.assess.crossed_antennas import explain, faint, total_powers
from contimg.tile.calibrate.assess.phase_rates import turning
from contimg.tile.calibrate.assess.plots import write_plots
from contimg.tile.calibrate.calibrator_selection import CalibratorInBeam
from contimg.tile.calibrate.caltable_selection import pointing_dec_deg
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.solve import casa
from contimg.tile.calibrate.solve import flux_bootstrap as bootstrap
from contimg.tile.calibrate.solve import reference_antenna as choice
from contimg.tile.calibrate.solve.clearing import clear_antennas, clear_failed
from contimg.tile.calibrate.solve.gap_filling import fill_table
from contimg.tile.calibrate.solve.sky_model import sky_model
from contimg.tile.calibrate.solve.solving_set import write_solving_set

LONG_WAVELENGTHS = 1000.0


def solve(
    tile: MSInfo,
    found: Sequence[CalibratorInBeam],
    unflagged: NDArray[np.float64],
    directory: Path,
    options: CalibrateOptions,
    limits: SolutionLimits | None = None,
    previous: CaltableSet | None = None,
    reference: str | None = None,
) -> CaltableSet:
    """Solve and put the set at `directory/<tile name>`, in place of an earlier one of that name.

    Parameters
    ----------
    found : the catalogued sources in the beam; the first is the calibrator, all are in the model.
    unflagged : usable fraction of each antenna slot's data, shape (slots,).
    previous : an earlier set to compare with, and to take the flux scale from when the calibrator is variable.
    reference : name of the reference antenna; chosen by health when not given.

    Raises
    ------
    BadInput : CASA refused, made no table, or the set is rejected, with its numbers; `<tile name>.failed.log` beside
        the sets is then CASA's log.
    Transient : CASA died or took too long, or the disk is full.
    """
    directory = directory.absolute()  # CASA works in a directory of its own
    target, log = directory / tile.name, directory / f"{tile.name}.failed.log"
    with disk_errors(target), _scratch_directory(directory, tile.name) as room:
        made = room / "set"
        made.mkdir()
        work = room / "work"
        work.mkdir()
        visibilities = work / "solving.ms"
        model = sky_model(tile, [one.calibrator for one in found])
        write_solving_set(tile, model, options.presolve_s, visibilities)
        name = reference or tile.antenna_names[choice.reference_antenna(tile, unflagged)]
        long_only = choice.long_baselines_serve(tile, unflagged, LONG_WAVELENGTHS)
        steps = recipe(visibilities, made, tile.name, name, long_only, options)
        ran = casa.run(steps, work, log, options.casa_timeout_s, int(options.casa_memory_gb * 1e9))
        turned = _clean(made, tile, found[0].calibrator, options.fill_gaps)
        described = _describe(tile, found[0], made, name, unflagged, options, ran.version)
        described = _judged(described, tile, unflagged, visibilities, limits or SolutionLimits(), previous, turned)
        if found[0].calibrator.variable:
            described = _on_scale_of(previous, described, tile)
        described.write()
        _plot(described, tile)
        log.replace(made / "casa.log")
        with rename_guard():
            _replace(made, target)
        return described.moved_to(target)


def recipe(
    visibilities: Path, made: Path, name: str, reference: str, long_only: bool, options: CalibrateOptions
) -> list[casa.Task]:
    """The CASA tasks, in order; the tables are `<name>.start`, `.phase`, `.bcal` and `.gcal` in `made`."""
    start, phase, bandpass, gains = (str(made / f"{name}.{kind}") for kind in ("start", "phase", "bcal", "gcal"))
    common = {"vis": str(visibilities), "refant": reference, "solnorm": False}
    of_channels = {"bandtype": "B", "solint": "inf", "combine": "scan", "minsnr": options.bandpass_snr}
    uvrange = f">{LONG_WAVELENGTHS:g}lambda" if long_only else ""
    gain_snr = options.gain_snr
    return [
        casa.Task("bandpass", {**common, **of_channels, "caltable": start}),
        casa.Task(
            "gaincal",
            {**common, "caltable": phase, "solint": "int", "calmode": "p", "minsnr": gain_snr, "uvrange": uvrange,
             "gaintable": [start], "interp": ["linear,linearflag"]},
        ),
        casa.Task("bandpass", {**common, **of_channels, "caltable": bandpass, "gaintable": [phase]}),
        casa.Task(
            "gaincal",
            {**common, "caltable": gains, "solint": "inf", "combine": "scan", "calmode": "ap", "minsnr": gain_snr,
             "gaintable": [bandpass], "interp": ["linear,linearflag"]},
        ),
    ]  # fmt: skip


def _clean(made: Path, tile: MSInfo, calibrator: Calibrator, widest: int) -> dict[int, str]:
    """Fill narrow gaps of the bandpass and take out what only seems to be a solution.

    Returns the slots of antennas that stand elsewhere than they should, with what is said of each.
    """
    bandpass = tables.present(made / f"{tile.name}.bcal")
    fill_table(bandpass, widest)
    clear_failed(bandpass)
    turned = turning(tables.read(made / f"{tile.name}.phase"), tile, calibrator)
    clear_antennas(bandpass, [*turned, *faint(_solved(made, tile), total_powers(tile))])
    return turned


def _describe(
    tile: MSInfo, main: CalibratorInBeam, made: Path, reference: str, unflagged: NDArray[np.float64],
    options: CalibrateOptions, casa_version: str,
) -> CaltableSet:  # fmt: skip
    names = (f"{tile.name}.bcal", f"{tile.name}.gcal")
    bandpass, gains = (tables.read(made / name) for name in names)
    live = tile.antennas[unflagged[tile.antennas] > 0]
    solved = bandpass.solved[0] & gains.solved[0]
    mjd = tile.mid_mjd_s / 86400.0
    return CaltableSet(
        name=tile.name,
        directory=made,
        tables=names,
        calibrator=main.calibrator.label,
        model_jy=float(main.calibrator.flux_jy(tile.freqs_hz.mean())),
        flux_scale=main.calibrator.scale,
        attenuation=main.pb_response,
        mjd=mjd,
        valid_from_mjd=mjd - options.hours_before / 24.0,
        valid_to_mjd=mjd + options.hours_after / 24.0,
        reference_antenna=reference,
        antennas=tuple(tile.antenna_names[slot] for slot in live if solved[slot].any()),
        first_freq_hz=float(tile.freqs_hz[0]),
        channel_width_hz=tile.channel_width_hz,
        channels=len(tile.freqs_hz),
        flagged_fraction=1.0 - float(np.mean(solved[live])),
        quality={},
        versions={"contimg": __version__, "casa": casa_version},
        dec_deg=pointing_dec_deg(tile),
    )


def _judged(
    made: CaltableSet, tile: MSInfo, unflagged: NDArray[np.float64], solving_set: Path,
    limits: SolutionLimits, previous: CaltableSet | None, turned: dict[int, str],
) -> CaltableSet:  # fmt: skip
    """The set with its numbers and verdict; BadInput when it is rejected."""
    live = [tile.antenna_names[slot] for slot in tile.antennas if unflagged[slot] > 0]
    phases = made.directory / f"{tile.name}.phase"
    numbers = assess(
        made, live, limits, phases=phases, tile=tile, solving_set=solving_set, previous=previous
    )  # fmt: skip
    quality = grade_caltable_set(numbers, limits)
    if quality.grade == REJECTED:
        raise BadInput(f"{tile.path}: solutions on {made.calibrator} rejected: {'; '.join(quality.reasons)}")
    blind = [name for name in live if name not in made.antennas]
    said = {tile.antenna_names[slot]: reason for slot, reason in turned.items()}
    alone = [name for name in blind if name not in said]
    if alone:
        said |= explain(solving_set, tile.antenna_names, alone, _solved(made.directory, tile), total_powers(tile))
    found = {**numbers.as_dict(), "without_fringes": said}
    return replace(made, quality=found, grade=quality.grade, reasons=quality.reasons)


def _solved(made: Path, tile: MSInfo) -> NDArray[np.complex128]:
    """The whole gains, bandpass and gains multiplied, shape (slots, channels, receptors)."""
    bandpass, gains = (tables.read(made / f"{tile.name}.{kind}") for kind in ("bcal", "gcal"))
    return bandpass.steady() * gains.steady()


def _on_scale_of(previous: CaltableSet | None, made: CaltableSet, tile: MSInfo) -> CaltableSet:
    """The set of a variable calibrator with an earlier set's amplitudes: it is good for phases and shapes alone."""
    if previous is None:
        raise BadInput(
            f"{tile.path}: {made.calibrator} is variable and no earlier set fits whose flux scale it could take over"
        )
    ratio = bootstrap.flux_ratio(made, previous, tile)
    bootstrap.rescale(made.paths[-1], ratio)
    return replace(made, model_jy=made.model_jy * ratio, flux_scale=f"taken over from {previous.name}")


def _plot(made: CaltableSet, tile: MSInfo) -> None:
    inverse = inverse_gains(made, tile)[tile.antennas].astype(np.complex128)
    gains = np.divide(1.0, inverse, out=np.full_like(inverse, np.nan), where=np.isfinite(inverse))
    names = [tile.antenna_names[slot] for slot in tile.antennas]
    write_plots(made.directory, f"{made.name} on {made.calibrator}", names, gains, tile.freqs_hz)


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


def _replace(made: Path, target: Path) -> None:
    """Rename the finished set to its final name; an older one is removed with the scratch directory."""
    if target.exists():
        target.rename(made.parent / "older")
    made.rename(target)
