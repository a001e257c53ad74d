"""Bring existing CASA tables into a set: a bandpass and gains of any tool, their windows in any order."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from casacore.tables import table

from contimg import __version__
from contimg.calibration import quality, tables
from contimg.calibration.assessing import assess
from contimg.calibration.options import CalibrateOptions, SolutionLimits
from contimg.calibration.plots import write_plots
from contimg.calibration.sets import CalibrationSet
from contimg.errors import BadInput
from contimg.staging import staged

KINDS = {"B Jones": "bcal", "G Jones": "gcal"}


def import_set(
    given: Sequence[Path],
    name: str,
    directory: Path,
    options: CalibrateOptions,
    limits: SolutionLimits,
    *,
    calibrator: str | None = None,
    dec_deg: float | None = None,
) -> CalibrationSet:
    """Copy tables into `directory/<name>`, judge them, and describe them as a set.

    Parameters
    ----------
    given : one table of type B and at most one of type G, each with one solution in time.
    calibrator, dec_deg : what was observed and where the telescope pointed; from the tables' FIELD when not given.

    Raises
    ------
    BadInput : a table is unreadable, of another type or has several solution times, or the set is rejected, with its
        numbers.
    """
    by_kind: dict[str, Path] = {}
    for path in given:
        kind = kind_of(path)
        if kind in by_kind:
            raise BadInput(f"{path}: a second table of type {kind}; {by_kind[kind]} is one already")
        by_kind[kind] = path
    if "bcal" not in by_kind:
        raise BadInput(f"{given[0]}: no bandpass (type B Jones) among the tables; a set needs one")
    with staged(directory / name) as made:
        made.mkdir()
        for kind, path in sorted(by_kind.items()):
            shutil.copytree(path, made / f"{name}.{kind}")
        described = _describe(made, name, tuple(f"{name}.{kind}" for kind in sorted(by_kind)), options)
        field, declination = _field(given[0])
        described = replace(
            described, calibrator=calibrator or field, dec_deg=declination if dec_deg is None else dec_deg
        )
        described = _judged(described, limits)
        described.write()
    return described.at(directory / name)


def kind_of(path: Path) -> str:
    """`bcal` or `gcal` by the table's own word; BadInput for anything else."""
    tables.present(path)
    with table(str(path), ack=False) as main:
        found = str(main.info().get("subType", "")).strip()
    if found not in KINDS:
        raise BadInput(f"{path}: a table of type {found or 'unknown'}; types {' and '.join(KINDS)} can be imported")
    return KINDS[found]


def _describe(made: Path, name: str, names: tuple[str, ...], options: CalibrateOptions) -> CalibrationSet:
    found = [tables.read(made / one) for one in names]
    gains = [one.steady() for one in found]
    if any(one.shape[2] != 2 for one in gains):
        raise BadInput(f"{made}: solutions of {gains[0].shape[2]} receptors; two are needed, X and Y")
    bandpass = found[0]
    width_hz = float(np.median(np.diff(bandpass.freqs_hz))) if bandpass.freqs_hz.size > 1 else 0.0
    steps = np.diff(bandpass.freqs_hz) / width_hz if width_hz > 0 else np.zeros(1)
    if width_hz <= 0 or np.abs(steps - np.rint(steps)).max() > 0.01 or steps.min() < 0.5:
        raise BadInput(f"{made / names[0]}: its windows do not make one band of evenly spaced channels")
    solved = np.all([np.isfinite(one).any(axis=(1, 2)) for one in gains], axis=0)
    with table(str(made / names[0]), ack=False) as main:
        mjd = float(np.median(main.getcol("TIME"))) / 86400.0
        references = main.getcol("ANTENNA2")
    reference = int(np.bincount(references[references >= 0]).argmax()) if (references >= 0).any() else -1
    return CalibrationSet(
        name=name,
        directory=made,
        tables=names,
        calibrator="",
        model_jy=float("nan"),
        flux_scale="as imported",
        attenuation=float("nan"),
        mjd=mjd,
        valid_from_mjd=mjd - options.hours_before / 24.0,
        valid_to_mjd=mjd + options.hours_after / 24.0,
        reference_antenna=bandpass.antenna_names[reference] if reference >= 0 else "",
        antennas=tuple(name for name, alive in zip(bandpass.antenna_names, solved, strict=True) if alive),
        first_freq_hz=float(bandpass.freqs_hz[0]),
        channel_width_hz=width_hz,
        channels=1 + round(float(bandpass.freqs_hz[-1] - bandpass.freqs_hz[0]) / width_hz),
        flagged_fraction=float(np.mean([1 - np.isfinite(one[solved]).mean() for one in gains])),
        quality={},
        versions={"contimg": __version__},
        dec_deg=0.0,
    )


def _judged(made: CalibrationSet, limits: SolutionLimits) -> CalibrationSet:
    numbers = assess(made, made.antennas, limits)
    verdict = quality.judge(numbers, limits)
    if verdict.grade == quality.REJECTED:
        raise BadInput(f"calibration set {made.name}: rejected: {'; '.join(verdict.reasons)}")
    bandpass = tables.read(made.paths[0])
    slots = [bandpass.antenna_names.index(name) for name in made.antennas]
    write_plots(made.directory, f"{made.name}, imported", made.antennas, bandpass.steady()[slots], bandpass.freqs_hz)
    return replace(made, quality=numbers.as_dict(), grade=verdict.grade, reasons=verdict.reasons)


def _field(path: Path) -> tuple[str, float]:
    """Name and declination (degrees) of the table's first field."""
    with table(f"{path}::FIELD", ack=False) as field:
        return str(field.getcell("NAME", 0)), float(np.rad2deg(np.ravel(field.getcell("PHASE_DIR", 0))[1]))
