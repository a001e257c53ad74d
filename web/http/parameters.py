"""Parameters and bodies of requests: of lists, tables, charts and commands."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from contimg.errors import BadInput
from contimg.files.names import check_name
from contimg.store import GroupOrder, GroupRecord, Stage, State, StoredImage
from contimg.units import parse_time_span

Verdict = Literal["good", "suspect", "bad"]
MAX_ID = 2**63 - 1


def _parse_key(text: object) -> object:
    """Split the key of a row, `value~id`; pydantic checks the parts."""
    return tuple(str(text).split("~", 1))


def _check_time(text: str) -> str:
    parse_time_span(text)
    return text


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text


def _check_set_name(text: str) -> str:
    try:
        return check_name(text, "name") if text else text
    except BadInput as error:
        raise ValueError(str(error)) from None


FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
GroupKey = Annotated[tuple[FiniteFloat, Annotated[str, Field(max_length=40)]] | None, BeforeValidator(_parse_key)]
ImageKey = Annotated[tuple[FiniteFloat, Annotated[int, Field(ge=0, le=MAX_ID)]] | None, BeforeValidator(_parse_key)]


class Parameters(BaseModel):
    """Base of all: unknown parameters are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OptionalBody(Parameters):
    """A body that may be left out."""

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, value: Any) -> Any:
        return {} if value is None else value


class Listing(Parameters):
    """Parameters of a list: the maximum number of entries."""

    limit: int = Field(20, ge=1, le=500)


class GroupListing(Listing):
    """Parameters of the list of groups."""

    state: State | None = None


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
        return f"{value!r}~{group.id}"


class ImageListing(Listing):
    """Parameters of the list of images: those observed before a time, MJD days."""

    before_mjd: float | None = Field(None, allow_inf_nan=False)


class ImageWall(Listing):
    """Parameters of a page of thumbnails; `before`: the key of the last image of the page before, `mjd~id`."""

    limit: int = Field(48, ge=1, le=200)
    verdict: Verdict | None = None
    before: ImageKey = None

    @staticmethod
    def key_of(image: StoredImage) -> str:
        """Return the key of an image.

        Parameters
        ----------
        image : one of a page.

        Returns
        -------
        `mjd~id`: time of observation, MJD days, and the image's id.
        """
        return f"{image.mjd:.12f}~{image.id}"


class LogListing(Parameters):
    """Parameters of the list of log lines: process, lowest level, group, stage, host, and a text that they hold."""

    process: str = Field("", pattern=r"^[a-z_-]{0,32}$")
    level: Literal["", "DEBUG", "INFO", "WARNING", "ERROR"] = ""
    group: str = Field("", max_length=32)
    stage: Stage | None = None
    task: str = Field("", max_length=64)
    host: str = Field("", max_length=64)
    text: str = Field("", max_length=200)
    limit: int = Field(200, ge=1, le=2000)


class AlertListing(Listing):
    """Parameters of the list of alerts: the id that they come before."""

    limit: int = Field(50, ge=1, le=500)
    before: int | None = Field(None, ge=0, le=MAX_ID)


class EventListing(AlertListing):
    """Parameters of the list of events: level, group, and the id that they come before."""

    limit: int = Field(100, ge=1, le=500)
    level: Literal["info", "warning", "error"] | None = None
    group: str | None = Field(None, max_length=32)


class TimeSpan(Parameters):
    """A span of a chart, epoch seconds, and its number of steps."""

    since: float = Field(ge=0, le=4e10, allow_inf_nan=False)
    until: float = Field(ge=0, le=4e10, allow_inf_nan=False)
    points: int = Field(300, ge=2, le=1000)

    @model_validator(mode="after")
    def _is_later(self) -> Self:
        if self.until <= self.since:
            raise ValueError("until must be later than since")
        return self


class RetryRequest(OptionalBody):
    """The first stage to run; without it, the one at which the group stopped."""

    stage: Stage | None = None


class RetireRequest(OptionalBody):
    """Why a caltable set is retired."""

    reason: Annotated[str, Field(max_length=200), AfterValidator(_check_printable)] = ""


PrintableText = Annotated[str, Field(max_length=200), AfterValidator(_check_printable)]


class AcknowledgeRequest(OptionalBody):
    """A note for other operators."""

    note: PrintableText = Field(
        "", description="What is known or done, for other operators", examples=["array rebuilds"]
    )


class SilenceRequest(Parameters):
    """How long a rule is silenced, and why."""

    until: str = Field(max_length=40, description="End: a time (UTC) or a duration", examples=["8h"])
    reason: PrintableText = Field(min_length=1, description="Why, for other operators", examples=["power cut"])


class MaintenanceRequest(SilenceRequest):
    """A maintenance window: its end, its beginning (by default now), and why."""

    since: str = Field("", max_length=40, description="Beginning: a time (UTC) or a duration from now; empty: now",
                       examples=["2026-02-22T22:00:00Z"])  # fmt: skip


class ImportRequest(Parameters):
    """Paths of tables on the pipeline's machine, a name for the set, and whether a set of that name is replaced."""

    tables: tuple[Annotated[str, AfterValidator(_check_printable)], ...] = Field(min_length=1, max_length=8)
    name: Annotated[str, AfterValidator(_check_set_name)] = ""
    replace: bool = False


class SkyView(Parameters):
    """Which tiles are drawn on the sky, and how: the strip that was observed, or all that can be."""

    days: int = Field(1, ge=1, le=3650)
    view: Literal["strip", "all"] = "strip"
