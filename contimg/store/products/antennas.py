"""Antennas: their history by tile and by caltable set, and their outages.

An outage begins with two tiles in a row in which no polarisation of the antenna is usable, and ends with two in which
one is. Tiles that are missing count for neither, and the events of a tile are joined by what happened.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import Annotated, Any

from sqlalchemy import Integer, case, cast, delete, func, insert, or_, select, text
from sqlalchemy.orm import Session

from contimg.common.units import format_duration, format_utc
from contimg.formats.records import about
from contimg.instrument.time import DAY_S, mjd_to_unix
from contimg.quality.antennas import SEVERITY, AntennaNumbers, AntennaState
from contimg.settings.alerts import INFO, WARNING
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import History
from contimg.store.jobs.kinds import LIVE
from contimg.store.tables.antennas import NOTABLE
from contimg.tile.products import CalibratedMS

TILES = 2  # in a row that begin or end an outage
_LOOK_BACK = 4  # newest tiles that these are looked for in
_RECENT_DAYS = 2 / 24  # before the newest tile: an antenna in none of its tiles has no state
_NAMED = 8  # antennas that an event names

AntennaName = Annotated[str, about("Name of the antenna", example="103")]
_State = Annotated[AntennaState, about("good, unsolved, crossed or dead", example="dead")]


@dataclass(frozen=True, kw_only=True)
class AntennaMeasurement(AntennaNumbers):
    """One polarisation of an antenna in a tile, or in the caltable set solved on it."""

    group: Annotated[str, about("Id of the tile's group", example="2026-02-22T03:04:05")]
    set_name: Annotated[
        str | None, about("Name of the caltable set; null for the tile itself", example="2026-02-22T03:04:05")
    ]
    mjd: Annotated[float, about("Middle of the tile, MJD, UTC", "d", 61093.129624)]

    @property
    def observed_at(self) -> Annotated[float, about("Middle of the tile")]:
        """Middle of the tile, epoch seconds."""
        return mjd_to_unix(self.mjd)


@dataclass(frozen=True)
class Outage:
    """A time in which an antenna gave no usable data, from its first tile to the first one after it."""

    antenna: AntennaName
    state: _State
    reason: Annotated[str, about("Why it had none", example="98% flagged or zero")]
    began_mjd: Annotated[float, about("Middle of the first tile of the outage, MJD, UTC", "d", 61093.129624)]
    ended_mjd: Annotated[
        float | None, about("Middle of the first usable tile after it, MJD, UTC; null while it lasts", "d", 61093.26)
    ]

    @property
    def began_at(self) -> Annotated[float, about("When it began")]:
        """When it began, epoch seconds."""
        return mjd_to_unix(self.began_mjd)

    @property
    def ended_at(self) -> Annotated[float | None, about("When it ended; null while it lasts")]:
        """When it ended, epoch seconds; None while it lasts."""
        return None if self.ended_mjd is None else mjd_to_unix(self.ended_mjd)


@dataclass(frozen=True)
class AntennaSummary:
    """An antenna in a span of time: its newest tile, and the part of its tiles in which it was not usable."""

    antenna: AntennaName
    state: Annotated[AntennaState, about("State in the newest tile: that of its better polarisation", example="good")]
    reason: Annotated[str | None, about("Why a polarisation is not good", example="98% flagged or zero")]
    flagged_fraction: Annotated[float, about("Flagged part of its samples in the newest tile", "fraction", 0.04)]
    mjd: Annotated[float, about("Middle of the newest tile, MJD, UTC", "d", 61093.129624)]
    polarisations: Annotated[
        Mapping[str, str], about("State by polarisation in the newest tile", example={"X": "good", "Y": "unsolved"})
    ]
    out_since_mjd: Annotated[
        float | None, about("Beginning of its outage, MJD, UTC; null while it is usable", "d", 61093.1)
    ]

    @property
    def observed_at(self) -> Annotated[float, about("Middle of the newest tile")]:
        """Middle of the newest tile, epoch seconds."""
        return mjd_to_unix(self.mjd)


@dataclass(frozen=True)
class AntennaList:
    """Antennas by name, and their outages in the span, the latest first."""

    antennas: Annotated[tuple[AntennaSummary, ...], about("Antennas, by name")]
    outages: Annotated[tuple[Outage, ...], about("Outages, the latest first")]


@dataclass(frozen=True)
class AntennaHistory:
    """An antenna's measurements in a span, in order of time, and its outages, the latest first."""

    antenna: AntennaName
    outages: Annotated[tuple[Outage, ...], about("Outages, the latest first")]
    measurements: Annotated[tuple[AntennaMeasurement, ...], about("By tile and by caltable set, in order of time")]


@dataclass(frozen=True)
class AntennaCell:
    """An antenna in a step of time: the worst state and the largest flagged fraction of its polarisations."""

    antenna: str
    step: int
    state: AntennaState
    flagged_fraction: float


