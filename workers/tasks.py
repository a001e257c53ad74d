"""The three tasks: thin, for the store says what is to be done and the stages do it."""

from functools import lru_cache
from typing import Any

from contimg.config import load, settings_from
from contimg.store import Stage, Store
from workers.app import app
from workers.living import Sign
from workers.stages import House
from workers.turn import Then, take_turn


@lru_cache(maxsize=1)
def sign() -> Sign:
    """The sign of life of this worker process."""
    return Sign(settings_from().state_dir)


@lru_cache(maxsize=1)
def house() -> House:
    """The configuration and the store of this worker process."""
    config = load(settings_from())
    return House(config, Store.of(config))


def _task(stage: Stage) -> Any:
    @app.task(bind=True, name=f"contimg.{stage}", max_retries=2, default_retry_delay=15)
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
