"""Control and observation of the service by panel, API and command line.

Reading is cheap: a small file and two rows of the store.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from contimg.common.errors import ContimgError, Transient
from contimg.common.files.filesystems import write_fault
from contimg.settings import Settings, StreamingConfig, load, scan_limit_s, shown
from contimg.store import Store
from contimg.store.engine import is_missing
from workers.housekeeping.resources import resume_refusal
from workers.producer import END_BEAT, SCAN_BEAT
from workers.service.backends import Backend, choose_backend
from workers.service.records import (
    PAST,
    RECORD_INTERVAL_S,
    RESTART_STREAM,
    START_STREAM,
    STOP_STREAM,
    Action,
    Command,
    CommandOutcome,
    PartsStatus,
    ServiceHealth,
    ServiceRecord,
    ServiceStatus,
    TooEarly,
    last_supervised_at,
    read_record,
)

_SIGNALS = {"start": START_STREAM, "stop": STOP_STREAM, "restart": RESTART_STREAM}
_LIMITS_S = {"start": 20.0, "stop": 45.0, "restart": 65.0}
# The engine takes a second to report what its containers use; the backend seldom changes.
_PARTS_MAX_AGE_S = 5.0
_BACKEND_MAX_AGE_S = 30.0


class CommandTarget(Protocol):
    """What executes the commands of the stream."""

    def execute(self, command: Command) -> CommandOutcome: ...  # noqa: D102


class StreamingServiceManager:
    """Status, health and commands of the service of one state directory, from any process of the machine.

    Parameters
    ----------
    settings : deployment settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: tuple[str, Store] | None = None
        self._chosen: tuple[float, Backend | None] | None = None
        self._parts: tuple[float, PartsStatus] | None = None

    def close(self) -> None:
        """Close the store: a SQLite file can be replaced only while no process has it open."""
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def status(self) -> ServiceStatus:
        """Return the present state; what cannot be determined is None, with the reason in `error`."""
        record = self._record()
        config, store, error = self._open()
        scanned_at = store.last_beat_by_host_clock(SCAN_BEAT) if store else None
        backend = self._backend() if record is None else None
        if backend is not None:
            try:
                parts = self._parts_of(backend)
            except ContimgError as unavailable:  # the last scan shows whether the producer runs
                parts, error = PartsStatus(_is_recent(scanned_at, config)), error or str(unavailable)
        else:
            supervised = record is not None and record.stream == "running"
            running = supervised or self._is_scanned_elsewhere(scanned_at, store, config)
            parts = PartsStatus(running)
            if record is not None:
                since = record.since if supervised else None
                parts = PartsStatus(running, None, record.pid, since, record.cpu_percent, record.memory_mb)
        return ServiceStatus(
            **asdict(parts),
            uptime_seconds=None if parts.started_at is None else time.time() - parts.started_at,
            last_heartbeat=scanned_at,
            config=shown(config) if config else {},
            error=error or (record.error if record else None) or self._state_dir_fault(),
            paused=store.jobs.paused if store else False,
            backend=backend.kind if backend else "process",
        )

    def health(self) -> ServiceHealth:
        """Return whether the stream works: it runs and the age of its last scan is within the limit."""
        status = self.status()
        error = self._problem(status)
        usage = (status.uptime_seconds, status.cpu_percent, status.memory_mb)
        return ServiceHealth(error is None, status.running, *usage, error)

    def execute(self, command: Command) -> CommandOutcome:
        """Start, stop (after the stages under way) or restart the stream, and wait until that is done.

        A start begins a supervisor where there is none; a restart uses the present configuration.

        Parameters
        ----------
        command : `start`, `stop` or `restart`.

        Returns
        -------
        the outcome; `success` is False, with the reason, when the command was not executed.
        """
        record = self._record()
        if record is not None:
            if command == "start" and record.stream in ("running", "starting"):
                return CommandOutcome(True, "the stream is running already", record.pid)
            sent_at = time.time()
            with suppress(ProcessLookupError):  # it has just ended; the wait finds that out
                os.kill(record.pid, _SIGNALS[command])
            return self._wait(command, sent_at)
        if (backend := self._backend()) is not None:
            self._parts = None
            try:
                return backend.execute(command)
            except ContimgError as error:
                return CommandOutcome(False, str(error))
        if self.status().running:
            text = f"the stream runs under systemd, in containers or elsewhere; {command} it there"
            return CommandOutcome(False, text)
        return CommandOutcome(True, "the stream is not running") if command == "stop" else self._launch()

    def _state_dir_fault(self) -> str | None:
        """Why no file of the running service can be written; its own record may be older than that."""
        fault = write_fault(self._settings.state_dir.absolute())
        return str(fault) if isinstance(fault, Transient) else None  # another user's rights do not concern the service

    def _record(self) -> ServiceRecord | None:
        return read_record(self._settings.state_dir)

    def _backend(self) -> Backend | None:
        """What runs the stream where no supervisor does, determined again every half minute."""
        now = time.monotonic()
        if self._chosen is None or now - self._chosen[0] > _BACKEND_MAX_AGE_S:
            self._chosen = (now, choose_backend(self._settings))
        return self._chosen[1]

    def _parts_of(self, backend: Backend) -> PartsStatus:
        now = time.monotonic()
        if self._parts is None or now - self._parts[0] > _PARTS_MAX_AGE_S:
            self._parts = (now, backend.status())
        return self._parts[1]

    def _is_scanned_elsewhere(
        self, scanned_at: float | None, store: Store | None, config: StreamingConfig | None
    ) -> bool:
        """Whether a producer that is no child of a supervisor of this directory scans."""
        if store is None or scanned_at is None or not _is_recent(scanned_at, config):
            return False
        supervised_until = last_supervised_at(self._settings.state_dir) + 2 * RECORD_INTERVAL_S
        return scanned_at > max(supervised_until, store.last_beat_by_host_clock(END_BEAT) or 0.0)

    def _open(self) -> tuple[StreamingConfig | None, Store | None, str | None]:
        """Return configuration and store, each None where it is not available, and the reason."""
        try:
            config = load(self._settings)
        except ContimgError as error:
            return None, None, str(error)
        if self._opened is None and is_missing(config.queue_db):
            return config, None, None
        try:
            if self._opened is None or self._opened[0] != config.queue_db:
                self._opened = (config.queue_db, Store.of(config))
            store = self._opened[1]
            store.activity.last_beat(SCAN_BEAT)
        except (ContimgError, SQLAlchemyError) as error:
            return config, None, str(error).splitlines()[0]
        return config, store, None

    def _problem(self, status: ServiceStatus) -> str | None:
        if status.error or not status.running:
            return status.error or "the stream is not running"
        config, scanned_at, uptime_s = load(self._settings), status.last_heartbeat, status.uptime_seconds
        limit_s = scan_limit_s(config.poll_interval)
        if scanned_at is None or (status.started_at or 0) > scanned_at:
            if uptime_s is not None and uptime_s < limit_s:
                return None
            return f"{config.input_dir} has not been scanned since the start (limit {limit_s:g} s); see producer.log"
        if not _is_recent(scanned_at, config):
            age_s = time.time() - scanned_at
            return f"{config.input_dir} was last scanned {age_s:.0f} s ago (limit {limit_s:g} s); see producer.log"
        return None

    def _launch(self) -> CommandOutcome:
        """Start a supervisor in a session of its own; its output goes to STATE/logs/service.log."""
        path = self._settings.state_dir.absolute() / "logs/service.log"
        if fault := write_fault(path):
            return CommandOutcome(False, str(fault))
        path.parent.mkdir(parents=True, exist_ok=True)
        sent_at = time.time()
        with path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "workers.service"],
                env={**os.environ, "PIPELINE_STATE_DIR": str(self._settings.state_dir.absolute())},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        outcome = self._wait("start", sent_at, process)
        if process.poll() is None:
            return outcome
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
        return CommandOutcome(False, f"the stream did not start: {lines[-1]}; see {path}")

    def _wait(self, command: Command, sent_at: float, process: subprocess.Popen[bytes] | None = None) -> CommandOutcome:
        """Wait until a command is done, or the process that was started for it has ended."""
        limit_s, deadline = _LIMITS_S[command], time.monotonic() + _LIMITS_S[command]
        while True:
            record = self._record()
            pid, state = (record.pid, record.stream) if record else (None, "not running")
            if command == "stop":
                is_done = state in ("stopped", "not running")
            else:
                is_done = record is not None and state == "running" and record.since > sent_at
            if is_done or (process is not None and process.poll() is not None):
                return CommandOutcome(True, f"the stream was {PAST[command]}", pid)
            if time.monotonic() > deadline:
                text = f"the stream was not {PAST[command]} within {limit_s:g} s; it is {state}; see `contimg status`"
                return CommandOutcome(False, text, pid)
            time.sleep(0.1)