class Antennas(History):
    """The history of the antennas in the live processing."""

    _table = tables.AntennaHistory

    def newest_mjd(self) -> float | None:
        """Return the middle of the newest tile, days, UTC; None without one."""
        with self._database.read() as session:
            return _newest_mjd(session)

    def list(self, since_mjd: float, until_mjd: float) -> AntennaList:
        """Return the antennas of the last two hours of a span that have tiles, and the outages in the span.

        Parameters
        ----------
        since_mjd, until_mjd : the span, days, UTC; the second is excluded.
        """
        row = tables.AntennaHistory
        by_antenna: dict[str, list[Any]] = defaultdict(list)
        with self._database.read() as session:
            if (newest_mjd := _newest_mjd(session, until_mjd)) is not None:
                recent = _of_tiles(max(since_mjd, newest_mjd - _RECENT_DAYS), until_mjd)
                for measured in session.scalars(select(row).where(*recent).order_by(row.mjd, row.polarisation)):
                    by_antenna[measured.antenna].append(measured)
        outages = self.outages(since_mjd, until_mjd)
        out_since = {outage.antenna: outage.began_mjd for outage in outages if outage.ended_mjd is None}
        summaries = (
            _summarise([row for row in rows if row.mjd == rows[-1].mjd], out_since.get(name))
            for name, rows in by_antenna.items()
        )
        return AntennaList(tuple(sorted(summaries, key=lambda summary: name_key(summary.antenna))), outages)

    def outages(self, since_mjd: float, until_mjd: float, antenna: str | None = None) -> tuple[Outage, ...]:
        """Return the outages that overlap a span, the latest first.

        Parameters
        ----------
        since_mjd, until_mjd : the span, days, UTC.
        antenna : only those of this antenna.
        """
        row = tables.AntennaOutage
        query = select(row).where(row.began_mjd < until_mjd, or_(row.ended_mjd.is_(None), row.ended_mjd >= since_mjd))
        if antenna is not None:
            query = query.where(row.antenna == antenna)
        return self._fetch(Outage, query.order_by(row.began_mjd.desc(), row.antenna))

    def history(self, antenna: str, since_mjd: float, until_mjd: float, limit: int = 5000) -> AntennaHistory:
        """Return the measurements of an antenna in a span, at most the latest `limit`.

        Parameters
        ----------
        antenna : its name.
        since_mjd, until_mjd : the span, days, UTC; the second is excluded.
        limit : largest number of measurements, of which a tile has two.
        """
        row = tables.AntennaHistory
        conditions = (row.antenna == antenna, row.processing == LIVE, row.mjd >= since_mjd, row.mjd < until_mjd)
        query = select(row).where(*conditions).order_by(row.mjd.desc(), row.id.desc()).limit(limit)
        measurements = self._fetch(AntennaMeasurement, query)[::-1]
        return AntennaHistory(antenna, self.outages(since_mjd, until_mjd, antenna), measurements)

    def cells(self, since_mjd: float, until_mjd: float, steps: int) -> tuple[AntennaCell, ...]:
        """Return what is notable in each of a number of equal steps of a span: not good, or a fifth flagged.

        Parameters
        ----------
        since_mjd, until_mjd : the span, days, UTC; the second is excluded.
        steps : number of steps.
        """
        row = tables.AntennaHistory
        step = cast(func.floor((row.mjd - since_mjd) * (steps / (until_mjd - since_mjd))), Integer)
        severity = case({str(state): number for state, number in SEVERITY.items()}, value=row.state, else_=0)
        query = (
            select(row.antenna, step, func.max(severity), func.max(row.flagged_fraction))
            .where(*_of_tiles(since_mjd, until_mjd), text(NOTABLE))
            .group_by(row.antenna, step)
        )
        states = tuple(AntennaState)
        with self._database.read() as session:
            return tuple(
                AntennaCell(antenna, min(number, steps - 1), states[worst], fraction)
                for antenna, number, worst, fraction in session.execute(query)
            )

    def tile_times(self, since_mjd: float, until_mjd: float) -> tuple[float, ...]:
        """Return the middles of the tiles of a span with antennas, days, UTC, ascending.

        Parameters
        ----------
        since_mjd, until_mjd : the span, days, UTC; the second is excluded.
        """
        row = tables.AntennaHistory
        query = select(row.mjd).where(*_of_tiles(since_mjd, until_mjd)).distinct().order_by(row.mjd)
        with self._database.read() as session:
            return tuple(session.scalars(query))


def name_key(name: str) -> tuple[int, str]:
    """Return what names of antennas are ordered by: their number, then the text.

    Parameters
    ----------
    name : `103`, `pad103`.
    """
    digits = "".join(filter(str.isdigit, name))
    return int(digits or 0), name


