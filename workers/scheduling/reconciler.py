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
from workers.execution.liveness import Signs
from workers.execution.recovery import fail_what_the_dead_hold
from workers.scheduling.dispatcher import Dispatcher

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
        dispatcher: Dispatcher,
        backlog: Callable[[], Mapping[Stage, int]],
        interval_s: float,
        signs: Signs | None = None,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._backlog = backlog
        self._interval_s = interval_s
        self._signs = signs

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
        """End the leases of the dead and the silent, send what was lost and what there is room for; returns these."""
        fail_what_the_dead_hold(self._store, self._signs)
        for group in self._store.leases.expire():
            log.warning("group %s: its worker was silent too long", group)
        waiting = self._store.queue.work_waiting(IN_FLIGHT_S, limit=_MOST_A_ROUND, sent_only=True)
        lost = [one.group for one in unexplained(waiting, self._backlog())] if waiting else []
        for group in lost:
            log.info("group %s: no message stands for it", group)
        self._store.queue.mark_unsent(lost)
        sent = self._dispatcher.fill()
        self._store.queue.beat(BEAT)
        return sent


def unexplained(waiting: Sequence[WaitingWork], backlog: Mapping[Stage, int]) -> tuple[WaitingWork, ...]:
    """The waiting work that was sent and that no message in the broker stands for.

    Of each stage as many as there are more groups than messages, the longest ago first: queues are served in order.
    """
    lost: list[WaitingWork] = []
    sent = sorted(waiting, key=lambda one: (one.stage, one.enqueued_at or 0.0))
    for stage, ones in groupby(sent, key=lambda one: one.stage):
        groups = list(ones)
        lost += groups[: max(0, len(groups) - backlog[stage])]
    return tuple(lost)
