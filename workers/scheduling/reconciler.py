"""The reconciler: ends leases of dead processes and sends jobs whose messages were lost.

It sends again only what the backlog of the broker does not explain. A job that waits for a stage has a message in the
stage's queue, or has lost it: as many jobs as there are messages are explained.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from contimg.store import JobRecord, Stage, Store
from workers.execution.processes import LivenessFiles
from workers.execution.recovery import fail_leases_of_dead_processes
from workers.scheduling.dispatcher import Dispatcher

log = logging.getLogger(__name__)
BEAT = "reconciler.round"
# A message just sent may be on its way between broker and worker, in neither count.
IN_FLIGHT_S = 30.0
_MAX_PER_ROUND = 500


@dataclass(frozen=True)
class Reconciler:
    """Rounds over the store, each of which finds all that was lost before it."""

    store: Store
    dispatcher: Dispatcher
    backlog: Callable[[], Mapping[Stage, int]]
    liveness: LivenessFiles | None = None

    def round(self) -> tuple[str, ...]:
        """End leases of dead processes, make epochs ready, send jobs; returns the keys of the jobs sent."""
        fail_leases_of_dead_processes(self.store, self.liveness)
        for key in self.store.leases.expire():
            log.warning("%s: its worker was silent for longer than the lease", key)
        waiting = self.store.jobs.waiting(IN_FLIGHT_S, limit=_MAX_PER_ROUND, sent_only=True)
        lost = unexplained(waiting, self.backlog()) if waiting else ()
        for job in lost:
            log.info("%s: its message was lost", job.key)
        self.store.jobs.mark_unsent([job.id for job in lost])
        for key in self.store.epochs.collect():
            log.info("%s: ready", key)
        sent = self.dispatcher.fill()
        self.store.activity.beat(BEAT)
        return sent


def unexplained(waiting: Sequence[JobRecord], backlog: Mapping[Stage, int]) -> tuple[JobRecord, ...]:
    """Return the waiting jobs that no message in the broker explains.

    Of each queue as many as there are more jobs than messages, the first sent first, because queues are served in
    order.

    Parameters
    ----------
    waiting : jobs that were sent and have not started.
    backlog : number of messages in the broker by queue; it has every queue of the jobs.
    """
    lost: list[JobRecord] = []
    sent = sorted(waiting, key=lambda job: (job.stage.queue, job.enqueued_at or 0.0))
    for queue, jobs_of_queue in groupby(sent, key=lambda job: job.stage.queue):
        jobs = list(jobs_of_queue)
        lost += jobs[: max(0, len(jobs) - backlog[queue])]
    return tuple(lost)
