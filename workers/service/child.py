"""One process under the supervisor: started, logged, started again when it ends by itself, ended when told."""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from contimg.files.processes import kill_session, start_bound

LOG_BYTES = 10_000_000
LOG_FILES = 5
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
# A process that lived this long was well: its next crash is its first.
WELL_AFTER_S = 60.0


@dataclass(frozen=True)
class ChildPlan:
    """What to run under which name, and what it needs in its environment."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)


class Child:
    """The process of a plan. Use it from the one thread that lives as long as the supervisor."""

    def __init__(self, plan: ChildPlan, log_dir: Path) -> None:
        self.plan = plan
        self.restarts = 0
        self.log_path = log_dir / f"{plan.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._pump: threading.Thread | None = None
        self._started = 0.0
        self._wait_s = FIRST_WAIT_S
        self._again_at: float | None = None

    @property
    def pid(self) -> int | None:
        """Its pid while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> None:
        """Start the process; its output goes to its log file, which rotates."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        process = start_bound(
            self.plan.command,
            environ=self.plan.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._process, self._started, self._again_at = process, time.monotonic(), None
        assert process.stdout is not None  # noqa: S101 (asked for above)
        self._pump = threading.Thread(
            target=_log_lines, args=(process.stdout, self.log_path), name=f"log of {self.plan.name}", daemon=True
        )
        self._pump.start()

    def watch(self) -> str | None:
        """Start it again after a crash, later and later; returns what to tell when it has just ended."""
        process = self._process
        if process is None or process.poll() is None:
            return None
        now = time.monotonic()
        if self._again_at is None:
            if now - self._started > WELL_AFTER_S:
                self._wait_s = FIRST_WAIT_S
            wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, LONGEST_WAIT_S)
            self._again_at = now + wait_s
            kill_group(process.pid)
            return f"{self.plan.name} ended ({_ending(process.returncode)}); starting it again in {wait_s:g} s"
        if now >= self._again_at:
            self.restarts += 1
            self.start()
        return None

    def ask_to_end(self) -> None:
        """SIGTERM: end after what is under way."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """End it and everything it started, now."""
        if self._process is not None:
            kill_session(self._process)
            kill_group(self._process.pid)
        if self._pump is not None:
            self._pump.join(timeout=2)
        self._process = None


def kill_group(pid: int) -> None:
    """SIGKILL to what is left of the session of a child that has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _log_lines(pipe: IO[bytes], path: Path) -> None:
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    for line in pipe:
        text = line.decode(errors="replace").rstrip("\n")
        handler.emit(logging.LogRecord("", logging.INFO, "", 0, text, (), None))
    handler.close()
    pipe.close()


def _ending(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    return signal.Signals(-status).name
