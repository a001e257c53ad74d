"""The Celery tasks: one for each stage; the store decides whether there is work."""

import logging
from functools import lru_cache
from typing import Any

from celery.worker import state
from celery.worker.request import Request
from sqlalchemy.exc import SQLAlchemyError

from contimg.common.errors import ContimgError
from contimg.settings import Settings, load
from contimg.store import Stage, Store
from contimg.store.jobs.records import JobRef
from workers.app import app
from workers.execution.attempt import execute_stage
from workers.execution.processes import LivenessFile
from workers.execution.recovery import fail_overlong_stage
from workers.execution.stages import StageContext

log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def liveness_file() -> LivenessFile:
    """The liveness file of this worker process."""
    return LivenessFile(Settings.from_environment().state_dir)


@lru_cache(maxsize=1)
def stage_context() -> StageContext:
    """The configuration and the store of this worker process."""
    config = load(Settings.from_environment())
    return StageContext(config, Store.of(config))


class TimedRequest(Request):  # type: ignore[misc]  # Celery has no types
    """A task whose stage fails when its time limit is reached, before its process is killed."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """End the lease, because the pool kills the child process next.

        Parameters
        ----------
        soft : whether it is Celery's soft limit, at which the process is not killed; the lease is then kept.
        timeout : the limit that was exceeded, s.
        """
        if not soft and not state.should_terminate:
            try:
                fail_overlong_stage(stage_context().store, self.id, timeout)
            except SQLAlchemyError as error:  # the reconciler ends the lease when the store is back
                log.error("%s", str(error).splitlines()[0])
        super().on_timeout(soft, timeout)


def _task(stage: Stage) -> Any:
    @app.task(bind=True, Request=TimedRequest, name=f"contimg.{stage}", max_retries=2, default_retry_delay=15)
    def execute(self: Any, job: JobRef) -> None:
        """Execute the stage of a job; messages of earlier versions give the id of a group."""
        liveness_file()
        try:
            is_next_due = execute_stage(stage_context(), stage, job, self.request.id)
        except (ContimgError, SQLAlchemyError) as error:  # the reconciler sends another message when that is corrected
            log.error("job %s, %s: %s", job, stage, str(error).partition("\n")[0])
            is_next_due = False
        if not is_next_due:
            self.request.chain = None

    return execute


TASKS = {stage: _task(stage) for stage in Stage}
