"""The pages of the antennas: the array coloured by health, every antenna over time, and one antenna's gains."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from flask import Blueprint, render_template
from pydantic import Field

from contimg.instrument.dsa110 import stations
from contimg.instrument.time import mjd_to_unix
from contimg.quality.antennas import AntennaState
from contimg.store import AntennaSummary
from contimg.store.products.antennas import AntennaCell, AntennaMeasurement, name_key
from web.calibration.antennas import read_antenna, span_mjd
from web.context import current_panel
from web.http.parameters import Night, Parameters
from web.pages.layout import parse_query
from web.tiles.nights import NightList, utc_ticks

antenna_pages = Blueprint("antenna_pages", __name__, url_prefix="/antennas")
SPANS = {1: "24 h", 7: "7 d", 30: "30 d", 90: "90 d"}
STEPS = {1: 144, 7: 168, 30: 180, 90: 180}
MUCH_FLAGGED = 0.5  # flagged fraction from which a cell is shaded more
MAX_SETS = 30
_CORE_M = 500.0  # the outriggers are farther from the first station
_M_PER_DEG = 111_195.0
_MARGIN_M = 25.0


class AntennaView(Parameters):
    """Which tiles are shown: of a night, or of the days until the newest.

    Without days, the least of `SPANS` that holds the tiles of the week until the newest.
    """

    days: int | None = Field(None, ge=1, le=90)
    night: Night = ""


@dataclass(frozen=True)
class StationMark:
    """A station on the map: metres to the east and north of the first, and its antenna's summary, if any."""

    name: str
    east_m: float
    north_m: float
    antenna: AntennaSummary | None


@dataclass(frozen=True)
class StationMap:
    """Marks within limits, m: west, north (down the page), width and height, and the radius of a mark."""

    title: str
    marks: tuple[StationMark, ...]
    box: tuple[float, float, float, float]
    radius: float


@dataclass(frozen=True)
class CellRun:
    """Steps in a row in which an antenna looked the same: first, after the last, kind and worst flagged fraction."""

    first: int
    after: int
    kind: str
    flagged_fraction: float


@dataclass(frozen=True)
class Series:
    """A number of an antenna over time: limits of its axis, and the path of the points of each polarisation."""

    title: str
    unit: str
    low: float
    high: float
    paths: Mapping[str, str]


@antenna_pages.get("")
def show() -> str:
    """Show the array, the outages, and every antenna over time."""
    query, store = parse_query(AntennaView), current_panel().store
    nights = NightList.read(store, query.night)
    since_mjd, until_mjd = _limits(query, nights)
    shown_days = 0 if query.night else round(until_mjd - since_mjd)
    listed = store.antennas.list(since_mjd, until_mjd)
    steps = STEPS.get(shown_days or 1, 168)
    cells = store.antennas.cells(since_mjd, until_mjd, steps)
    observed = _observed_runs(store.antennas.tile_times(since_mjd, until_mjd), (since_mjd, until_mjd), steps)
    return render_template(
        "calibration/antennas.html",
        query=query,
        nights=nights,
        days=SPANS,
        shown_days=shown_days,
        antennas=listed.antennas,
        outages=listed.outages,
        out=[antenna for antenna in listed.antennas if antenna.state is not AntennaState.GOOD],
        maps=place_stations(listed.antennas),
        runs=find_runs([antenna.antenna for antenna in listed.antennas], cells),
        steps=steps,
        observed=observed,
        span=(since_mjd, until_mjd),
        ticks=utc_ticks(since_mjd, until_mjd),
        until_s=mjd_to_unix(until_mjd),
    )


@antenna_pages.get("/<antenna>")
def show_antenna(antenna: str) -> str:
    """Show an antenna: its outages, its flagged fraction by tile, and its gains by caltable set."""
    query, store = parse_query(AntennaView), current_panel().store
    nights = NightList.read(store, query.night)
    since_mjd, until_mjd = _limits(query, nights)
    history = read_antenna(antenna, since_mjd, until_mjd)
    tiles = [row for row in history.measurements if row.set_name is None]
    of_sets = [row for row in history.measurements if row.set_name is not None]
    span = (since_mjd, until_mjd)
    series = [
        draw_series("Flagged fraction", "of the tile's samples", tiles, span, lambda row: row.flagged_fraction, (0, 1)),
        draw_series("Amplitude from the sky", "over the set's, by tile", tiles, span, lambda row: row.amplitude),
        draw_series(
            "Phase from the sky", "deg against the set, by tile", tiles, span, lambda row: row.phase_deg, (-180, 180)
        ),
        draw_series("Amplitude", "of the gains, by caltable set", of_sets, span, lambda row: row.amplitude),
        draw_series("Phase", "deg, by caltable set", of_sets, span, lambda row: row.phase_deg, (-180, 180)),
        draw_series("Signal to noise", "of the solutions, by caltable set", of_sets, span, lambda row: row.snr),
    ]
    return render_template(
        "calibration/antenna.html", query=query, nights=nights, days=SPANS, antenna=antenna, outages=history.outages,
        series=[drawn for drawn in series if drawn is not None], newest=tiles[-2:] if tiles else (),
        sets=of_sets[::-1][:MAX_SETS], span=span, shown_days=0 if query.night else round(until_mjd - since_mjd),
        ticks=utc_ticks(*span), tiles=len({row.mjd for row in tiles}), until_s=mjd_to_unix(until_mjd),
    )  # fmt: skip


