"""What the store hands out and takes in: frozen dataclasses and the words of the state machine, never ORM rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import EnumType, StrEnum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from contimg.formats.uvh5.grouping import SubbandName

Record = TypeVar("Record")


class State(StrEnum):
    """Where a group stands."""

    COLLECTING = "collecting"
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    DISCARDED = "discarded"


class Stage(StrEnum):
    """The stages in the order in which a group passes them."""

    CONVERT = "convert"
    CALIBRATE = "calibrate"
    IMAGE = "image"

    @property
    def following(self) -> "Stage | None":
        """The stage after this one; None after the last."""
        order = list(Stage)
        place = order.index(self) + 1
        return order[place] if place < len(order) else None

    def precedes(self, other: "Stage") -> bool:
        """Whether this stage runs before `other`."""
        order = list(Stage)
        return order.index(self) < order.index(other)


class FileState(StrEnum):
    """What a subband file is to its group: part of it, come too late for it, or set aside with a reason."""

    PRESENT = "present"
    LATE = "late"
    SET_ASIDE = "set_aside"


class Outcome(StrEnum):
    """How one attempt at a stage ended."""

    COMMITTED = "committed"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    RELEASED = "released"
    EXPIRED = "expired"
    BAD_FILE = "bad_file"


class Refusal(StrEnum):
    """Why a claim was refused. Only DONE lets a chain go on; after the others the task ends quietly."""

    UNKNOWN = "unknown group"
    PAUSED = "paused"
    NOT_READY = "not ready"
    LEASED = "leased elsewhere"
    WAITING = "waiting to be tried again"
    DONE = "already done"
    ENDED = "failed or discarded"


@dataclass(frozen=True)
class Refused:
    """A claim that was not granted: why, in words, and from when another try makes sense (epoch seconds)."""

    reason: Refusal
    detail: str
    retry_at: float | None = None


@dataclass(frozen=True)
class Lease:
    """The right to run one stage of one group until `expires_at` (epoch seconds, moved on by heartbeats).

    Attributes
    ----------
    token, fence : the two that a commit is checked against.
    attempt : 1 for the first try of this stage.
    partial : the group lacks subbands and goes on without them.
    files : subband number to path, for the convert stage (empty for the others).
    """

    group: str
    stage: Stage
    owner: str
    token: str
    fence: int
    attempt: int
    expires_at: float
    run_id: int
    partial: bool = False
    files: Mapping[int, Path] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class RunFigures:
    """What one run of a stage cost. Anything not known stays None."""

    seconds: float | None = None
    peak_rss_bytes: int | None = None
    bytes_read: int | None = None
    bytes_written: int | None = None


@dataclass(frozen=True)
class FileRecord:
    """A row of subband_files."""

    path: Path
    group: str | None
    subband: int | None
    state: FileState
    reason: str | None
    size: int
    mtime: float
    arrived_at: float


@dataclass(frozen=True)
class FoundFile:
    """A finished file as it lies on disk: size in bytes, mtime in epoch seconds, and what its name says."""

    path: Path
    size: int
    mtime: float
    name: SubbandName


@dataclass(frozen=True)
class Arrival:
    """What became of a file that was registered.

    `known`: it was in the store already, unchanged. `became_pending`: this file made its group ready, so the
    dispatcher has a group to send.
    """

    file: FileRecord
    known: bool
    became_pending: bool


@dataclass(frozen=True)
class GroupRecord:
    """A row of groups, with its subbands present."""

    id: str
    reference_s: float
    state: State
    stage: Stage
    partial: bool
    attempts: int
    lease_owner: str | None
    lease_expires_at: float | None
    not_before: float | None
    enqueued_at: float | None
    collecting_since: float
    error: str | None
    created_at: float
    updated_at: float
    completed_at: float | None
    subbands: tuple[int, ...] = ()


@dataclass(frozen=True)
class StageRunRecord:
    """A row of stage_runs."""

    id: int
    group: str
    stage: Stage
    attempt: int
    owner: str
    task_id: str | None
    started_at: float
    ended_at: float | None
    outcome: Outcome | None
    error: str | None
    error_class: str | None
    seconds: float | None
    peak_rss_bytes: int | None
    bytes_read: int | None
    bytes_written: int | None


@dataclass(frozen=True)
class WaitingWork:
    """A group that has work, no live lease, and was last enqueued long ago or never."""

    group: str
    stage: Stage
    attempts: int
    enqueued_at: float | None


@dataclass(frozen=True)
class Unsent:
    """A pending group that no message stands for, and when its tile was taken (epoch seconds)."""

    group: str
    stage: Stage
    reference_s: float


@dataclass(frozen=True)
class EventRecord:
    """A row of events; `at` is epoch seconds."""

    id: int
    at: float
    level: str
    group: str | None
    text: str


def record_of(cls: type[Record], row: Any, **more: Any) -> Record:
    """Make a record from the like-named columns of an ORM row.

    Parameters
    ----------
    cls : a dataclass; text becomes the path or the enum of a field's type, and `group` is the row's `group_id`.
    row : a row of the table that holds the record.
    more : fields that no column holds, or that replace one.
    """
    values = dict(more)
    for name, convert in _converters(cls).items():  # type: ignore[arg-type]  # a class is hashable
        column = "group_id" if name == "group" else name
        if name not in more and hasattr(row, column):
            value = getattr(row, column)
            values[name] = convert(value) if convert and value is not None else value
    return cls(**values)


@cache
def _converters(cls: type) -> Mapping[str, Callable[[Any], Any] | None]:
    """What a column's value is converted with, by the name of the dataclass's field; None leaves it as it is."""
    return {name: _converter(hint) for name, hint in get_type_hints(cls).items()}


def _converter(hint: Any) -> Callable[[Any], Any] | None:
    if get_origin(hint) is tuple:
        return tuple
    kinds = (kind for kind in get_args(hint) or (hint,) if kind is Path or isinstance(kind, EnumType))
    return next(kinds, None)
