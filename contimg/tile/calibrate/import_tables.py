"""Import caltables that exist as a caltable set: bandpass, gains and delays of any tool, their windows in any order."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from contimg import __version__
from contimg.errors import BadInput
from contimg.files.names import check_name
from contimg.files.staging import staged
from contimg.formats.caltables.caltable_set import DESCRIPTION_FILE, CaltableSet
from contimg.formats.caltables.solutions import read_kind, read_solutions
from contimg.formats.tables import open_table
from contimg.formats.uvh5.grouping import is_group_id
from contimg.quality.caltables import SolutionLimits
from contimg.tile.calibrate.assessment import grade_or_reject, measure_caltable_set
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.plots import write_plots


def import_set(
    paths: Sequence[Path], name: str, directory: Path, options: CalibrateOptions, limits: SolutionLimits, *,
    calibrator: str | None = None, dec_deg: float | None = None, replace_existing: bool = False,
) -> CaltableSet:  # fmt: skip
    """Copy caltables into `directory/<name>`, grade them, and describe them as a set.

    Parameters
    ----------
    paths : one caltable of type B and at most one each of types G and K; several solution times are interpolated.
    name : of the new set.
    directory : where the caltable sets are.
    options, limits : options of the calibrate stage, for the validity; limits of the solutions.
    calibrator, dec_deg : source and declination (ICRS) observed; from the first caltable's FIELD when not given.
    replace_existing : whether a set of that name is replaced; nothing but a caltable set is.

    Raises
    ------
    BadInput : the name cannot be used, or is in use; a caltable is unreadable or of another type, or the set is
        rejected, with its numbers.
    """
    target = _check_target(directory, name, replace_existing)
    by_kind: dict[str, Path] = {}
    for path in paths:
        kind = read_kind(path)
        if kind in by_kind:
            raise BadInput(f"{path}: a second table of type {kind}, after {by_kind[kind]}; give one of each type")
        by_kind[kind] = path
    if "bcal" not in by_kind:
        raise BadInput(f"{paths[0]}: no bandpass (type B Jones) among the tables; a set needs one")
    with open_table(paths[0] / "FIELD") as field:
        source = str(field.getcell("NAME", 0))
        source_dec_deg = float(np.rad2deg(np.ravel(field.getcell("PHASE_DIR", 0))[1]))
    with staged(target, replaces=replace_existing) as set_directory:
        set_directory.mkdir()
        for kind, path in sorted(by_kind.items()):
            shutil.copytree(path, set_directory / f"{name}.{kind}")
        caltable_set = _describe(set_directory, name, tuple(f"{name}.{kind}" for kind in sorted(by_kind)), options)
        caltable_set = replace(
            caltable_set, calibrator=calibrator or source, dec_deg=source_dec_deg if dec_deg is None else dec_deg
        )
        numbers = measure_caltable_set(caltable_set, caltable_set.antennas, limits)
        caltable_set = grade_or_reject(caltable_set, numbers, limits)
        _plot(caltable_set)
        caltable_set.write()
    return caltable_set.moved_to(target)


def _check_target(directory: Path, name: str, replace_existing: bool) -> Path:
    """Give the path of the new set; BadInput where it may not be written."""
    target = directory / check_name(name, "caltable set")
    if not os.path.lexists(target):
        if is_group_id(name) and not replace_existing:
            raise BadInput(f"caltable set {name}: the name is kept for the set solved on that tile; give --name")
    elif not replace_existing:
        raise BadInput(f"{target}: exists; give another --name, or --replace to replace it")
    elif not (target / DESCRIPTION_FILE).exists():
        raise BadInput(f"{target}: is no caltable set and is not replaced; give another --name")
    return target


def _describe(set_directory: Path, name: str, names: tuple[str, ...], options: CalibrateOptions) -> CaltableSet:
    caltables = [read_solutions(set_directory / name) for name in names]
    bandpass = caltables[0]
    if len({solutions.antenna_names for solutions in caltables}) > 1:
        raise BadInput(f"{set_directory}: its tables are of different antennas; import a set for each")
    if any(solutions.gains.shape[3] != 2 for solutions in caltables):
        raise BadInput(f"{set_directory}: solutions of {bandpass.gains.shape[3]} receptors; two are needed, X and Y")
    width_hz = float(np.median(np.diff(bandpass.freqs_hz))) if bandpass.freqs_hz.size > 1 else 0.0
    steps = np.diff(bandpass.freqs_hz) / width_hz if width_hz > 0 else np.zeros(1)
    if width_hz <= 0 or np.abs(steps - np.rint(steps)).max() > 0.01 or steps.min() < 0.5:
        raise BadInput(f"{set_directory / names[0]}: its windows do not make one band of evenly spaced channels")
    is_solved = np.all([solutions.solved.any(axis=(0, 2, 3)) for solutions in caltables], axis=0)
    with open_table(set_directory / names[0]) as main:
        references = main.getcol("ANTENNA2")
    times_mjd = np.concatenate([solutions.times_mjd_s.ravel() for solutions in caltables]) / 86400.0
    reference = int(np.bincount(references[references >= 0]).argmax()) if (references >= 0).any() else -1
    return CaltableSet(
        name=name, directory=set_directory, tables=names, calibrator="", model_jy=float("nan"),
        flux_scale="as imported", attenuation=float("nan"), mjd=float(np.median(bandpass.times_mjd_s)) / 86400.0,
        valid_from_mjd=float(times_mjd.min()) - options.hours_before / 24.0,
        valid_to_mjd=float(times_mjd.max()) + options.hours_after / 24.0,
        reference_antenna=bandpass.antenna_names[reference] if reference >= 0 else "",
        antennas=tuple(name for name, solved in zip(bandpass.antenna_names, is_solved, strict=True) if solved),
        first_freq_hz=float(bandpass.freqs_hz[0]), channel_width_hz=width_hz,
        channels=1 + round(float(bandpass.freqs_hz[-1] - bandpass.freqs_hz[0]) / width_hz),
        flagged_fraction=float(np.mean([1 - solutions.solved[:, is_solved].mean() for solutions in caltables])),
        quality={}, versions={"contimg": __version__}, dec_deg=0.0,
    )  # fmt: skip


def _plot(caltable_set: CaltableSet) -> None:
    bandpass = read_solutions(caltable_set.paths[0])
    slots = [bandpass.antenna_names.index(name) for name in caltable_set.antennas]
    gains = bandpass.interpolate(86400.0 * caltable_set.mjd, bandpass.freqs_hz)[slots]
    title = f"{caltable_set.name}, imported"
    write_plots(caltable_set.directory, title, caltable_set.antennas, gains, bandpass.freqs_hz)
