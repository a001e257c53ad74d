"""Import caltables that exist as a caltable set: bandpass, gains and delays of any tool, their windows in any order."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from contimg.common.errors import BadInput
from contimg.common.files.names import check_name
from contimg.common.files.staging import staged
from contimg.formats.caltables.caltable_set import DESCRIPTION_FILE, CaltableSet
from contimg.formats.caltables.solutions import read_kind, read_solutions
from contimg.formats.ms.info import CELESTIAL_FRAMES
from contimg.formats.tables import open_table
from contimg.formats.uvh5.grouping import is_group_id
from contimg.instrument.dsa110 import NAME, NAMES
from contimg.quality.caltables import SolutionLimits
from contimg.tile.calibrate.assessment import describe, find_solved_antennas, grade_or_reject, measure_caltable_set
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.plots import write_plots


def import_set(
    paths: Sequence[Path], name: str, directory: Path, options: CalibrateOptions, limits: SolutionLimits, *,
    calibrator: str | None = None, dec_deg: float | None = None, replace_existing: bool = False,
    own_telescope: bool = True,
) -> CaltableSet:  # fmt: skip
    """Copy caltables into `directory/<name>`, grade them, and describe them as a set.

    Parameters
    ----------
    paths : one caltable of type B and at most one each of types G and K; several solution times are interpolated.
    name : of the new set.
    directory : where the caltable sets are.
    options, limits : options of the calibrate stage, for the validity; limits of the solutions.
    calibrator, dec_deg : source and declination (ICRS) observed; those of the field that the bandpass's solutions are
        of when not given.
    replace_existing : whether a set of that name is replaced; nothing but a caltable set is.
    own_telescope : whether the caltables have to be the DSA-110's.

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
    if own_telescope:
        for path in by_kind.values():
            _check_telescope(path)
    if calibrator is None or dec_deg is None:
        fields = _read_fields(by_kind["bcal"])
        gain_fields = [field for kind in ("gcal", "kcal") if kind in by_kind for field in _read_fields(by_kind[kind])]
        if not fields:
            raise BadInput(f"{by_kind['bcal']}: its solutions name no field; give --calibrator and --dec")
        calibrator = calibrator or ", ".join(dict.fromkeys(name for name, _ in fields))
        dec_deg = _select_declination(fields + gain_fields, options.strip_deg) if dec_deg is None else dec_deg
    by_kind = dict(sorted(by_kind.items()))
    with staged(target, replaces=replace_existing) as set_directory:
        set_directory.mkdir()
        for kind, path in by_kind.items():
            shutil.copytree(path, set_directory / f"{name}.{kind}")
        tables = tuple(f"{name}.{kind}" for kind in by_kind)
        caltables = [read_solutions(set_directory / table_name) for table_name in tables]
        for path, solutions in zip(by_kind.values(), caltables, strict=True):
            if solutions.gains.shape[3] != 2:
                raise BadInput(f"{path}: solutions of {solutions.gains.shape[3]} receptors; two are needed, X and Y")
        live = find_solved_antennas(caltables)
        described = describe(name, set_directory, tables, options, live)
        caltable_set = replace(described, calibrator=calibrator, dec_deg=dec_deg)
        caltable_set = grade_or_reject(caltable_set, measure_caltable_set(caltable_set, live, limits), limits)
        write_plots(caltable_set, live)
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


def _check_telescope(path: Path) -> None:
    """Raise BadInput when a caltable names another telescope than the DSA-110; many tools write no name."""
    if not (path / "OBSERVATION" / "table.dat").exists():
        return
    with open_table(path / "OBSERVATION") as observation:
        telescopes = set(observation.getcol("TELESCOPE_NAME")) if observation.nrows() else set()
    foreign = sorted(telescopes.difference(NAMES, [""]))
    if foreign:
        raise BadInput(
            f"{path}: solutions of the telescope {', '.join(foreign)}, not of {NAME}; CONTIMG_CONVERT_TELESCOPE=any "
            "accepts every telescope"
        )


def _read_fields(path: Path) -> list[tuple[str, float]]:
    """Read the name and declination (ICRS, degrees) of the fields that the solutions of a caltable are of.

    CASA's gencal gives its rows no field (-1).
    """
    try:
        with open_table(path) as main, open_table(path / "FIELD") as field:
            numbers = np.unique(main.query("!all(FLAG)", columns="FIELD_ID").getcol("FIELD_ID"))
            frame = field.getcolkeywords("PHASE_DIR").get("MEASINFO", {}).get("Ref", "J2000")
            rows = [int(number) for number in numbers if number >= 0]
            names = [str(field.getcell("NAME", row)) for row in rows]
            directions_deg = [np.rad2deg(np.ravel(field.getcell("PHASE_DIR", row))) for row in rows]
    except RuntimeError as error:
        raise BadInput(f"{path}: its fields are not readable ({error}); give --calibrator and --dec") from error
    if frame not in CELESTIAL_FRAMES:
        raise BadInput(f"{path}: directions of its fields in {frame}, not ICRS; give --calibrator and --dec")
    return [(name, float(direction[1])) for name, direction in zip(names, directions_deg, strict=True)]


def _select_declination(fields: Sequence[tuple[str, float]], strip_deg: float) -> float:
    """Give the declination of the first field, degrees; BadInput when another is of another strip."""
    first, dec_deg = fields[0]
    for name, other_deg in fields:
        if abs(other_deg - dec_deg) > strip_deg:
            raise BadInput(
                f"fields {first} at {dec_deg:+.2f} and {name} at {other_deg:+.2f} deg: solutions of two declination "
                f"strips (limit {strip_deg:g} deg); import one strip's caltables, or give --dec"
            )
    return dec_deg
