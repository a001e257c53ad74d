"""The kinds of jobs and their stages in order; how a stage is executed is declared in `workers.execution.stages`."""

from dataclasses import dataclass
from enum import StrEnum

LIVE = "live"  # the processing of the stream; any other is a campaign's name
LIVE_PRIORITY, CAMPAIGN_PRIORITY = 6, 9  # as in the broker, the lower number goes first


class State(StrEnum):
    """State of a job; `collecting` while it waits for the files of its group, or the tiles of its epoch."""

    COLLECTING = "collecting"
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    DISCARDED = "discarded"


class Stage(StrEnum):
    """The stages of all kinds of jobs; each belongs to one kind."""

    CONVERT = "convert"
    CALIBRATE = "calibrate"
    IMAGE = "image"
    MOSAIC = "mosaic"
    MEASURE = "measure"
    COPY = "copy"
    VERIFY = "verify"

    @property
    def kind(self) -> "JobKind":
        """The kind of job that this stage is a step of."""
        return next(kind for kind in KINDS.values() if self in kind.stages)

    @property
    def queue(self) -> "Stage":
        """The stage whose queue carries its messages: the workers of images run the stages of epochs.

        A deployment that has one worker for each stage of a tile so needs no further service.
        """
        return self if self in TILE.stages else Stage.IMAGE

    @property
    def remaining(self) -> "tuple[Stage, ...]":
        """This stage and those after it."""
        stages = self.kind.stages
        return stages[stages.index(self) :]

    @property
    def following(self) -> "Stage | None":
        """The stage after this one; None after the last."""
        return next(iter(self.remaining[1:]), None)

    def precedes(self, stage: "Stage") -> bool:
        """Tell whether this stage runs before another in a job.

        Parameters
        ----------
        stage : the other stage.
        """
        return stage in self.remaining[1:]


@dataclass(frozen=True)
class JobKind:
    """A kind of job.

    Attributes
    ----------
    name : value of the column `jobs.kind`.
    noun : word for a job's key in messages.
    beginning : what a job is made for, in messages.
    stages : the stages in the order in which they run.
    is_sent : whether the broker carries messages of its stages; if not, housekeeping runs them in a process of its own.
    """

    name: str
    noun: str
    beginning: str
    stages: tuple[Stage, ...]
    is_sent: bool = True


TILE = JobKind("tile", "group", "first file", (Stage.CONVERT, Stage.CALIBRATE, Stage.IMAGE))
EPOCH = JobKind("epoch", "epoch", "first tile image", (Stage.MOSAIC, Stage.MEASURE))
ARCHIVE = JobKind("archive", "archive", "first file", (Stage.COPY, Stage.VERIFY), is_sent=False)
KINDS = {kind.name: kind for kind in (TILE, EPOCH, ARCHIVE)}
QUEUES = tuple(dict.fromkeys(stage.queue for stage in Stage))
"""The queues of the broker, each named after a stage."""


def job_label(kind: str, key: str, processing: str) -> str:
    """Name a job in a message, for example `group 2026-02-22T23:17:51`.

    Parameters
    ----------
    kind : name of the kind of job.
    key : what the job works on; the id of the group for a tile.
    processing : `live`, or the name of a campaign, which is added in brackets.
    """
    suffix = "" if processing == LIVE else f" ({processing})"
    return f"{KINDS[kind].noun} {key}{suffix}"
