"""State of the workers and queues as Celery reports it.

An inspection takes a second, and longer when the broker is away. `InspectionCache` runs it in a thread while it is
requested and returns the last one at once.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from contimg.common.errors import ContimgError
from contimg.formats.records import about
from contimg.store import QUEUES
from workers.broker import broker_error, check_answers
from workers.celery_settings import celery_settings

log = logging.getLogger(__name__)

REPLY_LIMIT_S = 1.0
MAX_AGE_S = 10.0


@dataclass(frozen=True)
class Worker:
    """A Celery worker that replied."""

    name: Annotated[str, about("Name of the worker, `QUEUE@HOST`", example="image@lxd110h03")]
    queues: Annotated[tuple[str, ...], about("Queues that it consumes", example=["image"])]
    processes: Annotated[int, about("Number of its processes", "processes", 4)]
    busy: Annotated[int, about("Processes that run a stage", "processes", 1)]
    done: Annotated[int, about("Stages since its start", "stages", 288)]
    uptime_s: Annotated[float | None, about("Time since its start; null where it is not reported", "s", 45000.0)]


@dataclass(frozen=True)
class Inspection:
    """Workers and queues at one time.

    Attributes
    ----------
    at : time, seconds since 1970.
    workers : workers that replied, by name.
    waiting : number of messages in each queue; the store holds more jobs than are sent at a time.
    error : one line when the broker did not answer, or None.
    """

    at: float
    workers: tuple[Worker, ...] = ()
    waiting: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None

    @property
    def unserved(self) -> tuple[str, ...]:
        """Queues without a worker; none when the broker did not answer."""
        served = {queue for worker in self.workers for queue in worker.queues}
        return () if self.error else tuple(str(queue) for queue in QUEUES if str(queue) not in served)


class CeleryInspector:
    """Inspects the workers of a broker. Use one per process: each has a reply queue of its own."""

    def __init__(self) -> None:
        self._app: Celery | None = None
        self._url = ""

    def inspect(self, url: str) -> Inspection:
        """Request the state of all workers and queues; a broker that is away gives an inspection with `error`.

        Parameters
        ----------
        url : URL of the broker.
        """
        try:
            check_answers(url)
            if self._app is None or self._url != url:
                self._app, self._url = Celery("contimg-inspection", set_as_current=False), url
                self._app.conf.update(celery_settings(url))
            return _inspect(self._app)
        except ContimgError as error:
            return Inspection(time.time(), error=str(error))
        except (OperationalError, RedisError, OSError) as error:
            return Inspection(time.time(), error=str(broker_error(url, error)))


class InspectionCache:
    """Keeps an inspection up to date while it is requested, and never blocks the caller.

    Parameters
    ----------
    inspect : makes a new inspection.
    max_age_s : age beyond which a request starts a new inspection, s.
    """

    def __init__(self, inspect: Callable[[], Inspection], max_age_s: float = MAX_AGE_S) -> None:
        self._inspect = inspect
        self._max_age_s = max_age_s
        self._latest: Inspection | None = None
        self._inspected = -float("inf")
        self._is_requested = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def latest(self) -> Inspection | None:
        """Return the last inspection, however old, and start a new one when it is; None before the first."""
        if time.monotonic() - self._inspected >= self._max_age_s:
            self._is_requested.set()
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="inspection", daemon=True)
                    self._thread.start()
        return self._latest

    def _run(self) -> None:
        while self._is_requested.wait():
            try:
                self._latest = self._inspect()
            except Exception as error:
                log.exception("inspection of the workers: unexpected error; repeated at the next request")
                self._latest = Inspection(time.time(), error=f"{type(error).__name__}: {error}")
            self._inspected = time.monotonic()
            self._is_requested.clear()


def _inspect(app: Celery) -> Inspection:
    with app.connection_for_write() as connection, connection.channel() as channel:
        # A passive declaration finds no queue where keys have a prefix.
        waiting = {str(queue): int(channel.queue_declare(queue=str(queue)).message_count) for queue in QUEUES}
        stats = app.control.inspect(timeout=REPLY_LIMIT_S, connection=connection).stats() or {}
        if not stats:
            return Inspection(time.time(), (), waiting)
        # The workers are known now: the other requests return as soon as all have replied.
        request = app.control.inspect(list(stats), timeout=REPLY_LIMIT_S, connection=connection, limit=len(stats))
        queues, active = request.active_queues() or {}, request.active() or {}
    workers = (_worker(name, stats[name], queues.get(name, ()), active.get(name, ())) for name in sorted(stats))
    return Inspection(time.time(), tuple(workers), waiting)


def _worker(name: str, stats: Mapping[str, Any], queues: Any, active: Any) -> Worker:
    return Worker(
        name=name,
        queues=tuple(sorted(str(queue["name"]) for queue in queues)),
        processes=int(stats.get("pool", {}).get("max-concurrency") or 0),
        busy=len(active),
        done=sum(int(number) for number in stats.get("total", {}).values()),
        uptime_s=stats.get("uptime"),
    )