def run_command(service: CommandTarget, store: Store, command: Action, by: str) -> CommandOutcome:
    """Execute a command and record it in the event log.

    Parameters
    ----------
    service : what starts and stops the stream.
    store : its store; `pause` and `resume` hold for all hosts that use it.
    command : `start`, `stop`, `restart`, `pause` or `resume`.
    by : author in the event log.

    Returns
    -------
    the outcome; `success` is False, with the reason, when the command was not executed.
    """
    if command == "pause":
        store.jobs.pause(by)
        return CommandOutcome(True, "paused: stages under way are finished, no other starts; `resume` ends the pause")
    if command == "resume":
        if refusal := resume_refusal(store):
            return TooEarly(False, f"not resumed: {refusal}")
        store.jobs.resume(by)
        return CommandOutcome(True, "resumed")
    outcome = service.execute(command)
    record_command(store, command, by, outcome)
    return outcome


def record_command(store: Store, command: Command, by: str, outcome: CommandOutcome) -> None:
    """Record a command in the event log.

    Parameters
    ----------
    store : its store.
    command : `start`, `stop` or `restart`.
    by : author.
    outcome : of the command.
    """
    level = "info" if outcome.success else "warning"
    store.events.add(f"{command} by {by}: {outcome.message}", level=level, author=by)


def _is_recent(scanned_at: float | None, config: StreamingConfig | None) -> bool:
    if scanned_at is None or config is None:
        return False
    return time.time() - scanned_at < scan_limit_s(config.poll_interval)
