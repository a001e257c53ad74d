"""Child processes of the supervisor: started, logged, restarted after a crash, stopped; their resource usage."""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

import psutil

from contimg.common.files.processes import kill_session, start_bound

LOG_BYTES = 10_000_000
LOG_FILES = 5
MIN_DELAY_S = 1.0
MAX_DELAY_S = 60.0
# After a run of this duration the next restart has the shortest delay again.
STABLE_AFTER_S = 60.0


@dataclass(frozen=True)
class ChildPlan:
    """Name, command and additional environment of a child process.

    `beat_path` is a file that the process touches every few seconds while its main thread progresses, or None.
    """

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    beat_path: Path | None = None


class Child:
    """A child process. Use it from the one thread that lives as long as the supervisor.

    Parameters
    ----------
    plan : what to run.
    log_dir : directory of its log file, which is rotated.
    """

    def __init__(self, plan: ChildPlan, log_dir: Path) -> None:
        self.plan = plan
        self.restarts = 0
        self.log_path = log_dir / f"{plan.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._log_thread: threading.Thread | None = None
        self._started = 0.0
        self._delay_s = MIN_DELAY_S
        self._restart_at: float | None = None
        self._beat = 0  # time of modification of its file, ns
        self._beat_at = 0.0
        self._has_beaten = False

    @property
    def pid(self) -> int | None:
        """The pid while the process runs, else None."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the process and copy its output to the log file; raises OSError when it cannot be started."""
        process = start_bound(
            self.plan.command, environ=self.plan.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self._process, self._started, self._restart_at = process, time.monotonic(), None
        self._read_beat()
        self._has_beaten = False
        assert process.stdout is not None  # noqa: S101 (a pipe, see above)
        self._log_thread = threading.Thread(
            target=_copy_lines, args=(process.stdout, self.log_path), name=f"log of {self.plan.name}", daemon=True
        )
        self._log_thread.start()

    def watch(self) -> str | None:
        """Restart the process after a crash, with a growing delay; return a message when it has just ended."""
        process = self._process
        if process is None or process.poll() is None:
            return None
        now = time.monotonic()
        if self._restart_at is None:
            if now - self._started > STABLE_AFTER_S:
                self._delay_s = MIN_DELAY_S
            delay_s = self._delay_restart()
            _kill_process_group(process.pid)
            status = process.returncode
            cause = f"status {status}" if status >= 0 else signal.Signals(-status).name
            return f"{self.plan.name} ended ({cause}); restarted in {delay_s:g} s; see {self.log_path}"
        if now >= self._restart_at:
            try:
                self.start()
            except OSError as error:
                reason = error.strerror or str(error)
                return f"{self.plan.name} cannot be started ({reason}); repeated in {self._delay_restart():g} s"
            self.restarts += 1
        return None

    def silent_s(self) -> float:
        """Return for how long the process has not touched its file, s; 0 for one that has never done so.

        A process that starts takes its time: its first touch is waited for without a limit.
        """
        if self.pid is None:
            return 0.0
        if self._read_beat():
            self._has_beaten = True
            self.reset_silence()
        return time.monotonic() - self._beat_at if self._has_beaten else 0.0

    def reset_silence(self) -> None:
        """Count the silence from now on."""
        self._beat_at = time.monotonic()

    def kill_process(self) -> None:
        """Kill the process and those of its session; `watch` starts it again."""
        if self._process is not None:
            _kill_process_group(self._process.pid)

    def _read_beat(self) -> bool:
        """Read the time of the file; return whether it has changed."""
        before = self._beat
        if self.plan.beat_path is not None:
            with suppress(OSError):
                self._beat = self.plan.beat_path.stat().st_mtime_ns
        return self._beat != before

    def _delay_restart(self) -> float:
        """Set the time of the next start, and return the delay until then, s."""
        delay_s, self._delay_s = self._delay_s, min(2 * self._delay_s, MAX_DELAY_S)
        self._restart_at = time.monotonic() + delay_s
        return delay_s

    def terminate(self) -> None:
        """Send SIGTERM: the process ends after the work under way."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill the process and every process that it has started."""
        if self._process is not None:
            kill_session(self._process)
            _kill_process_group(self._process.pid)
        if self._log_thread is not None:
            self._log_thread.join(timeout=2)
        self._process = None


def stop_all(children: Iterable[Child], limit_s: float, is_urgent: Callable[[], bool] = lambda: False) -> None:
    """Terminate children, wait for them, and kill those that are left.

    Parameters
    ----------
    children : the children.
    limit_s : maximum time to wait, s.
    is_urgent : whether to stop waiting now.
    """
    children = list(children)
    for child in children:
        child.terminate()
    deadline = time.monotonic() + limit_s
    while any(child.pid for child in children) and time.monotonic() < deadline and not is_urgent():
        time.sleep(0.05)
    for child in children:
        child.kill()


class ProcessTreeUsage:
    """Usage of processes and all their descendants; each sample covers the time since the last one.

    Parameters
    ----------
    pids : the processes; by default this one.
    """

    def __init__(self, pids: Iterable[int] = ()) -> None:
        self._pids = tuple(pids) or (os.getpid(),)
        self._processes: dict[int, psutil.Process] = {}

    def sample(self) -> tuple[float, float]:
        """Return processor usage in percent of one core, and resident memory in MB, shared pages counted each time."""
        processes = []
        for pid in self._pids:
            with suppress(psutil.NoSuchProcess):
                root = psutil.Process(pid)
                processes += [root, *root.children(recursive=True)]
        # An object of the last sample holds the processor time of that sample.
        self._processes = {process.pid: self._processes.get(process.pid, process) for process in processes}
        cpu_percent = memory_bytes = 0.0
        for process in self._processes.values():
            with suppress(psutil.NoSuchProcess):
                cpu_percent += process.cpu_percent()
                memory_bytes += process.memory_info().rss
        return cpu_percent, memory_bytes / 1e6


def _kill_process_group(pid: int) -> None:
    """Kill what is left of the session of a child that has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class _ChildLog(RotatingFileHandler):
    """Log file of a child. A line that cannot be written is dropped and counted; a file that is deleted is made again.

    The output must be read in any case: a child whose pipe is full waits for ever.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True)
        self._dropped = 0
        self._reason = ""

    def write_line(self, text: str) -> None:
        """Append a line."""
        record = logging.LogRecord("", logging.INFO, "", 0, text, (), None)
        try:
            if not Path(self.baseFilename).exists():
                self._close_stream()
                Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
            if self.shouldRollover(record):
                self.doRollover()
            stream = self.stream or self._open()
            self.stream = stream
            if self._dropped:
                stream.write(f"{self._dropped} lines were not written: {self._reason}\n")
            stream.write(f"{text}\n")
            stream.flush()
            self._dropped = 0
        except OSError as error:
            self._dropped, self._reason = self._dropped + 1, error.strerror or str(error)
            self._close_stream()

    def _close_stream(self) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            with suppress(OSError):  # what is left in its buffer is dropped
                stream.close()


def _copy_lines(pipe: IO[bytes], path: Path) -> None:
    log = _ChildLog(path)
    for line in pipe:
        log.write_line(line.decode(errors="replace").rstrip("\n"))
    with suppress(OSError):
        log.close()
    pipe.close()
