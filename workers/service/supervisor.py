"""The supervisor: one process that runs broker, producer, workers and panel as its children.

No child outlives it: each is in a session of its own, and the kernel kills it when the supervisor dies.

    supervisor = Supervisor(settings, extras, environ)
    supervisor.start()
    while ...: supervisor.tick()
    supervisor.stop()
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from contimg.common.errors import ContimgError, Misconfigured, Transient
from contimg.common.files.filesystems import write_fault
from contimg.common.files.processes import MIN_OPEN_FILES, OPEN_FILES, OPEN_FILES_REMEDY, raise_file_limit
from contimg.settings import AlertLimits, NotificationSettings, Settings, StreamingConfig, check_all
from contimg.settings.alerts import RULE_LEVELS
from contimg.store import Lease, Store
from contimg.store.engine import url_of
from workers.broker import EmbeddedBroker, check_answers, server_program
from workers.execution.processes import ProcessName
from workers.execution.recovery import release_leases_of_dead_processes
from workers.logs import RepeatedSteps
from workers.notifications import check_recipients
from workers.service.child import Child, ChildPlan, ProcessTreeUsage, stop_all
from workers.service.plan import Extras, check_ports, extra_plans, stream_plans
from workers.service.records import RECORD_INTERVAL_S, ServiceRecord, SupervisorLock, remove_record, write_record
from workers.service.watchdog import HangDetector

log = logging.getLogger(__name__)
# Longer than a stage of a usual tile; a stage that takes longer is killed and repeated after the next start.
STOP_LIMIT_S = 30.0
EXTRAS_STOP_LIMIT_S = 3.0
MAX_EVENTS = 200
HANG_CHECKS = 20  # in the time after which a process counts as hung; each reads the machine's table of processes
EVENTS_RETRY_S = 60.0  # a store that is away delays the supervisor at each attempt
# What the service and its processes write in the state directory; other files there may belong to another user.
_WRITTEN = (
    "service.json", "service.lock", "streaming_config.json", "streaming_config.history.jsonl", "session.key",
    "sessions", "flower*", "logs", "logs/*.log", "broker", "broker/*", "living", "living/*", "beats", "beats/*",
)  # fmt: skip


class Stream(StrEnum):
    """State of the stream: broker, producer and workers, without the panel."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Supervisor:
    """Runs the service of one state directory. Call its methods from the main thread only.

    Parameters
    ----------
    settings : deployment settings.
    extras : whether panel and Flower run, and their addresses.
    environ : environment of the children and source of the configuration.
    """

    def __init__(
        self, settings: Settings, extras: Extras | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.settings = settings
        self.stream = Stream.STOPPED
        self._state_dir = settings.state_dir.absolute()
        self._extras = extras or Extras()
        self._environ = environ
        self._broker_url = settings.broker_url
        self._since = time.time()
        self._broker_error: str | None = None
        self._state_dir_error: str | None = None
        self._events: deque[tuple[str, str, str | None]] = deque(maxlen=MAX_EVENTS)  # not yet in the event log
        self._hangs: HangDetector | None = None
        self._hung_s = 0.0
        self._hangs_due_s = 0.0  # on the monotonic clock
        self._events_due_s = 0.0  # on the monotonic clock
        self._steps = RepeatedSteps()
        self._lock: SupervisorLock | None = None
        self._store: Store | None = None
        self._broker: EmbeddedBroker | None = None
        self._stream_children: list[Child] = []
        self._extra_children: list[Child] = []
        self._usage = ProcessTreeUsage()
        self._recorded = 0.0

    @property
    def store(self) -> Store:
        """The store of the service."""
        if self._store is None:
            raise RuntimeError("the supervisor has not been started")
        return self._store

    @property
    def has_extras(self) -> bool:
        """Whether the panel or Flower runs beside the stream."""
        return bool(self._extra_children)

    def start(self) -> None:
        """Start everything. Leases of processes that have died are released first.

        Raises
        ------
        Misconfigured, Transient : one line; no process is left running.
        """
        config = _load_checked(self.settings, self._environ)
        check_ports(self._extras, self.settings)
        if (files := raise_file_limit(OPEN_FILES)) < MIN_OPEN_FILES:
            raise Misconfigured(
                f"this user may open {files} files at a time, {MIN_OPEN_FILES} are needed; {OPEN_FILES_REMEDY}"
            )
        # Files of the state directory may belong to another user who has started the service once.
        for path in _written_paths(self._state_dir, config):
            if fault := write_fault(path):
                raise fault
        self._lock = SupervisorLock(self._state_dir)
        try:
            self._store = Store.of(config)
            self._start_broker()
            for plan in extra_plans(self._extras, self._broker_url, self.settings, self._environ):
                self._extra_children.append(self._start_child(plan))
            self.start_stream()
        except BaseException:
            self.stop(limit_s=0)
            raise

    def start_stream(self) -> None:
        """Start broker, producer and workers with the present configuration; raises Misconfigured or Transient."""
        config = _load_checked(self.settings, self._environ)
        self._enter(Stream.STARTING)
        self._start_broker()
        release_leases_of_dead_processes(self.store)
        self._hangs = self._detect_hangs()
        for plan in stream_plans(config, self._broker_url, self._environ, self._beat_dir()):
            self._stream_children.append(self._start_child(plan))
        self._enter(Stream.RUNNING)
        self.record_event("the stream was started")

    def stop_stream(self, limit_s: float = STOP_LIMIT_S, is_urgent: Callable[[], bool] = lambda: False) -> None:
        """Stop producer and workers after the stages under way.

        Stages that are cut short are released without using up an attempt: the next start repeats them at once.

        Parameters
        ----------
        limit_s : maximum time to wait for the stages, s.
        is_urgent : whether to stop waiting now.
        """
        if self.stream is Stream.STOPPED:
            return
        self._enter(Stream.STOPPING)
        stop_all(self._stream_children, limit_s, is_urgent)
        self._stream_children = []
        self._steps.run("release of leases", lambda: release_leases_of_dead_processes(self.store))
        if self._broker is not None:
            self._broker.stop()
        self._enter(Stream.STOPPED)
        self.record_event("the stream was stopped")

    def tick(self) -> None:
        """Restart what has ended and update the service record; call it a few times a second."""
        for child in [*self._stream_children, *self._extra_children]:
            if message := child.watch():
                self.record_event(message, "error")
        self._restart_broker()
        if time.monotonic() >= self._hangs_due_s:
            self._hangs_due_s = time.monotonic() + max(RECORD_INTERVAL_S, self._hung_s / HANG_CHECKS)
            self._steps.run("hung processes", self._replace_hung)
        if time.monotonic() - self._recorded > RECORD_INTERVAL_S:
            self._record()

    def stop(self, limit_s: float = STOP_LIMIT_S, is_urgent: Callable[[], bool] = lambda: False) -> None:
        """Stop everything: the stream, the panel and Flower, and the broker.

        Parameters
        ----------
        limit_s : maximum time to wait for the stages, s.
        is_urgent : whether to stop waiting now.
        """
        try:
            if self._store is not None:
                self.stop_stream(limit_s, is_urgent)
        finally:
            stop_all(self._extra_children, EXTRAS_STOP_LIMIT_S)
            stop_all(self._stream_children, 0.0)
            if self._broker is not None:
                self._broker.stop()
            if self._store is not None:
                self._write_waiting_events(is_last=True)
                self._store.close()
            if self._lock is not None:
                remove_record(self._state_dir)
                self._lock.release()

    def record_event(self, text: str, level: str = "info", rule: str | None = None) -> None:
        """Log a message and add it to the event log, as soon as the store can be written.

        Parameters
        ----------
        text : the message.
        level : level in the event log: `info`, `warning` or `error`.
        rule : rule of alerts that the event belongs to.
        """
        log.info("%s", text)
        self._events.append((text, level, rule))
        self._write_waiting_events()

    def _write_waiting_events(self, *, is_last: bool = False) -> None:
        is_due = is_last or time.monotonic() >= self._events_due_s
        if is_due and self._steps.run("event log", self._write_events):
            self._events_due_s = time.monotonic() + EVENTS_RETRY_S

    def _write_events(self) -> None:
        while self._events:
            text, level, rule = self._events[0]
            self.store.events.add(text, level=level, rule=rule)
            self._events.popleft()

    def _start_broker(self) -> None:
        """Check the configured broker, or start the embedded one unless it runs."""
        if self.settings.broker_url:
            check_answers(self.settings.broker_url)
        elif self._broker is None or not self._broker.is_running:
            self._broker = EmbeddedBroker(self.settings.state_dir)
            endpoint = self._broker.start()
            self._broker_url = endpoint.url
            log.info("embedded broker: %s on 127.0.0.1:%d", server_program().name, endpoint.port)

    def _restart_broker(self) -> None:
        broker = self._broker
        if broker is None or self.stream is not Stream.RUNNING or broker.is_running:
            return
        if self._broker_error is None:
            self.record_event(f"the embedded broker ended; restarted; see {broker.directory}/server.log", "error")
        elif time.monotonic() - self._recorded <= RECORD_INTERVAL_S:
            return
        self._broker_error = self._steps.run("embedded broker", broker.start)

    def _detect_hangs(self) -> HangDetector | None:
        """The detector of hung processes with the limit of the environment; None when it is switched off."""
        self._hung_s = AlertLimits.from_environment(self._environ).hung_s
        return HangDetector(self._hung_s, self._is_broker_up) if self._hung_s else None

    def _beat_dir(self) -> Path:
        directory = self._state_dir / "beats"
        with suppress(OSError):  # without it no worker counts as hung
            directory.mkdir(exist_ok=True)
        return directory

    def _is_broker_up(self) -> bool:
        """Whether the workers can work: the broker answers and their files can be touched."""
        try:
            check_answers(self._broker_url)
        except ContimgError:
            return False
        return self._state_dir_error is None

    def _replace_hung(self) -> None:
        """Kill processes that hang; their parents start others, and the reconciler fails the attempts that they ran."""
        if self._hangs is None or self.stream is not Stream.RUNNING:
            return
        for process in self._hangs.find([*self._stream_children, *self._extra_children]):
            owners = [(ProcessName.parse(lease.owner), lease) for lease in self._active_leases()]
            stages = [f"{lease.stage} of {lease.key}" for name, lease in owners if name and name.pid in process.pids]
            process.kill()
            state = "was stopped by a signal" if process.is_stopped else "did not respond"
            held = f"; its attempt at {', '.join(stages)} fails" if stages else ""
            limit = f"(limit {self._hung_s:g} s, CONTIMG_HUNG_S)"
            text = f"hung: {process.name} {state} for {process.silent_s:.0f} s {limit}; killed and replaced{held}"
            self.record_event(text, RULE_LEVELS["hung"], "hung")

    def _active_leases(self) -> tuple[Lease, ...]:
        """The leases in force; none when the store is away, which holds up no replacement."""
        try:
            return self.store.leases.active()
        except (ContimgError, SQLAlchemyError):
            return ()

    def _start_child(self, plan: ChildPlan) -> Child:
        # Tests and demos give an environment that is not this process's.
        environ = {**self._environ, "PIPELINE_STATE_DIR": str(self._state_dir), **plan.environ}
        child = Child(replace(plan, environ=environ), self._state_dir / "logs")
        try:
            child.start()
        except OSError as error:
            raise Transient(f"{plan.name} cannot be started: {error.strerror}; check limits and memory") from None
        return child

    def _enter(self, stream: Stream) -> None:
        self.stream, self._since = stream, time.time()
        self._record()

    def _record(self) -> None:
        cpu_percent, memory_mb = self._usage.sample()
        children = [*self._stream_children, *self._extra_children]
        record = ServiceRecord(
            process=str(ProcessName.of()),
            stream=self.stream,
            since=self._since,
            children={child.plan.name: child.pid for child in children if child.pid},
            restarts={child.plan.name: child.restarts for child in children if child.restarts},
            cpu_percent=round(cpu_percent, 1),
            memory_mb=round(memory_mb, 1),
            error=self._state_dir_error or self._store_error() or self._broker_error,
        )
        error = self._steps.run("service record", lambda: write_record(self._state_dir, record))
        self._recorded = time.monotonic()
        fault = write_fault(self._state_dir)
        self._set_state_dir_error(str(fault) if fault else f"{self._state_dir}: {error}" if error else None)
        self._write_waiting_events()

    def _store_error(self) -> str | None:
        """Why a SQLite store cannot be read; a server that is away would delay the supervisor."""
        if self._store is None or self._store.database.engine.dialect.name != "sqlite":
            return None
        return self._steps.run("store", lambda: self.store.events.last(1))

    def _set_state_dir_error(self, error: str | None) -> None:
        """Record that the state directory can no longer, or again, be written; nothing else need be done for that."""
        if error is not None and self._state_dir_error is None:
            self.record_event(f"{error}; no stage is started until then", "error")
        elif error is None and self._state_dir_error is not None:
            self._events_due_s = 0.0
            self.record_event(f"{self._state_dir}: can be written again; the stream continues")
        self._state_dir_error = error


def _written_paths(state_dir: Path, config: StreamingConfig) -> list[Path]:
    """List what the service writes: the state directory, its files there, and the files of a SQLite store."""
    url = url_of(config.queue_db)
    suffixes = ("", "-wal", "-shm") if url.get_backend_name() == "sqlite" and url.database else ()
    paths = [path for pattern in _WRITTEN for path in state_dir.glob(pattern)]
    return [state_dir, *paths, *(Path(f"{url.database}{suffix}") for suffix in suffixes)]


def _load_checked(settings: Settings, environ: Mapping[str, str]) -> StreamingConfig:
    """Check every setting; raises Misconfigured when one is wrong or the incoming directory does not exist."""
    config = check_all(settings, environ)
    check_recipients(NotificationSettings.from_environment(environ))
    if not config.input_dir.is_dir():
        raise Misconfigured(
            f"{config.input_dir}: no such directory; create it, or set input_dir to the directory of subband files"
        )
    return config
