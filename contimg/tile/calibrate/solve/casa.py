"""Run CASA tasks in a process of their own, with its own home, working directory, log and time limit."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contimg.errors import BadInput, Transient
from contimg.files.staging import refusal
from contimg.instrument.bundled_data import casa_environment


class CasaFailed(BadInput):
    """A CASA task refused its input; the message carries what CASA said."""


@dataclass(frozen=True)
class Task:
    """One call of a CASA task: its name and its arguments (JSON values; paths as text)."""

    task: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """What a run was: CASA's version and the seconds of each task."""

    version: str
    seconds: tuple[float, ...]


MEMORY_BYTES = 8_000_000_000


def run(steps: Sequence[Task], room: Path, log: Path, timeout_s: float, memory_bytes: int = MEMORY_BYTES) -> Finished:
    """Run CASA tasks one after the other.

    Parameters
    ----------
    room : an empty scratch directory: home, working directory and messages of the process.
    log : where CASA's log goes.
    memory_bytes : address space of the process; CASA that wants more fails.

    Raises
    ------
    CasaFailed : a task raised. An unknown reference antenna raises nothing: look for the tables yourself.
    Transient : the process died or ran into the time limit, or its disk is full.
    """
    home = room / "home"
    home.mkdir(parents=True, exist_ok=True)
    job, answer = room / "job.json", room / "answer.json"
    answer.unlink(missing_ok=True)
    asked = {
        "log": str(log), "answer": str(answer), "parent": os.getpid(), "memory_bytes": memory_bytes,
        "steps": [asdict(one) for one in steps],
    }  # fmt: skip
    job.write_text(json.dumps(asked), encoding="utf-8")
    output = room / "output.txt"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "contimg.tile.calibrate.solve.casa_process", str(job)],
            env=_environment(home), cwd=room, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        _wait(process, timeout_s, log)
    if not answer.exists():
        lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
        raise Transient(f"the CASA process died with status {process.returncode} ({lines[-1]}); see {log}")
    said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if said["error"] and refusal(said["error"]):
        raise Transient(f"CASA {said['error']}; make room on the disk, see {log}")
    if said["error"]:
        raise CasaFailed(f"CASA {said['error']}; see {log}")
    return Finished(said["version"] or "unknown", tuple(said["seconds"]))


def _wait(process: subprocess.Popen[bytes], timeout_s: float, log: Path) -> None:
    """Wait for the end; at the time limit, or when we are interrupted, nothing of the process's session stays."""
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise Transient(f"the CASA process took longer than {timeout_s:g} s and was stopped; see {log}") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _environment(home: Path) -> dict[str, str]:
    """CASA's environment; the package's own root goes first on the path, for the working directory is another."""
    root = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH", "")
    threads = os.environ.get("OMP_NUM_THREADS", "2")
    return {
        **casa_environment(home),
        "PYTHONPATH": os.pathsep.join(filter(None, [root, inherited])),
        "OMP_NUM_THREADS": threads,
    }
