"""The three tasks: thin, for the store says what is to be done and the stages do it."""

import logging
from functools import lru_cache
from typing import Any

from celery.worker import state
from celery.worker.request import Request
from sqlalchemy.exc import SQLAlchemyError

from contimg.settings import Settings, load
from contimg.store import Stage, Store
from workers.app import app
from workers.execution.attempt import Then, take_turn
from workers.execution.liveness import Sign
from workers.execution.recovery import fail_what_took_too_long
from workers.execution.stages import StageContext

log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def sign() -> Sign:
    """The sign of life of this worker process."""
    return Sign(Settings.from_environment().state_dir)


@lru_cache(maxsize=1)
def house() -> StageContext:
    """The configuration and the store of this worker process."""
    config = load(Settings.from_environment())
    return StageContext(config, Store.of(config))


class TimedRequest(Request):  # type: ignore[misc]  # Celery has no types
    """A task as the worker sees it, whose stage has failed when its time is over and not when its process is dead."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """End the lease, for the pool kills the child next."""
        if not soft and not state.should_terminate:
            try:
                fail_what_took_too_long(house().store, self.id, timeout)
            except SQLAlchemyError as error:  # the reconciler finds the lease when the store is back
                log.error("%s", str(error).splitlines()[0])
        super().on_timeout(soft, timeout)


def _task(stage: Stage) -> Any:
    @app.task(bind=True, Request=TimedRequest, name=f"contimg.{stage}", max_retries=2, default_retry_delay=15)
    def turn(self: Any, group: str) -> str:
        sign()
        then = take_turn(house(), stage, group, self.request.id)
        if then is Then.END:
            self.request.chain = None
        return then.value

    return turn


convert = _task(Stage.CONVERT)
calibrate = _task(Stage.CALIBRATE)
image = _task(Stage.IMAGE)
