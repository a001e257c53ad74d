"""The house is kept while the stream runs: orphans swept, the machine measured, disks watched, old products retired.

A loop of its own beside producer and reconciler, so that none of it ever delays a group.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from contimg.errors import ContimgError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chore:
    """Something to do every so often; a chore that fails is said once and tried again at its next turn."""

    name: str
    every_s: float
    do: Callable[[], object]


class Housekeeper:
    """Does its chores, one after the other, each at its own interval."""

    def __init__(self, chores: Sequence[Chore]) -> None:
        self._chores = tuple(chores)
        self._due = dict.fromkeys((chore.name for chore in chores), 0.0)
        self._trouble: dict[str, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.wait(self.turn()):
            pass

    def turn(self) -> float:
        """Do what is due; returns the seconds until the next chore is."""
        for chore in self._chores:
            if self._due[chore.name] <= time.monotonic():
                self._do(chore)
                self._due[chore.name] = time.monotonic() + chore.every_s
        return max(0.0, min(self._due.values(), default=60.0) - time.monotonic())

    def _do(self, chore: Chore) -> None:
        try:
            chore.do()
        except (ContimgError, SQLAlchemyError, OSError) as error:
            trouble = str(error).splitlines()[0]
            if self._trouble.get(chore.name) != trouble:
                log.error("%s: %s", chore.name, trouble)
            self._trouble[chore.name] = trouble
        except Exception:
            log.exception("%s: unexpected; tried again at its next turn", chore.name)
        else:
            self._trouble.pop(chore.name, None)
