"""`/api/calibrations`: the calibration registry, its plots, retiring a set and bringing one in."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from os import environ
from pathlib import Path

from flask import Blueprint, Response, request

from contimg.store import CalibrationSetRecord
from web.access.auth import operator_name, operator_only
from web.context import current_panel
from web.http.answers import respond
from web.http.errors import RequestError
from web.http.files import send_product
from web.http.models import CalibrationsAnswer, CalibrationSetAnswer, CommandAnswer
from web.http.parameters import ImportOrder, Listing, RetireOrder

calibrations = Blueprint("calibrations", __name__, url_prefix="/api/calibrations")
PLOTS = {"amplitude": "amplitudes", "phase": "phases less the delay", "waterfall": "all antennas"}
IMPORT_LIMIT_S = 180.0


@calibrations.get("")
def read() -> Response:
    """Sets of tables, the latest observed first, superseded ones included; `?limit=`."""
    query = Listing.model_validate(request.args.to_dict())
    found = current_panel().store.registry.sets(query.limit)
    return respond(CalibrationsAnswer(calibrations=tuple(CalibrationSetAnswer.model_validate(one) for one in found)))


@calibrations.get("/<name>/<any(amplitude, phase, waterfall):plot>.png")
def plot_of(name: str, plot: str) -> Response:
    """A quality plot of a set."""
    path = plots_of(known_set(name)).get(plot)
    return send_product(path, current_panel().config().output_dir, "plot", "image/png")


@calibrations.post("/<name>/retire")
@operator_only
def retire(name: str) -> Response:
    """Take a set out of force."""
    order = RetireOrder.model_validate(request.get_json() if request.content_length else {})
    known_set(name)
    return respond(CommandAnswer(success=True, message=retire_set(name, order.reason)))


@calibrations.post("/import")
@operator_only
def take_in() -> Response:
    """Bring tables that were solved elsewhere into the registry; they must lie in output_dir or scratch_dir."""
    order = ImportOrder.model_validate(request.get_json())
    return respond(CommandAnswer(success=True, message=bring_in(order.tables, order.name)))


def known_set(name: str) -> CalibrationSetRecord:
    """The set of a name, or a RequestError."""
    found = current_panel().store.registry.set_named(name)
    if found is None:
        raise RequestError(404, f"calibration set {name[:80]}: not in the registry", "GET /api/calibrations lists them")
    return found


def plots_of(one: CalibrationSetRecord) -> Mapping[str, Path]:
    """The plots of a set that are there."""
    home = one.tables[0].path.parent if one.tables else None
    paths = {plot: home / f"{plot}.png" for plot in PLOTS} if home else {}
    return {plot: path for plot, path in paths.items() if path.is_file()}


def retire_set(name: str, reason: str) -> str:
    """Retire a set; what was done, in words."""
    current_panel().store.registry.retire(name, f"{reason or 'retired'} ({operator_name()})")
    current_panel().store.events.add(f"calibration set {name} retired by {operator_name()}", level="warning")
    return f"calibration set {name} retired"


def bring_in(tables: Sequence[str], name: str) -> str:
    """Import tables by `contimg calibrations import`, in a process of its own: that one needs casacore."""
    config = current_panel().config()
    homes = [one.resolve() for one in (config.output_dir, config.scratch_dir)]
    paths = [Path(one).resolve() for one in tables]
    for path in paths:
        if not any(path.is_relative_to(home) for home in homes) or not path.is_dir():
            raise RequestError(
                400, f"{path}: no table in output_dir or scratch_dir", f"put it below {' or '.join(map(str, homes))}"
            )
    if not paths:
        raise RequestError(400, "tables: give the path of at least one table", "a bandpass table, perhaps a gain table")
    naming = ["--name", name] if name else []
    state = {**environ, "PIPELINE_STATE_DIR": str(current_panel().settings.state_dir.absolute())}
    command = [sys.executable, "-m", "contimg", "calibrations", "import", *naming, "--", *map(str, paths)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_LIMIT_S, env=state, check=False)
    except subprocess.TimeoutExpired:
        raise RequestError(504, "the import took too long", "try `contimg calibrations import` in a terminal") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RequestError(409, lines[-1] if lines else "the import failed", "the tables are as they were")
    current_panel().store.events.add(
        f"calibration imported by {operator_name()}: {', '.join(path.name for path in paths)}"
    )
    return f"imported: {done.stdout.strip()[:300]}"
