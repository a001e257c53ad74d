"""The service that starts and stops the stream, as the panel uses it, and the one of a panel that runs no stream."""

from dataclasses import dataclass
from typing import Protocol

from contimg.common.errors import Misconfigured
from contimg.settings import Settings, load, scan_limit_s, shown
from contimg.store import Store
from workers.producer import SCAN_BEAT
from workers.service.manager import CommandTarget
from workers.service.records import Command, CommandOutcome, ServiceStatus


class StreamingService(CommandTarget, Protocol):
    """Starts, stops and observes the stream: `workers.service.StreamingServiceManager`, or a `ReadOnlyService`."""

    def status(self) -> ServiceStatus: ...  # noqa: D102


@dataclass(frozen=True)
class ReadOnlyService:
    """The service of a panel that reads the store of a stream started elsewhere; commands fail.

    The stream counts as running while the producer's last successful scan is younger than `scan_limit_s`.
    """

    settings: Settings
    store: Store

    def status(self) -> ServiceStatus:
        """Return the status as far as the store shows it."""
        beat, error, poll_interval_s, keys = self.store.activity.last_beat(SCAN_BEAT), None, 0.0, {}
        try:
            config = load(self.settings)
            poll_interval_s, keys = config.poll_interval, shown(config)
        except Misconfigured as wrong:
            error = str(wrong)
        running = beat is not None and self.store.database.clock() - beat <= scan_limit_s(poll_interval_s)
        return ServiceStatus(
            running=running, last_heartbeat=beat, config=keys, error=error, paused=self.store.jobs.paused, backend=None,
        )  # fmt: skip

    def execute(self, command: Command) -> CommandOutcome:
        """Refuse the command.

        Parameters
        ----------
        command : `start`, `stop` or `restart`.

        Returns
        -------
        an outcome without success, which names where to execute the command.
        """
        return CommandOutcome(
            False, f"this panel runs no stream; {command} it where it runs (systemctl, docker compose, contimg run)"
        )
