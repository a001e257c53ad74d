"""`/api/calibrations`: caltable sets, their plots, retiring and importing sets; `/api/antennas`: their history."""

from typing import Annotated, Literal

from flask import Response
from pydantic import BaseModel, Field

from contimg.formats.records import about
from contimg.store import AntennaHistory, AntennaList, CalibrationList, StoredCaltableSet
from web.calibration.antennas import read_antenna, span_mjd
from web.calibration.service import find_set, import_tables, plots_of, retire_set
from web.context import current_panel
from web.http.api import NOT_FOUND, TIMEOUT, Api
from web.http.bodies import ImportRequest, RetireRequest
from web.http.parameters import ObservedSpan, SetListing
from web.http.responses import send_product
from workers.service.records import CommandOutcome

calibrations = Api("calibrations", "/api/calibrations")
antennas = Api("antennas", "/api/antennas")


class SetPath(BaseModel):
    """A caltable set in a path."""

    name: Annotated[str, about("Name of the caltable set", example="2026-02-22T01:35:20")] = Field(min_length=1)


class PlotPath(SetPath):
    """A plot of a caltable set in a path."""

    plot: Annotated[
        Literal["amplitude", "phase", "waterfall"], about("Amplitudes, phases, or all antennas", example="amplitude")
    ]


@calibrations.read("", CalibrationList)
def read(query: SetListing) -> CalibrationList:
    """Caltable sets, the latest observed first, superseded and retired ones included.

    A set holds the caltables of one solve, with their validity and QA grade.
    """
    return current_panel().store.registry.list_sets(query.limit, before=query.cursor)


@calibrations.read("/<name>", StoredCaltableSet, NOT_FOUND)
def read_set(path: SetPath) -> StoredCaltableSet:
    """A caltable set: its tables, validity, QA grade and the numbers of its solutions.

    Validity is in days (MJD) and as times; `in_force` is true while the set is neither superseded nor retired.
    """
    return find_set(path.name)


@calibrations.read("/<name>/<any(amplitude, phase, waterfall):plot>.png", "image/png")
def plot_of(path: PlotPath) -> Response:
    """A quality plot of a set.

    Written with the set; 404 for a set without plots, such as an imported one.
    """
    plot = plots_of(find_set(path.name)).get(path.plot)
    return send_product(plot, current_panel().config().output_dir, "plot", "image/png")


@calibrations.command("/<name>/retire", CommandOutcome, NOT_FOUND, RetireRequest)
def retire(path: SetPath, body: RetireRequest) -> CommandOutcome:
    """Retire a set: no further tile is calibrated with it.

    Tiles that were calibrated with it keep their calibration; `contimg recalibrate` lists those that another set
    would change.
    """
    return CommandOutcome(True, retire_set(path.name, body.reason))


@calibrations.command("/import", CommandOutcome, TIMEOUT)
def take_in(body: ImportRequest) -> CommandOutcome:
    """Import tables that were solved elsewhere into the registry; they must lie in output_dir or scratch_dir.

    The tables are checked first, which takes some seconds and at most 180 s. A set of the same name is replaced
    only with `replace`.
    """
    return CommandOutcome(True, import_tables(body.tables, body.name, replace=body.replace))


class AntennaPath(BaseModel):
    """An antenna in a path."""

    antenna: Annotated[str, about("Name of the antenna", example="103")] = Field(min_length=1, max_length=32)


@antennas.read("", AntennaList)
def list_antennas(query: ObservedSpan) -> AntennaList:
    """The antennas of a span, each as of its newest tile in it, and the outages in the span, the latest first.

    An outage begins with two tiles in a row without usable data, and ends with two with them.
    """
    return current_panel().store.antennas.list(*span_mjd(query.since, query.until))


@antennas.read("/<antenna>", AntennaHistory, NOT_FOUND)
def read_history(path: AntennaPath, query: ObservedSpan) -> AntennaHistory:
    """An antenna over time: amplitude, phase, signal to noise and flagged fraction by polarisation, and its outages.

    By tile, and by caltable set; at most the latest 5000 measurements of the span.
    """
    return read_antenna(path.antenna, *span_mjd(query.since, query.until))
