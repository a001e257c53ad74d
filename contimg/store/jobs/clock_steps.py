"""A clock that was set back: times further ahead than any rule puts them are brought near, or all would wait."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from contimg.settings import QueueRules
from contimg.store import tables as models
from contimg.store.records import State


def bring_near(session: Session, now: float, rules: QueueRules) -> None:
    """Let no lease, wait or collection last longer from now (epoch seconds) than its rule says.

    A lease that is brought near keeps its holder: a live one renews it, a dead one loses it when it ends.
    """
    group = models.Group
    for state, column, most_s in (
        (State.IN_PROGRESS, group.lease_expires_at, rules.lease_s),
        (State.PENDING, group.not_before, rules.retry_delay_max_s),
        (State.PENDING, group.enqueued_at, 0.0),
        (State.COLLECTING, group.collecting_since, 0.0),
    ):
        limit = now + most_s
        session.execute(update(group).where(group.state == state, column > limit).values({column: limit}))
