"""Parameters of requests: of lists, tables, charts and cut-outs."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)  # fmt: skip

from contimg.common.errors import BadInput
from contimg.common.units import parse_time_span
from contimg.formats.records import NO_UNIT, TIME_EXAMPLE, TIME_UNIT, about, page_key
from contimg.instrument.time import unix_to_mjd
from contimg.store import LIVE, GroupFilter, GroupOrder, GroupRecord, ImageFilter, Stage, State

Verdict = Literal["good", "suspect", "bad"]
MAX_ID = 2**63 - 1


def _parse_time(value: object) -> object:
    """Convert a time, or the beginning of one, to epoch seconds; a number is epoch seconds already."""
    text = str(value).strip()
    if re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", text) and not re.fullmatch(r"\d{4}", text):
        return text
    try:
        return parse_time_span(text)[0] if text else None
    except ValueError:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _parse_key(text: object) -> object:
    """Split the key of a row, `value~id`; pydantic checks the parts."""
    return tuple(str(text).split("~", 1))


def _check_time(text: str) -> str:
    parse_time_span(text)
    return text


FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
_TEXT_SCHEMA = WithJsonSchema({"type": "string"})
Time = Annotated[
    Annotated[float, Field(ge=0, le=4e10, allow_inf_nan=False)] | None, BeforeValidator(_parse_time), _TEXT_SCHEMA
]
_Since = Annotated[
    Time, about("Not earlier than this time, or than the beginning of this day", TIME_UNIT, TIME_EXAMPLE)
]
_Until = Annotated[Time, about("Earlier than this time", TIME_UNIT, "2026-02-23")]
_Degrees = Annotated[FiniteFloat | None, Field(ge=-90, le=360)]
GroupKey = Annotated[
    tuple[FiniteFloat, Annotated[str, Field(max_length=40)]] | None, BeforeValidator(_parse_key), _TEXT_SCHEMA
]
ImageKey = Annotated[
    tuple[FiniteFloat, Annotated[int, Field(ge=0, le=MAX_ID)]] | None, BeforeValidator(_parse_key), _TEXT_SCHEMA
]


Night = Annotated[str, Field(pattern=r"^(\d{4}-\d\d-\d\d)?$"), AfterValidator(_check_time)]


class Parameters(BaseModel):
    """Base of all: unknown parameters are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Limit = Annotated[int, about("Maximum number of entries", "entries", 20)]
_CURSOR = "Where the page begins: `next` of the page before; without it at the first entry"


class Listing(Parameters):
    """Parameters of a list: the maximum number of entries."""

    limit: Limit = Field(20, ge=1, le=500)


class NumberedListing(Listing):
    """Parameters of a page of entries that are ordered by a number."""

    cursor: Annotated[int | None, Field(ge=0, le=MAX_ID), about(_CURSOR, NO_UNIT, 17)] = None


class SetListing(Listing):
    """Parameters of a page of caltable sets."""

    cursor: Annotated[GroupKey, about(_CURSOR, example="61093.067894~2026-02-22T01:35:20")] = None


class ObservedSpan(Parameters):
    """Parameters of a span of observation; without them the seven days until the newest tile."""

    since: _Since = None
    until: _Until = None


class GroupListing(Listing):
    """Parameters of a page of groups."""

    state: Annotated[State | None, about("State of the group", example="failed")] = None
    since: _Since = None
    until: _Until = None
    has_calibrator: Annotated[
        bool | None, about("Only groups with (true) or without (false) a calibrator in the beam", example=True)
    ] = None
    incomplete: Annotated[
        bool | None, about("Only groups that lack subbands (true), or that are complete (false)", example=True)
    ] = None
    cursor: Annotated[GroupKey, about(_CURSOR, example="1771729445.0~2026-02-22T03:04:05")] = None

    def conditions(self) -> GroupFilter:
        """Return the conditions on groups; `has_calibrator` is none of them."""
        return GroupFilter(
            state=self.state, since_s=self.since, until_s=self.until, incomplete=self.incomplete
        )  # fmt: skip


