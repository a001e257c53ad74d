"""Format of log lines: text or JSON, each with the group, stage and task that it is about."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

from sqlalchemy.exc import SQLAlchemyError

from contimg.common.errors import ContimgError, mask_secrets
from contimg.settings import Settings, StreamingConfig

log = logging.getLogger(__name__)
REPEAT_S = 300.0
_about: ContextVar[dict[str, str]] = ContextVar("about", default={})  # noqa: B039 (never changed in place)
_QUIET = (
    "alembic.runtime.plugins", "celery.app.trace", "celery.worker.strategy", "sqlalchemy", "kombu", "amqp", "watchdog",
    "numba", "matplotlib", "urllib3", "tornado",
)  # fmt: skip


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Add fields (group, stage, task) to the lines that are logged inside the block."""
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def configure(settings: Settings, config: StreamingConfig) -> None:
    """Send the lines of all loggers to standard error.

    Parameters
    ----------
    settings : gives the format, `text` or `json`.
    config : gives the lowest level.
    """
    handler = _StandardErrorHandler(sys.stderr)
    handler.addFilter(_add_fields)
    handler.addFilter(BrokerErrors())
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.log_level)
    logging.captureWarnings(True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


class _StandardErrorHandler(logging.StreamHandler[TextIO]):
    """Drops a line that cannot be written (a full disk, a closed pipe): no work fails for the sake of its log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (of the base class)
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class BrokerErrors(logging.Filter):
    """Shows once, on one line, why a Celery worker has no connection to the broker; Celery repeats it at each try."""

    def __init__(self) -> None:
        super().__init__()
        self._last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop a line about the connection that repeats the one before, and when the next try is.

        Parameters
        ----------
        record : the log record.
        """
        text = record.getMessage() if record.name.startswith("celery.worker.consumer") else ""
        if text.startswith("Connected to"):
            self._last = ""
        if not text.startswith("consumer: "):
            return True
        text = text.splitlines()[0]
        is_repeated, self._last = text == self._last, text
        record.msg, record.args = text, ()
        return not is_repeated


class RepeatedSteps:
    """Runs steps that are repeated for ever; an error ends none of them and is logged once in `REPEAT_S`.

    A step that has nothing to do for a round in between, and succeeds, does not make the same error a new one.
    """

    def __init__(self) -> None:
        self._last_errors: dict[str, str] = {}
        self._logged: dict[str, tuple[str, float]] = {}  # of each step its last logged error, and when

    def run(self, name: str, step: Callable[[], object]) -> str | None:
        """Run a step once.

        Parameters
        ----------
        name : of the step, for the log lines.
        step : called; an error of the package, the store or the file system is one line, any other a traceback.

        Returns
        -------
        the error on one line, or None.
        """
        try:
            step()
        except (ContimgError, SQLAlchemyError, OSError) as error:
            message = (str(error) or type(error).__name__).splitlines()[0]
            logged, logged_at = self._logged.get(name, ("", 0.0))
            is_known = message in (self._last_errors.get(name), logged)
            if not is_known or (name not in self._last_errors and time.monotonic() - logged_at > REPEAT_S):
                log.error("%s: %s; it is repeated", name, message)
                self._logged[name] = message, time.monotonic()
            self._last_errors[name] = message
            return message
        except Exception as error:
            log.exception("%s: unexpected error; it is repeated", name)
            return f"{type(error).__name__}: {error}"
        else:
            if message := self._last_errors.pop(name, ""):
                log.info("%s: succeeded after: %s", name, message)
        return None


class TextFormatter(logging.Formatter):
    """`2026-02-22T23:20:01.123Z INFO workers.execution.attempt [2026-02-22T23:17:51 convert] message`."""

    def __init__(self) -> None:
        super().__init__("%(utc)s %(levelname)s %(name)s %(context)s%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Format one line, and the traceback if there is one.

        Parameters
        ----------
        record : the log record, with the fields of `about`; its attributes `context` and `utc` are set.
        """
        fields = getattr(record, "about", {})
        context = " ".join(fields[key] for key in ("group", "stage") if key in fields)
        record.context = f"[{context}] " if context else ""
        record.utc = _format_time(record)
        return mask_secrets(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and group, stage, task where known."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one object; a traceback is its field `traceback`.

        Parameters
        ----------
        record : the log record, with the fields of `about`.
        """
        fields: dict[str, str] = {
            "time": _format_time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": mask_secrets(record.getMessage()),
            **getattr(record, "about", {}),
        }
        if record.exc_info:
            fields["traceback"] = mask_secrets(self.formatException(record.exc_info))
        return json.dumps(fields)


def _add_fields(record: logging.LogRecord) -> bool:
    record.about = _about.get()
    return True


def _format_time(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"
