"""Workers and queues as Celery itself sees them: who answers, what it takes, how many messages wait.

Asking takes a second, and longer when the broker is away: an `Inspector` asks in a thread of its own, while somebody
wants to know, and whoever wants to know gets the last answer at once.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from contimg.errors import ContimgError
from contimg.store import Stage
from workers.broker import check_answers, without_password
from workers.celery_settings import celery_settings

log = logging.getLogger(__name__)

ANSWER_S = 1.0
FRESH_S = 10.0


@dataclass(frozen=True)
class Worker:
    """A Celery worker that answered: its queues, processes, how many of them are busy, stages done since its start."""

    name: str
    queues: tuple[str, ...]
    processes: int
    busy: int
    done: int
    uptime_s: float | None


@dataclass(frozen=True)
class Inspection:
    """What Celery said at a time (epoch seconds); `error` when the broker did not answer.

    `waiting`: messages in each queue; more are in the store, which sends only what there is room for.
    """

    at: float
    workers: tuple[Worker, ...] = ()
    waiting: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None

    @property
    def unserved(self) -> tuple[str, ...]:
        """Queues that no worker takes from; none when nobody could be asked."""
        served = {queue for worker in self.workers for queue in worker.queues}
        return () if self.error else tuple(str(stage) for stage in Stage if str(stage) not in served)


class Asker:
    """Asks the workers of a broker. One is enough for a process: each would have a reply queue of its own."""

    def __init__(self) -> None:
        self._app: Celery | None = None

    def ask(self, url: str) -> Inspection:
        """Ask everybody, waiting a second for who answers."""
        try:
            check_answers(url)
            if self._app is None or self._app.conf.broker_url != url:
                self._app = Celery("contimg-inspection", set_as_current=False)
                self._app.conf.update(celery_settings(url))
            return _asked(self._app)
        except ContimgError as error:
            return Inspection(time.time(), error=str(error))
        except (OperationalError, RedisError, OSError) as error:
            return Inspection(time.time(), error=f"broker {without_password(url)}: does not answer ({error})")


class Inspector:
    """Keeps an inspection fresh while somebody asks for it, and never lets who asks wait."""

    def __init__(self, look: Callable[[], Inspection], fresh_s: float = FRESH_S) -> None:
        self._look = look
        self._fresh_s = fresh_s
        self._latest: Inspection | None = None
        self._looked = -float("inf")
        self._wanted = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def latest(self) -> Inspection | None:
        """What was last seen, however old, and have a newer look taken when it is; None before the first one."""
        if time.monotonic() - self._looked >= self._fresh_s:
            self._wanted.set()
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="inspection", daemon=True)
                    self._thread.start()
        return self._latest

    def _run(self) -> None:
        while self._wanted.wait():
            try:
                self._latest = self._look()
            except Exception as error:
                log.exception("inspection: unexpected; it is tried again")
                self._latest = Inspection(time.time(), error=f"{type(error).__name__}: {error}")
            self._looked = time.monotonic()
            self._wanted.clear()


def _asked(app: Celery) -> Inspection:
    with app.connection_for_write() as connection, connection.channel() as channel:
        # Declared, not asked for passively: with a key prefix kombu then finds no queue at all.
        waiting = {str(stage): int(channel.queue_declare(queue=str(stage)).message_count) for stage in Stage}
        stats = app.control.inspect(timeout=ANSWER_S, connection=connection).stats() or {}
        if not stats:
            return Inspection(time.time(), (), waiting)
        # Those who have answered once are known: the others need not wait for the whole time.
        known = app.control.inspect(list(stats), timeout=ANSWER_S, connection=connection, limit=len(stats))
        queues, active = known.active_queues() or {}, known.active() or {}
    workers = (_worker(name, stats[name], queues.get(name, ()), active.get(name, ())) for name in sorted(stats))
    return Inspection(time.time(), tuple(workers), waiting)


def _worker(name: str, stats: Mapping[str, Any], queues: Any, active: Any) -> Worker:
    return Worker(
        name=name,
        queues=tuple(sorted(str(one["name"]) for one in queues)),
        processes=int(stats.get("pool", {}).get("max-concurrency") or 0),
        busy=len(active),
        done=sum(int(number) for number in stats.get("total", {}).values()),
        uptime_s=stats.get("uptime"),
    )
