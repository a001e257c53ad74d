"""What requests ask for: the parameters of lists, tables and charts, checked before anything is looked up."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from contimg.store import GroupOrder, GroupRecord, Stage, State, StoredImage

Verdict = Literal["good", "suspect", "bad"]
GREATEST_ID = 2**63 - 1


def span_of(text: str) -> tuple[float | None, float | None]:
    """A year, month, day, hour, minute or second as the span that it names, epoch seconds; ValueError for no time."""
    if not text:
        return None, None
    match = re.fullmatch(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d))?)?)?)?)?", text)
    if match is None:
        raise ValueError("must be a time or its beginning: 2026, 2026-02, 2026-02-22, 2026-02-22T03:04")
    parts = [int(one) for one in match.groups() if one]
    year, month = parts[0], parts[1] if len(parts) > 1 else 1
    if not 1970 <= year < 9999:
        raise ValueError("must be a year from 1970 on")
    begin = datetime(*([*parts, 1, 1][: max(3, len(parts))]), tzinfo=UTC)  # type: ignore[misc,arg-type]
    if len(parts) == 1:
        end = begin.replace(year=year + 1)
    elif len(parts) == 2:
        end = begin.replace(year=year + month // 12, month=month % 12 + 1)
    else:
        end = begin + timedelta(seconds=(86400, 3600, 60, 1)[len(parts) - 3])
    return begin.timestamp(), end.timestamp()


class Listing(BaseModel):
    """How much of a list is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(20, ge=1, le=500)


class GroupListing(Listing):
    """Which groups are asked for."""

    state: State | None = None


class GroupTable(Listing):
    """A page of the table of groups.

    `observed`: the beginning of a time of observation, as 2026-02 or 2026-02-22T03. `after`: the key of the row that
    the page follows, `value~id`.
    """

    limit: int = Field(50, ge=1, le=500)
    state: State | None = None
    partial: bool = False
    observed: str = Field("", max_length=19)
    order: GroupOrder = GroupOrder.OBSERVED
    ascending: bool = False
    after: str = Field("", max_length=80)

    @field_validator("observed")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        span_of(value)
        return value

    @field_validator("after")
    @classmethod
    def _is_a_key(cls, value: str) -> str:
        number, mark, _ = value.partition("~")
        if value and (not mark or not math.isfinite(float(number))):
            raise ValueError("must be the key of a row, value~id")
        return value

    @property
    def observed_s(self) -> tuple[float | None, float | None]:
        """The time of observation asked for: from, until, epoch seconds."""
        return span_of(self.observed)

    @property
    def key(self) -> tuple[float, str] | None:
        """The key that the page follows."""
        number, _, identity = self.after.partition("~")
        return (float(number), identity) if self.after else None

    def parameters(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        """The address of the first page that differs in what is `changed`."""
        return {**self.model_dump(mode="json", exclude_defaults=True, exclude={"after"}), **changed}

    def key_of(self, group: GroupRecord) -> str:
        """The key of a row in this order."""
        value = group.reference_s if self.order == GroupOrder.OBSERVED else group.updated_at
        return f"{value!r}~{group.id}"


class ImageListing(Listing):
    """Which images are asked for: those observed before a time, MJD days."""

    before_mjd: float | None = Field(None, allow_inf_nan=False)


class RetryOrder(BaseModel):
    """From which stage on a group is made again; without it, where the group stopped."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: Stage | None = None


class ImageWall(Listing):
    """A page of the wall of images; `before`: the key of the image that the page follows, `mjd~id`."""

    limit: int = Field(48, ge=1, le=200)
    verdict: Verdict | None = None
    before: str = Field("", pattern=r"^(-?[0-9]{1,9}(\.[0-9]{1,20})?~[0-9]{1,18})?$")

    @property
    def key(self) -> tuple[float, int] | None:
        """The key that the page follows."""
        number, _, identity = self.before.partition("~")
        return (float(number), int(identity)) if self.before else None

    @staticmethod
    def key_of(image: StoredImage) -> str:
        """The key of an image."""
        return f"{image.mjd:.12f}~{image.id}"


class LogListing(BaseModel):
    """Which log lines: of a process, from a level on, of a group, stage or host, holding a text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    process: str = Field("", pattern=r"^[a-z_-]{0,32}$")
    level: Literal["", "DEBUG", "INFO", "WARNING", "ERROR"] = ""
    group: str = Field("", max_length=32)
    stage: Stage | None = None
    task: str = Field("", max_length=64)
    host: str = Field("", max_length=64)
    text: str = Field("", max_length=200)
    limit: int = Field(200, ge=1, le=2000)


class EventListing(Listing):
    """Which events: of a level or a group, older than an id."""

    limit: int = Field(100, ge=1, le=500)
    level: Literal["info", "warning", "error"] | None = None
    group: str | None = Field(None, max_length=32)
    before: int | None = Field(None, ge=0, le=GREATEST_ID)


class AlertListing(Listing):
    """Which alerts: older than an id."""

    limit: int = Field(50, ge=1, le=500)
    before: int | None = Field(None, ge=0, le=GREATEST_ID)


class Span(BaseModel):
    """A stretch of time for charts, epoch seconds, and the number of steps in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: float = Field(ge=0, le=4e10, allow_inf_nan=False)
    until: float = Field(ge=0, le=4e10, allow_inf_nan=False)
    points: int = Field(300, ge=2, le=1000)

    @field_validator("until")
    @classmethod
    def _is_later(cls, value: float, info: object) -> float:
        if value <= getattr(info, "data", {}).get("since", value - 1):
            raise ValueError("must be later than since")
        return value


class RetireOrder(BaseModel):
    """Why a calibration set is retired."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str = Field("", max_length=200)


class ImportOrder(BaseModel):
    """Tables to bring in: their paths on the pipeline's machine, and a name for the set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tables: tuple[str, ...] = Field(min_length=1, max_length=8)
    name: str = Field("", pattern=r"^[A-Za-z0-9_.:+-]{0,100}$")

    @field_validator("tables")
    @classmethod
    def _are_printable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(one.isprintable() for one in value):
            raise ValueError("must be paths without control characters")
        return value


class SkyView(BaseModel):
    """Which tiles are drawn on the sky, and how: the strip that was observed, or all that can be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: int = Field(1, ge=1, le=3650)
    view: Literal["strip", "all"] = "strip"
