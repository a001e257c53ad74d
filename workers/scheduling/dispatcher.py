"""The order in which jobs are sent: by priority, tiles with a calibrator first, then the newest or the oldest.

Jobs of campaigns are sent only while the stream has no work.

The backlog waits in the store, where its order can still change, and not in the broker, where it cannot.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from contimg.common.errors import Transient
from contimg.settings import DispatchSettings
from contimg.store import TILE, JobRecord, Store
from contimg.survey.campaigns.options import CampaignOptions
from workers.scheduling.calibrator_tiles import CalibratorTiles

log = logging.getLogger(__name__)
Send = Callable[[JobRecord], None]
# A day of sky: no tile at the front of the queue waits for a calibrator further away.
LOOK_AHEAD = 280


@dataclass(frozen=True)
class Dispatcher:
    """Sends jobs until the maximum in flight is reached. Several may run: each job is taken by one of them."""

    store: Store
    send: Send
    rules: DispatchSettings = field(default_factory=DispatchSettings)
    max_workers: int = 2
    calibrators: CalibratorTiles | None = None
    campaigns: CampaignOptions = field(default_factory=CampaignOptions)

    def fill(self) -> tuple[str, ...]:
        """Send as many jobs as may be in flight and return their keys; Transient when the broker takes none.

        A job counts as sent before it is: if this process dies in between, the reconciler finds no message for it
        and sends it again.
        """
        newest = self.rules.order == "newest"
        jobs = self.store.jobs.take_unsent(
            self.rules.in_flight(self.max_workers), self.ordered, newest_first=newest, look_ahead=LOOK_AHEAD,
            max_campaign_jobs=self.campaigns.jobs_at_once(self.max_workers),
        )  # fmt: skip
        for number, job in enumerate(jobs):
            try:
                self.send(job)
            except Transient:
                self.store.jobs.mark_unsent(unsent.id for unsent in jobs[number:])
                raise
            log.info("%s: sent from %s", job.key, job.stage)
        return tuple(job.key for job in jobs)

    def ordered(self, waiting: Sequence[JobRecord]) -> list[JobRecord]:
        """Return the jobs in the order in which to send them.

        The order is by priority, then tiles with a calibrator, then the time of observation as `rules.order` says.

        Parameters
        ----------
        waiting : jobs that were not sent.
        """
        sign = -1.0 if self.rules.order == "newest" else 1.0
        tiles = [job for job in waiting if job.stage.kind is TILE]
        starts_s = [job.reference_s for job in tiles]
        has_calibrator = self.calibrators.have_calibrator(starts_s) if self.calibrators else ()
        urgent = {job.id for job, is_urgent in zip(tiles, has_calibrator, strict=False) if is_urgent}
        return sorted(waiting, key=lambda job: (job.priority, job.id not in urgent, sign * job.reference_s))
