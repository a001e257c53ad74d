"""What is sent next: calibrators' tiles first, then the newest or the oldest, and never too many at once.

The backlog waits in the store, where its order can still change, and not in the broker, where it cannot.
"""

import logging
from collections.abc import Callable, Sequence

from contimg.errors import Transient
from contimg.settings import DispatchSettings
from contimg.store import Stage, Store, Unsent
from workers.scheduling.calibrator_tiles import CalibratorTiles

log = logging.getLogger(__name__)
Send = Callable[[str, Stage], None]
# A day of sky: a calibrator further from the front holds for nothing that is there.
LOOK_AHEAD = 280


class Dispatcher:
    """Fills the broker up to the bound. Several may do so at once: each group is taken by one of them."""

    def __init__(
        self,
        store: Store,
        send: Send,
        rules: DispatchSettings | None = None,
        max_workers: int = 2,
        calibrators: CalibratorTiles | None = None,
    ) -> None:
        self._store = store
        self._send = send
        self._rules = rules or DispatchSettings()
        self._most = self._rules.in_flight(max_workers)
        self._calibrators = calibrators

    def fill(self) -> tuple[str, ...]:
        """Send what there is room for; returns the groups. Transient when the broker does not take it: nothing is lost.

        A group counts as sent before it is: should this process die in between, the reconciler finds no message that
        stands for it and sends it again.
        """
        newest = self._rules.order == "newest"
        taken = list(
            self._store.queue.take_unsent(self._most, self.ordered, newest_first=newest, look_ahead=LOOK_AHEAD)
        )
        sent = []
        while taken:
            one = taken[0]
            try:
                self._send(one.group, one.stage)
            except Transient:
                self._store.queue.mark_unsent([left.group for left in taken])
                raise
            sent.append(taken.pop(0).group)
            log.info("group %s: sent from %s", one.group, one.stage)
        return tuple(sent)

    def ordered(self, waiting: Sequence[Unsent]) -> list[Unsent]:
        """The groups in the order in which they should go."""
        sign = -1.0 if self._rules.order == "newest" else 1.0
        first = self._calibrators.among([one.reference_s for one in waiting]) if self._calibrators else ()
        urgent = dict(zip((one.group for one in waiting), first, strict=False))
        return sorted(waiting, key=lambda one: (not urgent.get(one.group, False), sign * one.reference_s))
