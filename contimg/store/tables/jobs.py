"""Tables of the queue: groups, their files, jobs and the runs of stages."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from contimg.store.jobs.kinds import job_label
from contimg.store.tables.columns import Base, Numbered, PrintablePath, PrintableText, partial_index, partial_unique


class Group(Base):
    """The subband files of one tile. Its id is its reference time, `YYYY-MM-DDTHH:MM:SS`.

    `echo` marks a group that began with a duplicate: the groups around it already had that subband.
    """

    __tablename__ = "groups"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    reference_s: Mapped[float] = mapped_column(index=True)
    echo: Mapped[bool] = mapped_column(default=False)
    partial: Mapped[bool] = mapped_column(default=False)
    collecting_since: Mapped[float]
    created_at: Mapped[float]

    __table_args__ = (
        Index("ix_groups_created_at", "created_at"),
        Index("ix_groups_partial_reference", "partial", "reference_s"),
    )


class Job(Numbered):
    """A unit of queued work: the stages of one kind for one key (for a tile the id of its group) in one processing.

    `stage` is the next stage to run; `attempts` counts claims of that stage; `fence` grows with every claim, so that
    a worker that was suspended and resumed holds an old one and is refused. `reference_s` is the time of observation.
    """

    __tablename__ = "jobs"

    kind: Mapped[str] = mapped_column(String(16))
    key: Mapped[str] = mapped_column(String(32))
    processing: Mapped[str] = mapped_column(String(64))
    priority: Mapped[int]
    reference_s: Mapped[float]
    state: Mapped[str] = mapped_column(String(16))
    stage: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    lease_token: Mapped[str | None] = mapped_column(String(32))
    lease_expires_at: Mapped[float | None]
    not_before: Mapped[float | None]
    enqueued_at: Mapped[float | None]
    error: Mapped[str | None] = mapped_column(PrintableText)
    created_at: Mapped[float]
    updated_at: Mapped[float]
    completed_at: Mapped[float | None]

    __table_args__ = (
        Index("uq_jobs_key", "kind", "key", "processing", unique=True),
        Index("ix_jobs_reference_s", "reference_s", "key"),
        Index("ix_jobs_state_reference", "state", "reference_s", "key"),
        # The next jobs to send, and the number of those sent, without reading those that wait.
        Index("ix_jobs_state_enqueued", "state", "enqueued_at", "priority", "reference_s"),
        Index("ix_jobs_state_not_before", "state", "not_before"),
        Index("ix_jobs_completed_at", "completed_at"),
        Index("ix_jobs_updated_at", "updated_at", "key"),
        Index("ix_jobs_state_updated", "state", "updated_at"),
        # The jobs of a campaign, among many more of the stream.
        partial_index("ix_jobs_campaign", "processing <> 'live'", "processing", "kind", "state"),
    )

    @property
    def label(self) -> str:
        """The job in a message."""
        return job_label(self.kind, self.key, self.processing)


class SubbandFileRow(Numbered):
    """A file of the incoming directory: in its group, late for it, or quarantined with a reason."""

    __tablename__ = "subband_files"

    path: Mapped[str] = mapped_column(PrintablePath, unique=True)
    group_id: Mapped[str | None] = mapped_column(ForeignKey("groups.id"), index=True)
    subband: Mapped[int | None]
    time_s: Mapped[float | None]
    size: Mapped[int]
    mtime: Mapped[float]
    arrived_at: Mapped[float]
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(PrintableText)
    discarded_at: Mapped[float | None]

    __table_args__ = (
        Index("ix_subband_files_state_arrived", "state", "arrived_at"),
        # No subband twice in a group.
        partial_unique("uq_subband_in_group", "state <> 'quarantined'", "group_id", "subband"),
    )


class StageRun(Numbered):
    """One attempt at one stage of one job, from claim to outcome."""

    __tablename__ = "stage_runs"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    processing: Mapped[str] = mapped_column(String(64))
    stage: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int]
    fence: Mapped[int]
    owner: Mapped[str] = mapped_column(String(255))
    task_id: Mapped[str | None] = mapped_column(String(64))
    started_at: Mapped[float]
    ended_at: Mapped[float | None] = mapped_column(index=True)
    outcome: Mapped[str | None] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(PrintableText)
    error_class: Mapped[str | None] = mapped_column(String(64))
    seconds: Mapped[float | None]
    core_s: Mapped[float | None]
    peak_rss_bytes: Mapped[int | None]
    bytes_read: Mapped[int | None]
    bytes_written: Mapped[int | None]

    __table_args__ = (
        # Each stage of a job is committed once; a redo first marks the old run as superseded.
        partial_unique("uq_stage_committed", "outcome = 'committed'", "job_id", "stage"),
    )
