"""Run CASA tasks: `python -m contimg.tile.calibrate.solve.casa_process JOB.json`.

The job is {"log": path, "answer": path, "parent": pid, "memory_bytes": address space,
"steps": [{"task": name, "arguments": {...}}, ...]}; the answer {"error": null or text, "version": text}. CASA runs in a
process of its own because its libraries clash with python-casacore's, keep global state and write their logs into the
working directory. The process ends with its parent.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

from contimg.common.files.processes import bind_to_parent, limit_memory
from contimg.common.files.writing import write_text


def main() -> None:
    """Run the job named on the command line and write its answer."""
    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    bind_to_parent(job["parent"])
    limit_memory(job["memory_bytes"], resource.RLIMIT_AS)
    write_text(Path(job["answer"]), json.dumps(_run(job)))


def _run(job: dict[str, Any]) -> dict[str, Any]:
    import casatasks

    casatasks.casalog.setlogfile(job["log"])
    answer = {"error": None, "version": casatasks.version_string()}
    for step in job["steps"]:
        try:
            getattr(casatasks, step["task"])(**step["arguments"])
        except Exception as error:  # noqa: BLE001 - whatever CASA raises is this job's answer
            return {**answer, "error": f"{step['task']}: {error}"}
        caltable = step["arguments"].get("caltable")
        if caltable and not Path(caltable).exists():
            return {**answer, "error": f"{step['task']} wrote no table {Path(caltable).name}"}
    return answer


if __name__ == "__main__":
    main()
