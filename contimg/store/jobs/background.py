"""When jobs of campaigns may run: only while no job of the stream waits or runs, and while the campaign is running."""

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from contimg.store import tables
from contimg.store.jobs.kinds import LIVE_PRIORITY, State

RUNNING, PAUSED, CANCELLED, COMPLETED, PROMOTED, DROPPING = (
    "running", "paused", "cancelled", "completed", "promoted", "dropping",
)  # fmt: skip
"""States of a campaign. A running campaign whose jobs are all done is shown as completed."""


def has_live_work(session: Session, now: float) -> bool:
    """Return whether a job of the stream is in progress, or ready for a worker.

    A job that waits after an error is not; nor is a tile that collects its files.

    Parameters
    ----------
    session : of the caller's transaction.
    now : epoch seconds.
    """
    job = tables.Job
    is_live = job.priority <= LIVE_PRIORITY  # jobs of the archive have the priority of campaigns
    is_due = (job.state == State.PENDING) & or_(job.not_before.is_(None), job.not_before <= now)
    # One condition for each: SQLite then reads its index of state, time of sending and priority.
    conditions: tuple[ColumnElement[bool], ...] = (
        (job.state == State.IN_PROGRESS) & is_live,
        is_due & job.enqueued_at.is_(None) & is_live,
        is_due & (job.enqueued_at >= 0) & is_live,
    )
    return any(session.scalar(select(job.id).where(condition).limit(1)) is not None for condition in conditions)


def is_held() -> ColumnElement[bool]:
    """The condition of jobs whose campaign is not running."""
    campaign = tables.Campaign
    return tables.Job.processing.in_(select(campaign.name).where(campaign.state != RUNNING))


def refuse_campaign(session: Session, job: tables.Job, now: float) -> str | None:
    """Return why a job of a campaign cannot run now; None when it can.

    Parameters
    ----------
    session : of the caller's transaction.
    job : of a campaign.
    now : epoch seconds.
    """
    campaign = session.scalar(select(tables.Campaign).where(tables.Campaign.name == job.processing))
    if campaign is not None and campaign.state != RUNNING:
        return f"the campaign is {campaign.state}"
    return "the stream has work, which goes first" if has_live_work(session, now) else None
