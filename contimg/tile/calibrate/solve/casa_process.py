"""Run CASA tasks: `python -m contimg.tile.calibrate.solve.casa_process JOB.json`.

The job is {"log": path, "answer": path, "parent": pid, "memory_bytes": address space,
"steps": [{"task": name, "arguments": {...}}, ...]}; the answer {"error": null or text, "version": text,
"seconds": [of each task]}. CASA lives in a process of its own because its libraries clash with python-casacore's,
hold global state and log where they please. The process ends with its parent.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the job named on the command line and write its answer."""
    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != job["parent"]:
        sys.exit("the process that asked for this job is gone")
    resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"],) * 2)
    answer = Path(job["answer"])
    part = answer.with_suffix(".part")
    part.write_text(json.dumps(_run(job)), encoding="utf-8")
    part.replace(answer)


def _run(job: dict[str, Any]) -> dict[str, Any]:
    import casatasks

    casatasks.casalog.setlogfile(job["log"])
    version = casatasks.version_string()
    seconds: list[float] = []
    for step in job["steps"]:
        begun = time.perf_counter()
        try:
            getattr(casatasks, step["task"])(**step["arguments"])
        except Exception as error:  # noqa: BLE001 - whatever CASA raises is this job's answer
            return {"error": f"{step['task']}: {error}", "version": version, "seconds": seconds}
        made = step["arguments"].get("caltable")
        if made and not Path(made).exists():
            said = f"{step['task']} made no table {Path(made).name}"
            return {"error": said, "version": version, "seconds": seconds}
        seconds.append(time.perf_counter() - begun)
    return {"error": None, "version": version, "seconds": seconds}


if __name__ == "__main__":
    main()