def _limits(query: AntennaView, nights: NightList) -> tuple[float, float]:
    if query.night:
        return nights.since_mjd, nights.until_mjd
    since_mjd, until_mjd = span_mjd(None, None)
    if query.days is not None:
        return until_mjd - query.days, until_mjd
    times_mjd = current_panel().store.antennas.tile_times(since_mjd, until_mjd)
    first_mjd = min(times_mjd, default=since_mjd)
    return until_mjd - min(days for days in SPANS if first_mjd >= until_mjd - days), until_mjd


def place_stations(antennas: Iterable[AntennaSummary]) -> tuple[StationMap, ...]:
    """Place the stations on a map of the core and on one of the outriggers; those of no station are left out.

    Parameters
    ----------
    antennas : with the number of their station in their names.
    """
    by_number = {name_key(antenna.antenna)[0]: antenna for antenna in antennas}
    first, *_ = stations()
    east_scale = _M_PER_DEG * math.cos(math.radians(first.latitude_deg))
    marks = [
        StationMark(
            str(station.number), (station.longitude_deg - first.longitude_deg) * east_scale,
            (station.latitude_deg - first.latitude_deg) * _M_PER_DEG, by_number.get(station.number),
        )
        for station in stations()
        if station.live or station.number in by_number
    ]  # fmt: skip
    core = [mark for mark in marks if math.hypot(mark.east_m, mark.north_m) < _CORE_M]
    return _frame("Core", core, 3.6), _frame("Whole array", marks, 22.0)


def _frame(title: str, marks: Sequence[StationMark], radius: float) -> StationMap:
    margin = max(_MARGIN_M, 2 * radius)
    west, east = min(mark.east_m for mark in marks) - margin, max(mark.east_m for mark in marks) + margin
    south, north = min(mark.north_m for mark in marks) - margin, max(mark.north_m for mark in marks) + margin
    return StationMap(title, tuple(marks), (west, -north, east - west, north - south), radius)


def find_runs(names: Iterable[str], cells: Iterable[AntennaCell]) -> dict[str, tuple[CellRun, ...]]:
    """Join the steps of each antenna that look the same.

    Parameters
    ----------
    names : of the antennas; those of the cells are added.
    cells : of `Antennas.cells`.

    Returns
    -------
    runs in order of time by name of the antenna, in the order of their numbers.
    """
    by_antenna: dict[str, list[AntennaCell]] = {name: [] for name in names}
    for cell in cells:
        by_antenna.setdefault(cell.antenna, []).append(cell)
    return {
        antenna: tuple(_join(sorted(by_antenna[antenna], key=lambda cell: cell.step)))
        for antenna in sorted(by_antenna, key=name_key)
    }


def _join(cells: Sequence[AntennaCell]) -> Iterable[CellRun]:
    for (kind, _), group in groupby(enumerate(cells), key=lambda item: (_kind(item[1]), item[1].step - item[0])):
        members = [cell for _, cell in group]
        fraction = max(cell.flagged_fraction for cell in members)
        yield CellRun(members[0].step, members[-1].step + 1, kind, fraction)


def _kind(cell: AntennaCell) -> str:
    """The class of a cell: its state; of a good antenna `flagged` or `much-flagged` by the fraction."""
    if cell.state is not AntennaState.GOOD:
        return str(cell.state)
    return "much-flagged" if cell.flagged_fraction >= MUCH_FLAGGED else "flagged"


def _observed_runs(
    times_mjd: Iterable[float], span_mjd: tuple[float, float], steps: int
) -> tuple[tuple[int, int], ...]:  # fmt: skip
    """The runs of steps with tiles: first step, and the one after the last."""
    since_mjd, until_mjd = span_mjd
    observed = sorted({int((mjd - since_mjd) * steps / (until_mjd - since_mjd)) for mjd in times_mjd})
    runs = [[step for _, step in run] for _, run in groupby(enumerate(observed), key=lambda item: item[1] - item[0])]
    return tuple((run[0], run[-1] + 1) for run in runs)


def draw_series(
    title: str, unit: str, rows: Sequence[AntennaMeasurement], span_mjd: tuple[float, float],
    value: Callable[[AntennaMeasurement], float | None], limits: tuple[float, float] | None = None,
) -> Series | None:  # fmt: skip
    """Draw a number of an antenna as points in a box of 1000 by 100; None where no row has it.

    Parameters
    ----------
    title, unit : of the chart.
    rows : measurements in order of time.
    span_mjd : limits of the time axis.
    value : gives the number of a row, or None.
    limits : of the value axis; None: from 0 to the largest value.
    """
    points = [(row.polarisation, row.mjd, number) for row in rows if (number := value(row)) is not None]
    if not points:
        return None
    low, high = limits or (0.0, 1.1 * max(number for *_, number in points) or 1.0)
    since_mjd, until_mjd = span_mjd
    paths: dict[str, str] = defaultdict(str)
    for polarisation, mjd, number in points:
        x, y = 1000 * (mjd - since_mjd) / (until_mjd - since_mjd), 100 * (high - number) / (high - low)
        paths[polarisation] += f"M{x:.1f} {y:.1f}h0"
    return Series(title, unit, low, high, dict(sorted(paths.items())))
