"""Which chores the house has, and how often each is done."""

from contimg.config import StreamingConfig
from contimg.store import Store
from workers.housekeeping import Chore
from workers.sweep import sweep


def chores(config: StreamingConfig, store: Store) -> list[Chore]:
    """All of them, for one service."""
    return [
        Chore("sweep", 3 * config.worker_poll_interval, lambda: sweep(config, store)),
    ]
