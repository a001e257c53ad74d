"""How often a token may be guessed: failures are counted per address, and slowly forgotten."""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable

WINDOW_S = 300.0
MOST_ADDRESSES = 10_000


class Limit:
    """At most `most` failures per address within the window."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._failures: defaultdict[str, deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    def failed(self, address: str) -> None:
        """Count one failure."""
        with self._lock:
            if len(self._failures) >= MOST_ADDRESSES:
                self._failures.clear()
            recent = self._recent(address)
            recent.append(self._clock())
            if len(recent) > self._most:
                recent.popleft()

    def wait_s(self, address: str) -> float:
        """How long this address has to wait, s; 0.0 when it need not."""
        with self._lock:
            if address not in self._failures:
                return 0.0
            recent = self._recent(address)
            return recent[0] + WINDOW_S - self._clock() if len(recent) >= self._most else 0.0

    def _recent(self, address: str) -> deque[float]:
        recent, oldest = self._failures[address], self._clock() - WINDOW_S
        while recent and recent[0] <= oldest:
            recent.popleft()
        return recent
