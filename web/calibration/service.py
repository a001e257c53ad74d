"""Caltable sets of the registry: their plots, retiring one, and importing tables; for the API and the pages."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from os import environ
from pathlib import Path

from contimg.store import StoredCaltableSet
from web.access.user import current_user
from web.context import current_panel
from web.http.errors import RequestError

PLOTS = {"amplitude": "amplitudes", "phase": "phases less the delay", "waterfall": "all antennas"}
IMPORT_LIMIT_S = 180.0


def find_set(name: str) -> StoredCaltableSet:
    """Return the caltable set of a name.

    Parameters
    ----------
    name : of the set, as the registry has it.

    Raises
    ------
    RequestError, 404, when the registry has none of that name.
    """
    caltable_set = current_panel().store.registry.set_named(name)
    if caltable_set is None:
        raise RequestError(
            404,
            f"calibration set {name[:80]}: not in the registry",
            "GET /api/calibrations lists them",
            code="no_such_caltable_set",
        )
    return caltable_set


def plots_of(caltable_set: StoredCaltableSet) -> Mapping[str, Path]:
    """Return the quality plots of a set that exist, by the names of `PLOTS`.

    Parameters
    ----------
    caltable_set : its plots lie in the directory of its first table.
    """
    directory = caltable_set.tables[0].path.parent if caltable_set.tables else None
    paths = {plot: directory / f"{plot}.png" for plot in PLOTS} if directory else {}
    return {plot: path for plot, path in paths.items() if path.is_file()}


def retire_set(name: str, reason: str) -> str:
    """Retire a set, so that no further tile is calibrated with it; returns a message.

    Parameters
    ----------
    name : of the set.
    reason : stored in the registry with the user's name; empty: `retired`.

    Raises
    ------
    RequestError, 404, when the registry has no set of that name.
    """
    find_set(name)
    current_panel().store.registry.retire(name, reason, by=current_user().label)
    return f"calibration set {name} retired"


def import_tables(tables: Sequence[str], name: str, *, replace: bool = False) -> str:
    """Import caltables by `contimg calibrations import`, in a process of its own because it loads casacore.

    Parameters
    ----------
    tables : paths below output_dir or scratch_dir.
    name : name of the set; empty: one made from the tables.
    replace : whether a set of that name is replaced.

    Returns
    -------
    str
        A message.

    Raises
    ------
    RequestError
        400 for paths elsewhere, 409 when the import fails, 504 when it takes longer than `IMPORT_LIMIT_S`.
    """
    panel = current_panel()
    config = panel.config()
    directories = [directory.resolve() for directory in (config.output_dir, config.scratch_dir)]
    paths = [Path(table).resolve() for table in tables]
    for path in paths:
        if not any(path.is_relative_to(directory) for directory in directories) or not path.is_dir():
            hint = f"put it below {' or '.join(map(str, directories))}"
            raise RequestError(400, f"{path}: no table in output_dir or scratch_dir", hint)
    if not paths:
        raise RequestError(400, "tables: give the path of at least one table", "a bandpass table, perhaps a gain table")
    naming = [f"--by={current_user().label}", *(["--name", name] if name else []), *(["--replace"] if replace else [])]
    state = {**environ, "PIPELINE_STATE_DIR": str(panel.settings.state_dir.absolute())}
    command = [sys.executable, "-m", "contimg", "calibrations", "import", *naming, "--", *map(str, paths)]
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=IMPORT_LIMIT_S, env=state, check=False
        )
    except subprocess.TimeoutExpired:
        hint = "run `contimg calibrations import` in a terminal"
        raise RequestError(504, f"the import took longer than {IMPORT_LIMIT_S:.0f} s", hint) from None
    if process.returncode:
        lines = (process.stderr or process.stdout).strip().splitlines()
        raise RequestError(409, lines[-1] if lines else "the import failed", "the tables were not changed")
    return f"imported: {process.stdout.strip()[:300]}"
