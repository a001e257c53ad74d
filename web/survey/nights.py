"""`/api/nights`: what became of each night, and notes of observers."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from contimg.common.errors import BadInput
from contimg.formats.records import about
from contimg.instrument.time import DAY_S
from contimg.store.survey.nights.nights import MAX_NOTE_LENGTH, day_limits
from contimg.store.survey.nights.records import Night, NightNote, NightSummary
from web.access.user import current_user
from web.context import current_panel
from web.http.api import NOT_FOUND, Api
from web.http.errors import RequestError
from web.http.parameters import Parameters, Time

nights = Api("nights", "/api/nights")
DEFAULT_DAYS, MAX_DAYS = 30, 3660


class NightPath(BaseModel):
    """A night in a path."""

    day: Annotated[str, about("The UTC day", example="2026-02-22")] = Field(max_length=40)


class NightSpan(Parameters):
    """Parameters of a list of nights."""

    since: Annotated[Time, about("First day; without it 30 days before the last", "ISO 8601, UTC", "2026-02-01")] = None
    until: Annotated[
        Time, about("Day after the last one; without it the day after the newest tile", "ISO 8601, UTC", "2026-03-01")
    ] = None


class NoteRequest(Parameters):
    """A note on a night."""

    text: Annotated[str, about("The note", example="wind above 15 m/s from 04:00")] = Field(
        min_length=1, max_length=MAX_NOTE_LENGTH
    )


@dataclass(frozen=True)
class NightList:
    """Nights in order."""

    nights: Annotated[tuple[NightSummary, ...], about("Every night of the span in order, those without tiles too")]


@nights.read("", NightList)
def read(query: NightSpan) -> NightList:
    """Every night of a span in numbers.

    A night is a UTC day; a tile belongs to the day of its group's time of observation.
    """
    store = current_panel().store
    until_s = query.until
    if until_s is None:
        day = store.nights.newest_day()
        until_s = store.database.clock() if day is None else day_limits(day)[1]
    until_s = -(-until_s // DAY_S) * DAY_S
    since_s = until_s - DEFAULT_DAYS * DAY_S if query.since is None else query.since // DAY_S * DAY_S
    if not 0 < until_s - since_s <= MAX_DAYS * DAY_S:
        raise RequestError(400, f"the span must have 1 to {MAX_DAYS} days", "give since and until, as 2026-02-22")
    return NightList(store.nights.summaries(since_s, until_s))


@nights.read("/<day>", Night, NOT_FOUND)
def read_night(path: NightPath) -> Night:
    """What became of a night: tiles, calibration, images, epochs, antennas, interference, latency, alerts, notes.

    The numbers are those of the store now, which may differ from the report where tiles were processed later.
    """
    return find_night(path.day)


@nights.command("/<day>/notes", NightNote, NOT_FOUND, NoteRequest)
def add(path: NightPath, body: NoteRequest) -> NightNote:
    """Add a note of an observer to a night.

    It has the name of who is signed in.
    """
    return add_note(path.day, body.text)


def find_night(day: str) -> Night:
    """Return a night; raises RequestError, 404, for what is no day.

    Parameters
    ----------
    day : as 2026-02-22.
    """
    _check_day(day)
    return current_panel().store.nights.night(day)


def add_note(day: str, text: str) -> NightNote:
    """Add a note to a night under the name of the user; raises RequestError, 404, for what is no day, 400 for no text.

    Parameters
    ----------
    day : as 2026-02-22.
    text : the note.
    """
    _check_day(day)
    try:
        return current_panel().store.nights.add_note(day, text, current_user().label)
    except BadInput as error:
        raise RequestError(400, str(error), "write some words") from None


def _check_day(day: str) -> None:
    try:
        day_limits(day)
    except BadInput as error:
        raise RequestError(404, str(error), "GET /api/nights lists the nights") from None
