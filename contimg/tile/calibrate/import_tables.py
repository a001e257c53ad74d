"""Bring existing CASA tables into a set: a bandpass, gains and delays of any tool, their windows in any order."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from casacore.tables import table

from contimg import __version__
from contimg.errors import BadInput
from contimg.files.staging import staged
from contimg.formats.caltables import tables
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.quality.caltables import SolutionLimits, grade_caltable_set
from contimg.quality.grades import REJECTED
from contimg.tile.calibrate.assess.assess import assess
from contimg.tile.calibrate.assess.plots import write_plots
from contimg.tile.calibrate.options import CalibrateOptions

KINDS = {"B Jones": "bcal", "G Jones": "gcal", "K Jones": "kcal"}


def import_set(
    given: Sequence[Path],
    name: str,
    directory: Path,
    options: CalibrateOptions,
    limits: SolutionLimits,
    *,
    calibrator: str | None = None,
    dec_deg: float | None = None,
) -> CaltableSet:
    """Copy tables into `directory/<name>`, judge them, and describe them as a set.

    Parameters
    ----------
    given : one table of type B and at most one each of types G and K; several solution times are interpolated.
    calibrator, dec_deg : what was observed and where the telescope pointed; from the tables' FIELD when not given.

    Raises
    ------
    BadInput : a table is unreadable or of another type, or the set is rejected, with its numbers.
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
    return described.moved_to(directory / name)


def kind_of(path: Path) -> str:
    """`bcal`, `gcal` or `kcal` by the table's own word; BadInput for anything else."""
    tables.present(path)
    with table(str(path), ack=False) as main:
        found = str(main.info().get("subType", "")).strip()
    if found not in KINDS:
        raise BadInput(f"{path}: a table of type {found or 'unknown'}; types {', '.join(KINDS)} can be imported")
    return KINDS[found]


def _describe(made: Path, name: str, names: tuple[str, ...], options: CalibrateOptions) -> CaltableSet:
    found = [tables.read(made / one) for one in names]
    if len({one.antenna_names for one in found}) > 1:
        raise BadInput(f"{made}: its tables are of different antennas; import a set for each")
    if any(one.gains.shape[3] != 2 for one in found):
        raise BadInput(f"{made}: solutions of {found[0].gains.shape[3]} receptors; two are needed, X and Y")
    bandpass = found[0]
    width_hz = float(np.median(np.diff(bandpass.freqs_hz))) if bandpass.freqs_hz.size > 1 else 0.0
    steps = np.diff(bandpass.freqs_hz) / width_hz if width_hz > 0 else np.zeros(1)
    if width_hz <= 0 or np.abs(steps - np.rint(steps)).max() > 0.01 or steps.min() < 0.5:
        raise BadInput(f"{made / names[0]}: its windows do not make one band of evenly spaced channels")
    solved = np.all([one.solved.any(axis=(0, 2, 3)) for one in found], axis=0)
    with table(str(made / names[0]), ack=False) as main:
        references = main.getcol("ANTENNA2")
    times = np.concatenate([one.times_mjd_s.ravel() for one in found]) / 86400.0
    reference = int(np.bincount(references[references >= 0]).argmax()) if (references >= 0).any() else -1
    return CaltableSet(
        name=name,
        directory=made,
        tables=names,
        calibrator="",
        model_jy=float("nan"),
        flux_scale="as imported",
        attenuation=float("nan"),
        mjd=float(np.median(bandpass.times_mjd_s)) / 86400.0,
        valid_from_mjd=float(times.min()) - options.hours_before / 24.0,
        valid_to_mjd=float(times.max()) + options.hours_after / 24.0,
        reference_antenna=bandpass.antenna_names[reference] if reference >= 0 else "",
        antennas=tuple(name for name, alive in zip(bandpass.antenna_names, solved, strict=True) if alive),
        first_freq_hz=float(bandpass.freqs_hz[0]),
        channel_width_hz=width_hz,
        channels=1 + round(float(bandpass.freqs_hz[-1] - bandpass.freqs_hz[0]) / width_hz),
        flagged_fraction=float(np.mean([1 - one.solved[:, solved].mean() for one in found])),
        quality={},
        versions={"contimg": __version__},
        dec_deg=0.0,
    )


def _judged(made: CaltableSet, limits: SolutionLimits) -> CaltableSet:
    numbers = assess(made, made.antennas, limits)
    quality = grade_caltable_set(numbers, limits)
    if quality.grade == REJECTED:
        raise BadInput(f"calibration set {made.name}: rejected: {'; '.join(quality.reasons)}")
    bandpass = tables.read(made.paths[0])
    slots = [bandpass.antenna_names.index(name) for name in made.antennas]
    shape = bandpass.at(86400.0 * made.mjd, bandpass.freqs_hz)[slots]
    write_plots(made.directory, f"{made.name}, imported", made.antennas, shape, bandpass.freqs_hz)
    return replace(made, quality=numbers.as_dict(), grade=quality.grade, reasons=quality.reasons)


def _field(path: Path) -> tuple[str, float]:
    """Name and declination (degrees) of the table's first field."""
    with table(f"{path}::FIELD", ack=False) as field:
        return str(field.getcell("NAME", 0)), float(np.rad2deg(np.ravel(field.getcell("PHASE_DIR", 0))[1]))
