"""Run CASA tasks in a process of their own, with its own home, working directory, log and time limit."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contimg.common.errors import BadInput, Transient
from contimg.common.files.processes import kill_session, module_environment
from contimg.common.files.staging import disk_error_reason
from contimg.instrument.bundled_data import casa_environment

MEMORY_BYTES = 8_000_000_000


class CasaFailed(BadInput):
    """A CASA task failed on its input; the message is CASA's."""


@dataclass(frozen=True)
class Task:
    """One call of a CASA task: its name and its arguments (JSON values; paths as text)."""

    task: str
    arguments: dict[str, Any]


def run(
    tasks: Sequence[Task], scratch: Path, log: Path, timeout_s: float, memory_bytes: int = MEMORY_BYTES
) -> str:  # fmt: skip
    """Run CASA tasks one after the other.

    Parameters
    ----------
    tasks : the tasks.
    scratch : an empty directory: home, working directory and messages of the process.
    log : path of CASA's log.
    timeout_s : time limit; at it, and when this process is interrupted, the whole session of the process is killed.
    memory_bytes : address space of the process; allocations beyond it fail.

    Returns
    -------
    CASA's version.

    Raises
    ------
    CasaFailed : a task raised. An unknown reference antenna raises nothing: check that the tables exist.
    Transient : the process died or reached the time limit, or its disk is full.
    """
    home = scratch / "home"
    home.mkdir(parents=True, exist_ok=True)
    job, answer, output = scratch / "job.json", scratch / "answer.json", scratch / "output.txt"
    answer.unlink(missing_ok=True)
    request = {
        "log": str(log), "answer": str(answer), "parent": os.getpid(), "memory_bytes": memory_bytes,
        "steps": [asdict(task) for task in tasks],
    }  # fmt: skip
    job.write_text(json.dumps(request), encoding="utf-8")
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "contimg.tile.calibrate.solve.casa_process", str(job)],
            env=module_environment(casa_environment(home), os.environ.get("OMP_NUM_THREADS", "2")),
            cwd=scratch, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Transient(f"the CASA process took longer than {timeout_s:g} s and was stopped; see {log}") from None
        finally:
            kill_session(process)
    if not answer.exists():
        lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
        raise Transient(f"the CASA process died with status {process.returncode} ({lines[-1]}); see {log}")
    reply: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if reply["error"] and disk_error_reason(reply["error"]):
        raise Transient(f"CASA {reply['error']}; free space on the disk, see {log}")
    if reply["error"]:
        raise CasaFailed(f"CASA {reply['error']}; see {log}")
    return str(reply["version"])
