"""The reconciler brings the store and the messages together again: whatever got lost, it finds and sends anew.

It re-sends only what the broker's backlog does not explain. A group that waits for a stage has a message in that
stage's queue, or has lost it: as many as there are messages are explained, and no more.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from sqlalchemy.exc import SQLAlchemyError

from contimg.errors import Transient
from contimg.store import Stage, Store, WaitingWork
from workers.recovery import fail_what_the_dead_hold

log = logging.getLogger(__name__)
BEAT = "reconciler.round"
# A message just sent may be on its way between broker and worker, in neither count.
IN_FLIGHT_S = 30.0
_MOST_A_ROUND = 500


class Reconciler:
    """Rounds over the store, one each `interval_s`."""

    def __init__(
        self,
        store: Store,
        send: Callable[[str, Stage], None],
        backlog: Callable[[], Mapping[Stage, int]],
        interval_s: float,
    ) -> None:
        self._store = store
        self._send = send
        self._backlog = backlog
        self._interval_s = interval_s

    def run(self, stop: threading.Event) -> None:
        """Rounds until `stop` is set; a round that fails is said and tried again."""
        while True:
            try:
                self.round()
            except (Transient, SQLAlchemyError) as error:
                log.error("%s", str(error).splitlines()[0])
            except Exception:
                log.exception("unexpected; the next round tries again")
            if stop.wait(self._interval_s):
                return

    def round(self) -> tuple[str, ...]:
        """End the leases of the dead and the silent, re-send lost work; returns the groups sent."""
        fail_what_the_dead_hold(self._store)
        for group in self._store.leases.expire():
            log.warning("group %s: its worker was silent too long", group)
        waiting = self._store.queue.work_waiting(IN_FLIGHT_S, limit=_MOST_A_ROUND)
        lost = unexplained(waiting, self._backlog()) if waiting else ()
        for one in lost:
            self._send(one.group, one.stage)
            self._store.queue.mark_enqueued([one.group])
            log.info("group %s: sent from %s", one.group, one.stage)
        self._store.queue.beat(BEAT)
        return tuple(one.group for one in lost)


def unexplained(waiting: Sequence[WaitingWork], backlog: Mapping[Stage, int]) -> tuple[WaitingWork, ...]:
    """The waiting work that no message in the broker stands for.

    Never sent: all of it. Sent before: of each stage as many as there are more groups than messages, the longest ago
    first, since queues are served in order.
    """
    lost = [one for one in waiting if one.enqueued_at is None]
    sent = sorted(
        (one for one in waiting if one.enqueued_at is not None), key=lambda one: (one.stage, one.enqueued_at or 0.0)
    )
    for stage, ones in groupby(sent, key=lambda one: one.stage):
        groups = list(ones)
        lost += groups[: max(0, len(groups) - backlog[stage])]
    return tuple(lost)