class GroupTable(Listing):
    """Parameters of a page of the table of groups.

    `observed`: the beginning of a time of observation, as 2026-02 or 2026-02-22T03. `after`: the key of the last row
    of the page before, `value~id`.
    """

    limit: int = Field(50, ge=1, le=500)
    state: State | None = None
    partial: bool = False
    observed: Annotated[str, Field(max_length=19), AfterValidator(_check_time)] = ""
    order: GroupOrder = GroupOrder.OBSERVED
    ascending: bool = False
    after: GroupKey = None

    def parameters(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of the first page after a change of some.

        Parameters
        ----------
        changed : new values by name.

        Returns
        -------
        the parameters of the address; those that have their default value are left out unless they are changed.
        """
        return {**self.model_dump(mode="json", exclude_defaults=True, exclude={"after"}), **changed}

    def key_of(self, group: GroupRecord) -> str:
        """Return the key of a row in this order.

        Parameters
        ----------
        group : the row.

        Returns
        -------
        `value~id`: the time by which the table is ordered, epoch seconds, and the group's id.
        """
        value = group.reference_s if self.order == GroupOrder.OBSERVED else group.updated_at
        return page_key(value, group.id)


class ImageListing(Listing):
    """Parameters of a page of images; those of a circle on the sky are given together."""

    since: _Since = None
    until: _Until = None
    grade: Annotated[Verdict | None, about("QA grade", example="good")] = None
    calibrated: Annotated[bool | None, about("Whether a caltable set was applied", example=True)] = None
    ra: Annotated[_Degrees, about("Right ascension of the centre of a circle on the sky, ICRS", "deg", 24.42)] = None
    dec: Annotated[_Degrees, about("Declination of the centre of the circle, ICRS", "deg", 33.16)] = None
    radius: Annotated[_Degrees, about("Radius of the circle, which holds the centres of the images", "deg", 1.5)] = None
    processing: Annotated[str, about("`live`, or the name of a campaign", example="live")] = Field(LIVE, max_length=64)
    cursor: Annotated[ImageKey, about(_CURSOR, example="61093.129624~12")] = None
    before_mjd: Annotated[
        FiniteFloat | None, about("As `cursor`, for earlier clients: only images observed before", "d", 61093.129624)
    ] = None

    def conditions(self) -> ImageFilter:
        """Return the conditions on images.

        Raises
        ------
        BadInput : a part of the circle is missing, or outside its range.
        """
        return ImageFilter(
            since_mjd=None if self.since is None else unix_to_mjd(self.since),
            until_mjd=None if self.until is None else unix_to_mjd(self.until),
            grade=self.grade, calibrated=self.calibrated, ra_deg=self.ra, dec_deg=self.dec, radius_deg=self.radius,
            processing=self.processing,
        )  # fmt: skip

    @property
    def key(self) -> tuple[float, int] | None:
        """Key of the last image of the page before, MJD and id; None for the first page."""
        return self.cursor if self.before_mjd is None else (self.before_mjd, 0)

    @model_validator(mode="after")
    def _has_whole_circle(self) -> Self:
        try:
            self.conditions()
        except BadInput as error:
            raise ValueError(str(error)) from None
        return self


class CutoutQuery(Parameters):
    """The part of an image that is cut out."""

    ra: Annotated[FiniteFloat, about("Right ascension of the centre, ICRS", "deg", 24.42)] = Field(ge=0, le=360)
    dec: Annotated[FiniteFloat, about("Declination of the centre, ICRS", "deg", 33.16)] = Field(ge=-90, le=90)
    size: Annotated[FiniteFloat, about("Length of the sides", "deg", 0.25)] = Field(0.25, gt=0, le=10)
    pbcor: Annotated[bool, about("Whether the image over the primary beam is cut", example=False)] = False


LogKey = Annotated[
    tuple[Annotated[str, Field(max_length=40)], Annotated[int, Field(ge=1, le=MAX_ID)]] | None,
    BeforeValidator(_parse_key), _TEXT_SCHEMA,
]  # fmt: skip


class LogListing(Parameters):
    """Parameters of a page of log lines; an empty one selects every line."""

    process: Annotated[str, about("Process that wrote the line", example="producer")] = Field(
        "", pattern=r"^[a-z_-]{0,32}$"
    )
    level: Annotated[Literal["", "DEBUG", "INFO", "WARNING", "ERROR"], about("Lowest level", example="WARNING")] = ""
    group: Annotated[str, about("Id of the group that it concerns", example="2026-02-22T03:04:05")] = Field(
        "", max_length=32
    )
    stage: Annotated[Stage | None, about("Stage that it concerns", example="image")] = None
    task: Annotated[str, about("Id of the Celery task", example="5c1f0f3e-6f4a-4d5e-8a3f-1b2c3d4e5f60")] = Field(
        "", max_length=64
    )
    host: Annotated[str, about("Host of the process", example="lxd110h03")] = Field("", max_length=64)
    text: Annotated[str, about("Text that the message holds, in any case", example="lease")] = Field("", max_length=200)
    limit: Limit = Field(200, ge=1, le=2000)
    cursor: Annotated[LogKey, about(_CURSOR, example="2026-02-22T03:04:05.123Z~2")] = None


_Before = Annotated[int | None, about("As `cursor`, for earlier clients", NO_UNIT, 17)]


class AlertListing(NumberedListing):
    """Parameters of a page of alerts."""

    limit: Limit = Field(50, ge=1, le=500)
    before: _Before = Field(None, ge=0, le=MAX_ID)

    @property
    def key(self) -> int | None:
        """Id of the last entry of the page before; None for the first page."""
        return self.before if self.cursor is None else self.cursor


class EventListing(AlertListing):
    """Parameters of a page of events."""

    limit: Limit = Field(100, ge=1, le=500)
    level: Annotated[Literal["info", "warning", "error"] | None, about("Level", example="warning")] = None
    group: Annotated[str | None, about("Id of the group that it concerns", example="2026-02-22T03:04:05")] = Field(
        None, max_length=32
    )


class TimeSpan(Parameters):
    """The span of a chart and its number of steps."""

    since: Annotated[Time, about("Beginning of the span", TIME_UNIT, TIME_EXAMPLE)]
    until: Annotated[Time, about("End of the span", TIME_UNIT, "2026-02-23T03:04:05Z")]
    points: Annotated[int, about("Number of steps", "steps", 300)] = Field(300, ge=2, le=1000)

    @property
    def limits_s(self) -> tuple[float, float]:
        """Beginning and end, epoch seconds."""
        return self.since or 0.0, self.until or 0.0

    @model_validator(mode="after")
    def _is_later(self) -> Self:
        since_s, until_s = self.limits_s
        if until_s <= since_s:
            raise ValueError("until must be later than since")
        return self
