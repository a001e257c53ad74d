"""`/api/calibrations`: the registry of caltable sets, their plots, retiring a set, importing tables."""

from dataclasses import dataclass
from typing import Annotated, Literal

from flask import Response
from pydantic import BaseModel, Field

from contimg.formats.records import about
from contimg.store import StoredCaltableSet
from web.calibration.service import find_set, import_tables, plots_of, retire_set
from web.context import current_panel
from web.http.api import NOT_FOUND, TIMEOUT, Api
from web.http.parameters import ImportRequest, Listing, RetireRequest
from web.http.responses import send_product
from workers.service.records import CommandOutcome

calibrations = Api("calibrations", "/api/calibrations")


@dataclass(frozen=True)
class CalibrationList:
    """Caltable sets, the latest observed first."""

    calibrations: Annotated[tuple[StoredCaltableSet, ...], about("Caltable sets, the latest observed first")]


class SetPath(BaseModel):
    """A caltable set in a path."""

    name: str = Field(min_length=1)


class PlotPath(SetPath):
    """A plot of a caltable set in a path."""

    plot: Literal["amplitude", "phase", "waterfall"]


@calibrations.read("", CalibrationList)
def read(query: Listing) -> CalibrationList:
    """Caltable sets, the latest observed first, superseded ones included; `?limit=`."""
    return CalibrationList(current_panel().store.registry.sets(query.limit))


@calibrations.read("/<name>/<any(amplitude, phase, waterfall):plot>.png", "image/png")
def plot_of(path: PlotPath) -> Response:
    """A quality plot of a set."""
    plot = plots_of(find_set(path.name)).get(path.plot)
    return send_product(plot, current_panel().config().output_dir, "plot", "image/png")


@calibrations.command("/<name>/retire", CommandOutcome, NOT_FOUND, RetireRequest)
def retire(path: SetPath, body: RetireRequest) -> CommandOutcome:
    """Retire a set: no further tile is calibrated with it."""
    return CommandOutcome(True, retire_set(path.name, body.reason))


@calibrations.command("/import", CommandOutcome, TIMEOUT)
def take_in(body: ImportRequest) -> CommandOutcome:
    """Import tables that were solved elsewhere into the registry; they must lie in output_dir or scratch_dir."""
    return CommandOutcome(True, import_tables(body.tables, body.name, replace=body.replace))
