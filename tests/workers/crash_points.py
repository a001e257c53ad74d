"""Run as a program: a stage is killed just before its n-th write boundary, for every n; then it is done again.

    python crash_points.py STAGE GROUP_OR_JOB [FIRST LAST]

A write boundary is a rename or a commit. Each attempt is a fork of this process, so that the libraries load once.
Prints one JSON list a line: the boundary it was killed at, then what recovery found and made.
"""

import json
import os
import signal
import sys
from collections.abc import Callable

from sqlalchemy import event

from contimg.settings import Settings, load, queue_rules
from contimg.store import Stage, Store
from workers.execution import stages
from workers.execution.attempt import execute_stage
from workers.execution.recovery import release_leases_of_dead_processes
from workers.execution.stages import StageContext
from workers.housekeeping.cleanup import remove_orphans

NONE = "end"


def main(stage: Stage, group: int | str, first: int = 1, last: int = 1000) -> None:
    stages.load(stage)
    for number in range(first, last + 1):
        reached = _in_a_fork(lambda n=number: _attempt(stage, group, n))
        _in_a_fork(lambda: _recover(stage, group))
        sys.stdout.write(json.dumps([number, reached]) + "\n")
        sys.stdout.flush()
        if reached == 0:
            return


def _in_a_fork(do: Callable[[], None]) -> int:
    """How it ended: the signal's number, 0 when it came to its end."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            do()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1]


def _attempt(stage: Stage, group: int | str, number: int) -> None:
    left = [number]

    def boundary(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    context = _stage_context()
    event.listen(context.store.database.engine, "commit", boundary)
    sys.addaudithook(lambda name, _: boundary() if name == "os.rename" else None)
    execute_stage(context, stage, group)


def _recover(stage: Stage, group: int | str) -> None:
    """What a start of the service does, and the stage once more; then everything must be as if nothing had been."""
    context = _stage_context()
    release_leases_of_dead_processes(context.store)
    execute_stage(context, stage, group)
    runs = [run for run in context.store.jobs.runs(group) if run.stage is stage and run.outcome == "committed"]
    assert len(runs) == 1, runs
    record = context.store.jobs.job(group)
    assert record.lease_owner is None
    remove_orphans(context.config, context.store)
    # Once more for the next boundary, as an operator would have it done again.
    if stage.following:
        context.store.jobs.discard(group)
    context.store.jobs.retry(group, stage=stage)


def _stage_context() -> StageContext:
    config = load(Settings.from_environment())
    return StageContext(config, Store.open(config.queue_db, queue_rules(config)))


if __name__ == "__main__":
    job = int(sys.argv[2]) if sys.argv[2].isdigit() else sys.argv[2]
    main(Stage(sys.argv[1]), job, *map(int, sys.argv[3:]))
