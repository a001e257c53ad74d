"""The stream as systemd's units: contimg-stream and the workers, and no other unit of the machine."""

import subprocess
from pathlib import Path

import psutil

from contimg.errors import Transient
from contimg.store import Stage
from workers.service.backends import PartsStatus
from workers.service.records import CommandOutcome

PRODUCER = "contimg-stream.service"
PARTS = (PRODUCER, *(f"contimg-worker@{stage}.service" for stage in Stage))
# A worker's TimeoutStopSec, and a start that waits for the first scan.
LIMIT_S = 120.0


class Units:
    """The backend over systemctl."""

    kind = "systemd"

    @staticmethod
    def are_installed() -> bool:
        """Whether systemd runs here and knows the producer's unit."""
        if not Path("/run/systemd/system").is_dir():
            return False
        return _systemctl("show", "--value", "--property=LoadState", PRODUCER).stdout.strip() == "loaded"

    def status(self) -> PartsStatus:
        """The producer's unit, and what all parts take."""
        if _systemctl("is-active", PRODUCER).stdout.strip() not in ("active", "reloading"):
            return PartsStatus(False, PRODUCER)
        pids = [int(one) for one in _systemctl("show", "--value", "--property=MainPID", *PARTS).stdout.split()]
        processes = [process for pid in pids if pid for process in _tree(pid)]
        for one in processes:
            _sample(one)
        cpu, memory = map(sum, zip((0.0, 0.0), *(_sample(one, 0.05) for one in processes), strict=True))
        started = psutil.Process(pids[0]).create_time() if pids and pids[0] and psutil.pid_exists(pids[0]) else None
        return PartsStatus(True, PRODUCER, pids[0] or None, started, round(cpu, 1), round(memory, 1))

    def start(self) -> CommandOutcome:
        """Start the units; done when the producer's first scan succeeded."""
        return _command("start", "started")

    def stop(self) -> CommandOutcome:
        """Stop the units."""
        return _command("stop", "stopped")

    def restart(self) -> CommandOutcome:
        """Stop and start them."""
        return _command("restart", "restarted")


def _command(verb: str, done: str) -> CommandOutcome:
    outcome = _systemctl(verb, *PARTS)
    if outcome.returncode == 0:
        return CommandOutcome(True, f"the stream was {done}")
    words = outcome.stderr.strip().splitlines() or [f"status {outcome.returncode}"]
    return CommandOutcome(False, f"the stream was not {done}: {words[0]}")


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemctl", "--no-ask-password", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Transient(f"systemctl {arguments[0]}: {error}") from None


def _tree(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _sample(process: psutil.Process, interval_s: float | None = None) -> tuple[float, float]:
    """Percent of one core and megabytes of one process; nothing of one that ended."""
    try:
        return process.cpu_percent(interval_s), process.memory_info().rss / 1e6
    except psutil.NoSuchProcess:
        return 0.0, 0.0
