"""The stream as systemd units: contimg-stream and the workers."""

import subprocess
import time
from pathlib import Path

import psutil

from contimg.common.errors import Transient
from contimg.store import QUEUES
from workers.service.child import ProcessTreeUsage
from workers.service.records import PAST, Command, CommandOutcome, PartsStatus

PRODUCER = "contimg-stream.service"
PARTS = (PRODUCER, *(f"contimg-worker@{stage}.service" for stage in QUEUES))
# Covers a worker's TimeoutStopSec and a start that waits for the first scan.
COMMAND_LIMIT_S = 120.0
_SAMPLE_S = 0.2


class Units:
    """The backend over systemctl."""

    kind = "systemd"

    @staticmethod
    def are_installed() -> bool:
        """Whether systemd runs here and has the producer's unit."""
        if not Path("/run/systemd/system").is_dir():
            return False
        return _systemctl("show", "--value", "--property=LoadState", PRODUCER).stdout.strip() == "loaded"

    def status(self) -> PartsStatus:
        """Return the state of the producer's unit and the usage of all parts; raises Transient."""
        if _systemctl("is-active", PRODUCER).stdout.strip() not in ("active", "reloading"):
            return PartsStatus(False, PRODUCER)
        pids = [int(pid) for pid in _systemctl("show", "--value", "--property=MainPID", *PARTS).stdout.split()]
        usage = ProcessTreeUsage(pid for pid in pids if pid)
        usage.sample()
        time.sleep(_SAMPLE_S)
        cpu_percent, memory_mb = usage.sample()
        producer = pids[0] if pids and psutil.pid_exists(pids[0]) else 0
        started_at = psutil.Process(producer).create_time() if producer else None
        return PartsStatus(True, PRODUCER, producer or None, started_at, round(cpu_percent, 1), round(memory_mb, 1))

    def execute(self, command: Command) -> CommandOutcome:
        """Execute a command on all units; a start is done when the producer's first scan succeeded.

        Parameters
        ----------
        command : `start`, `stop` or `restart`.

        Returns
        -------
        the outcome; `success` is False when systemctl fails, with the first line of its error.

        Raises
        ------
        Transient : systemctl cannot be run, or does not end within COMMAND_LIMIT_S.
        """
        outcome = _systemctl(command, *PARTS)
        if outcome.returncode == 0:
            return CommandOutcome(True, f"the stream was {PAST[command]}")
        lines = outcome.stderr.strip().splitlines() or [f"status {outcome.returncode}"]
        text = f"the stream was not {PAST[command]}: {lines[0]}; see `systemctl status {PRODUCER}`"
        return CommandOutcome(False, text)


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemctl", "--no-ask-password", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Transient(f"systemctl {arguments[0]}: {error}") from None
