"""What panel, API and `contimg status` ask and tell the service. Reading is cheap: a small file and two rows."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from contimg.errors import ContimgError
from contimg.settings import Settings, StreamingConfig, load, scan_limit_s, shown
from contimg.store import Store
from workers.service.backends import Backend, PartsStatus, choose
from workers.service.records import (
    RECORD_EVERY_S,
    CommandOutcome,
    ServiceHealth,
    ServiceRecord,
    ServiceStatus,
    last_sign,
    read_record,
)
from workers.service.signals import RESTART_STREAM, START_STREAM, STOP_STREAM

SCAN, ENDED = "producer.scan", "producer.ended"
START_LIMIT_S = 20.0
STOP_LIMIT_S = 45.0
# The engine takes a second to say what its containers use; whoever runs the stream seldom changes.
_PARTS_FRESH_S = 5.0
_BACKEND_FRESH_S = 30.0


class StreamingServiceManager:
    """Status, health and commands of the service of one state directory, from any process of the machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: tuple[str, Store] | None = None
        self._chosen: tuple[float, Backend | None] | None = None
        self._parts: tuple[float, PartsStatus] | None = None

    def close(self) -> None:
        """Let go of the store: a SQLite file can be replaced only where nobody has it open."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def status(self) -> ServiceStatus:
        """The service now; what cannot be found out is None, with the reason in `error`."""
        record = read_record(self._settings.state_dir)
        config, store, error = self._house()
        heartbeat = store.activity.last_beat(SCAN) if store else None
        if record is None and (backend := self._backend()) is not None:
            return self._status_of(backend, heartbeat, config, store, error)
        running = record is not None and record.stream == "running"
        elsewhere = not running and store is not None and self._beats_elsewhere(heartbeat, store, config)
        return ServiceStatus(
            running=running or elsewhere,
            pid=record.pid if record else None,
            started_at=record.since if record and running else None,
            uptime_seconds=time.time() - record.since if record and running else None,
            cpu_percent=record.cpu_percent if record else None,
            memory_mb=record.memory_mb if record else None,
            last_heartbeat=heartbeat,
            config=shown(config) if config else {},
            error=error or (record.error if record else None),
            paused=store.jobs.paused if store else False,
        )

    def health(self) -> ServiceHealth:
        """Healthy means that the incoming directory was scanned lately, not that a process lives."""
        status = self.status()
        return ServiceHealth(
            healthy=status.running and not self._ails(status),
            running=status.running,
            uptime_seconds=status.uptime_seconds,
            cpu_percent=status.cpu_percent,
            memory_mb=status.memory_mb,
            error=self._ails(status),
        )

    def start(self) -> CommandOutcome:
        """Start the stream, and the supervisor with it when there is none; waits until it runs."""
        record = read_record(self._settings.state_dir)
        if record and record.stream in ("running", "starting"):
            return CommandOutcome(True, "the stream is running already", record.pid)
        if record:
            _tell(record, START_STREAM)
        elif (backend := self._backend()) is not None:
            return self._told(backend.start)
        elif self.status().running:
            return CommandOutcome(False, "the stream is run by something else (systemd, containers); start it there")
        else:
            return self._launch()
        return self._wait(lambda now: now is not None and now.stream == "running", START_LIMIT_S, "started")

    def stop(self) -> CommandOutcome:
        """Stop the stream after the stages under way. A supervisor that also runs the panel stays for it."""
        record = read_record(self._settings.state_dir)
        if record is None and (backend := self._backend()) is not None:
            return self._told(backend.stop)
        if record is None:
            running = self.status().running
            why = "run by something else (systemd, containers); stop it there" if running else "not running"
            return CommandOutcome(not running, f"the stream is {why}")
        _tell(record, STOP_STREAM)
        return self._wait(lambda now: now is None or now.stream == "stopped", STOP_LIMIT_S, "stopped")

    def restart(self) -> CommandOutcome:
        """Stop and start the stream, with the configuration as it stands now."""
        record = read_record(self._settings.state_dir)
        if record is None and (backend := self._backend()) is not None:
            return self._told(backend.restart)
        if record is None:
            return self.start()
        began = time.time()
        _tell(record, RESTART_STREAM)
        return self._wait(
            lambda now: now is not None and now.stream == "running" and now.since > began,
            STOP_LIMIT_S + START_LIMIT_S,
            "restarted",
        )

    def pause(self, by: str) -> CommandOutcome:
        """Let no further stage begin, on any host, until `resume`."""
        return self._with_store(lambda store: store.jobs.pause(by), "paused: stages under way end, no other begins")

    def resume(self, by: str) -> CommandOutcome:
        """Let stages begin again."""
        return self._with_store(lambda store: store.jobs.resume(by), "resumed")

    def _backend(self) -> Backend | None:
        """Who runs the stream where no supervisor of ours does, looked for anew now and then."""
        now = time.monotonic()
        if self._chosen is None or now - self._chosen[0] > _BACKEND_FRESH_S:
            self._chosen = (now, choose(self._settings))
        return self._chosen[1]

    def _told(self, command: Callable[[], CommandOutcome]) -> CommandOutcome:
        """What came of a command to the backend; one that cannot be reached is an outcome, too."""
        self._parts = None
        try:
            return command()
        except ContimgError as error:
            return CommandOutcome(False, str(error))

    def _status_of(
        self,
        backend: Backend,
        heartbeat: float | None,
        config: StreamingConfig | None,
        store: Store | None,
        error: str | None,
    ) -> ServiceStatus:
        now = time.monotonic()
        try:
            if self._parts is None or now - self._parts[0] > _PARTS_FRESH_S:
                self._parts = (now, backend.status())
            parts = self._parts[1]
        except ContimgError as away:  # the producer's own beat tells whether it runs
            parts = PartsStatus(config is not None and _is_fresh(heartbeat, config))
            error = error or str(away)
        return ServiceStatus(
            running=parts.running,
            pid=parts.pid,
            started_at=parts.started_at,
            uptime_seconds=None if parts.started_at is None else time.time() - parts.started_at,
            cpu_percent=parts.cpu_percent,
            memory_mb=parts.memory_mb,
            last_heartbeat=heartbeat,
            config=shown(config) if config else {},
            error=error,
            paused=store.jobs.paused if store else False,
            backend=backend.kind,
            container=parts.name,
        )

    def _beats_elsewhere(self, heartbeat: float | None, store: Store, config: StreamingConfig | None) -> bool:
        """Whether a producer that is no child of a supervisor here (systemd's, a container's) scans."""
        if heartbeat is None or config is None or not _is_fresh(heartbeat, config):
            return False
        own = last_sign(self._settings.state_dir) + 2 * RECORD_EVERY_S  # a supervisor's own producer ended with it
        return heartbeat > max(own, store.activity.last_beat(ENDED) or 0.0)

    def _house(self) -> tuple[StreamingConfig | None, Store | None, str | None]:
        """Configuration and store as far as they can be had, and what is in the way of the rest."""
        try:
            config = load(self._settings)
        except ContimgError as error:
            return None, None, str(error)
        try:
            if self._opened is None or self._opened[0] != config.queue_db:
                self._opened = (config.queue_db, Store.of(config))
            store = self._opened[1]
            store.activity.last_beat(SCAN)
        except (ContimgError, SQLAlchemyError) as error:
            return config, None, str(error).splitlines()[0]
        return config, store, None

    def _with_store(self, change: Callable[[Store], Any], done: str) -> CommandOutcome:
        _, store, error = self._house()
        record = read_record(self._settings.state_dir)
        if store is None:
            return CommandOutcome(False, error or "the store cannot be reached", record.pid if record else None)
        change(store)
        return CommandOutcome(True, done, record.pid if record else None)

    def _ails(self, status: ServiceStatus) -> str | None:
        if status.error or not status.running:
            return status.error or "the stream is not running"
        config = load(self._settings)
        now, beat = time.time(), status.last_heartbeat
        if beat is None or (status.started_at or 0) > beat:
            young = status.uptime_seconds is not None and status.uptime_seconds < scan_limit_s(config.poll_interval)
            return None if young else f"{config.input_dir} has not been scanned since the start"
        if not _is_fresh(beat, config):
            return f"{config.input_dir} was last scanned {now - beat:.0f} s ago"
        return None

    def _launch(self) -> CommandOutcome:
        """A supervisor of its own, in a session of its own; its words go to STATE/logs/service.log."""
        directory = self._settings.state_dir.absolute() / "logs"
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "service.log"
        with path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "workers.service"],
                env={**os.environ, "PIPELINE_STATE_DIR": str(self._settings.state_dir.absolute())},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        outcome = self._wait(
            lambda now: (now is not None and now.stream == "running") or process.poll() is not None,
            START_LIMIT_S,
            "started",
        )
        if process.poll() is None:
            return outcome
        words = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
        return CommandOutcome(False, f"the stream did not start: {words[-1]}")

    def _wait(self, reached: Callable[[ServiceRecord | None], bool], limit_s: float, done: str) -> CommandOutcome:
        deadline = time.monotonic() + limit_s
        while True:
            record = read_record(self._settings.state_dir)
            pid = record.pid if record else None
            if reached(record):
                return CommandOutcome(True, f"the stream was {done}", pid)
            if time.monotonic() > deadline:
                now = record.stream if record else "not running"
                return CommandOutcome(False, f"the stream was not {done} within {limit_s:g} s; it is {now}", pid)
            time.sleep(0.1)


def _tell(record: ServiceRecord, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it ended this instant; the wait that follows finds out
        os.kill(record.pid, what)


def _is_fresh(heartbeat: float | None, config: StreamingConfig) -> bool:
    return heartbeat is not None and time.time() - heartbeat < scan_limit_s(config.poll_interval)
