"""Bodies of the commands that take one."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from contimg.common.errors import BadInput
from contimg.common.files.names import check_name
from contimg.formats.records import about
from contimg.store import Stage
from web.http.parameters import Parameters


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text


def _check_set_name(text: str) -> str:
    try:
        return check_name(text, "name") if text else text
    except BadInput as error:
        raise ValueError(str(error)) from None


PrintableText = Annotated[str, Field(max_length=200), AfterValidator(_check_printable)]


class OptionalBody(Parameters):
    """A body that may be left out."""

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, value: Any) -> Any:
        return {} if value is None else value


class ForceRequest(OptionalBody):
    """Whether too few subbands are accepted."""

    force: Annotated[bool, about("Retry also with fewer subbands than CONTIMG_MIN_SUBBANDS", example=False)] = False


class RetryRequest(ForceRequest):
    """The first stage to run; without it, the one at which the group stopped."""

    stage: Annotated[Stage | None, about("First stage to run; null: where the group stopped", example="image")] = None


class RetireRequest(OptionalBody):
    """Why a caltable set is retired."""

    reason: Annotated[
        PrintableText, about("Why the set is retired; it is stored with the set", example="wrong flux scale")
    ] = ""


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
    """Caltables that were solved elsewhere."""

    tables: Annotated[
        tuple[Annotated[str, AfterValidator(_check_printable)], ...],
        about("Paths of the caltables on the pipeline's machine, below output_dir or scratch_dir",
              example=["/data/products/imported/3C48.bcal"]),
    ] = Field(min_length=1, max_length=8)  # fmt: skip
    name: Annotated[
        str, AfterValidator(_check_set_name), about("Name of the set; empty: made from the tables", example="3C48_a")
    ] = ""
    replace: Annotated[bool, about("Whether a set of that name is replaced", example=False)] = False
