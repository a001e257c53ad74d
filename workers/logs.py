"""One place that says how log lines look: text or JSON, each with the group, stage and task it is about."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from contimg.settings import Settings, StreamingConfig

_about: ContextVar[dict[str, str]] = ContextVar("about", default={})  # noqa: B039 (never changed in place)
_QUIET = (
    "celery.app.trace",
    "celery.worker.strategy",
    "sqlalchemy",
    "kombu",
    "amqp",
    "watchdog",
    "numba",
    "matplotlib",
    "urllib3",
    "tornado",
)


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Name what the lines logged inside the block are about: group, stage, task."""
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def configure(settings: Settings, config: StreamingConfig) -> None:
    """Send every logger's lines to stderr in the form and from the level that are configured."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_name_what_it_is_about)
    handler.setFormatter(Json() if settings.log_format == "json" else Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.log_level)
    logging.captureWarnings(True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _name_what_it_is_about(record: logging.LogRecord) -> bool:
    record.about = _about.get()
    return True


class Text(logging.Formatter):
    """`2026-02-22T23:20:01.123Z INFO workers.execution.attempt [2026-02-22T23:17:51 convert] message`."""

    def __init__(self) -> None:
        super().__init__("%(moment)s %(levelname)s %(name)s %(where)s%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback if there is one."""
        fields = getattr(record, "about", {})
        named = [fields[key] for key in ("group", "stage") if key in fields]
        record.where = f"[{' '.join(named)}] " if named else ""
        record.moment = _moment(record)
        return super().format(record)


class Json(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and group, stage, task where known."""

    def format(self, record: logging.LogRecord) -> str:
        """The object; a traceback is its field `traceback`."""
        fields: dict[str, str] = {
            "time": _moment(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "about", {}),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def _moment(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"