def write_antennas(product: CalibratedMS, session: Session, row: tables.MeasurementSet, now: float) -> None:
    """Write the antennas of a calibrated tile within its commit, and the outages that begin or end with it.

    Parameters
    ----------
    product : result of the stage.
    session : of the transaction of the commit.
    row : of the tile's Measurement Set.
    now : epoch seconds.
    """
    table = tables.AntennaHistory
    session.execute(delete(table).where(table.job_id == row.job_id))
    new_set = product.new_set.name if product.new_set else None
    common = {"job_id": row.job_id, "processing": row.processing, "group_id": row.group_id,
              "mjd": 0.5 * (row.mjd_start + row.mjd_end)}  # fmt: skip
    rows = [{**asdict(numbers), "set_name": None, **common} for numbers in product.antenna_numbers]
    rows += [{**asdict(numbers), "set_name": new_set, **common} for numbers in product.set_antenna_numbers]
    if not rows:
        return
    session.execute(insert(table), rows)
    if row.processing == LIVE:
        _update_outages(session, row.group_id, now)


def _update_outages(session: Session, group: str, now: float) -> None:
    """Begin and end outages by each antenna's newest tiles."""
    outage = tables.AntennaOutage
    lasting = {row.antenna: row for row in session.scalars(select(outage).where(outage.ended_mjd.is_(None)))}
    started: dict[AntennaState, list[str]] = defaultdict(list)
    returned: list[str] = []
    for antenna, tiles in _read_newest_tiles(session).items():
        if len(tiles) < TILES:
            continue
        out = [_best_state(rows) for rows in tiles]
        first = tiles[-1][0]
        if antenna not in lasting and AntennaState.GOOD not in out:
            state, reason = out[0], tiles[0][0].reason or ""
            session.add(outage(antenna=antenna, state=state, reason=reason, began_mjd=first.mjd))
            started[state].append(f"{antenna} ({reason}; since {_time(first.mjd)})")
        elif antenna in lasting and all(state is AntennaState.GOOD for state in out):
            ended = lasting[antenna]
            ended.ended_mjd = max(first.mjd, ended.began_mjd)
            duration = format_duration((ended.ended_mjd - ended.began_mjd) * DAY_S)
            returned.append(f"{antenna} ({ended.state} for {duration}, since {_time(ended.began_mjd)})")
        elif antenna in lasting and out[0] is out[-1] and out[0] is not lasting[antenna].state:
            lasting[antenna].state, lasting[antenna].reason = out[0], tiles[0][0].reason or ""
    for state, change in _STARTED.items():
        if started[state]:
            record_event(session, now, WARNING, group, f"{change}: {_join(started[state])}", "antenna")
    if returned:
        record_event(session, now, INFO, group, f"antennas returned: {_join(returned)}", "antenna")


_STARTED = {
    AntennaState.DEAD: "antennas died",
    AntennaState.CROSSED: "antennas with X and Y exchanged",
    AntennaState.UNSOLVED: "antennas without a solution",
}


def _read_newest_tiles(session: Session) -> Mapping[str, Sequence[list[Any]]]:
    """The rows of each antenna in its newest tiles, at most `TILES`, the newest first."""
    row = tables.AntennaHistory
    is_live_tile = (row.processing == LIVE, row.set_name.is_(None))
    times: list[float] = []
    while len(times) < _LOOK_BACK and (mjd := _newest_mjd(session, times[-1] if times else inf)) is not None:
        times.append(mjd)
    query = select(row).where(*is_live_tile, row.mjd.in_(times)).order_by(row.mjd.desc(), row.polarisation)
    by_antenna: dict[str, dict[float, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for measured in session.scalars(query):
        by_antenna[measured.antenna][measured.mjd].append(measured)
    return {antenna: list(tiles.values())[:TILES] for antenna, tiles in by_antenna.items()}


def _newest_mjd(session: Session, before_mjd: float = inf) -> float | None:
    """The middle of the newest live tile before a time; one step in the index, unlike the maximum of a filtered set."""
    row = tables.AntennaHistory
    query = select(row.mjd).where(row.processing == LIVE, row.set_name.is_(None)).order_by(row.mjd.desc()).limit(1)
    return session.scalar(query if before_mjd == inf else query.where(row.mjd < before_mjd))


def _of_tiles(since_mjd: float, until_mjd: float) -> tuple[Any, ...]:
    row = tables.AntennaHistory
    return row.mjd >= since_mjd, row.mjd < until_mjd, row.processing == LIVE, row.set_name.is_(None)


def _best_state(rows: Iterable[Any]) -> AntennaState:
    """The state of an antenna: that of its better polarisation."""
    return min((AntennaState(row.state) for row in rows), key=SEVERITY.__getitem__)


def _summarise(rows: Sequence[Any], out_since_mjd: float | None) -> AntennaSummary:
    return AntennaSummary(
        antenna=rows[0].antenna, state=_best_state(rows),
        reason=next((row.reason for row in rows if row.reason), None),
        flagged_fraction=sum(row.flagged_fraction for row in rows) / len(rows), mjd=rows[0].mjd,
        polarisations={row.polarisation: row.state for row in rows}, out_since_mjd=out_since_mjd,
    )  # fmt: skip


def _join(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return ", ".join(texts[:_NAMED]) + more


def _time(mjd: float) -> str:
    return format_utc(mjd_to_unix(mjd), "%Y-%m-%d %H:%M UTC")
