"""What the queue hands out: frozen records of jobs, leases and stage runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from contimg.store.jobs.kinds import LIVE, TILE, Stage, State, job_label


class Outcome(StrEnum):
    """How one attempt at a stage ended."""

    COMMITTED = "committed"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    RELEASED = "released"
    EXPIRED = "expired"
    BAD_FILE = "bad_file"


class Refusal(StrEnum):
    """Why a claim was refused. After DONE the chain of messages continues; after the others it ends."""

    UNKNOWN = "unknown job"
    PAUSED = "paused"
    NOT_READY = "not ready"
    LEASED = "leased elsewhere"
    WAITING = "waiting to be tried again"
    DONE = "already done"
    ENDED = "failed or discarded"


@dataclass(frozen=True)
class Refused:
    """A claim that was not granted: the reason, its text, and when to try again (epoch seconds)."""

    reason: Refusal
    detail: str
    retry_at: float | None = None


@dataclass(frozen=True)
class Lease:
    """The right to run one stage of one job until `expires_at` (epoch seconds, extended by heartbeats).

    Attributes
    ----------
    key : what the job works on; the id of the group for a tile.
    processing : `live`, or the name of a campaign.
    token, fence : checked at the commit.
    attempt : 1 for the first attempt at this stage.
    partial : the group lacks subbands.
    files : subband number to path, for the convert stage (empty for the others).
    """

    job_id: int
    key: str
    stage: Stage
    owner: str
    token: str
    fence: int
    attempt: int
    expires_at: float
    run_id: int
    kind: str = TILE.name
    processing: str = LIVE
    partial: bool = False
    files: Mapping[int, Path] = field(default_factory=dict, compare=False)

    @property
    def group(self) -> str:
        """The id of the group of a tile's job; the key of another kind."""
        return self.key

    @property
    def label(self) -> str:
        """The job in a message."""
        return job_label(self.kind, self.key, self.processing)


@dataclass(frozen=True)
class RunFigures:
    """The cost of one run of a stage. Anything not known stays None."""

    seconds: float | None = None
    peak_rss_bytes: int | None = None
    bytes_read: int | None = None
    bytes_written: int | None = None


@dataclass(frozen=True)
class JobRecord:
    """A row of jobs. Times are epoch seconds; `reference_s` is the time of observation."""

    id: int
    kind: str
    key: str
    processing: str
    priority: int
    reference_s: float
    state: State
    stage: Stage
    attempts: int
    lease_owner: str | None
    lease_expires_at: float | None
    not_before: float | None
    enqueued_at: float | None
    error: str | None
    created_at: float
    updated_at: float
    completed_at: float | None


@dataclass(frozen=True)
class StageRunRecord:
    """A row of stage_runs; `group` is the key of its job."""

    id: int
    job_id: int
    group: str
    processing: str
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
