"""The logs of the service's processes, as they lie in STATE/logs: the newest lines that are asked for.

A line is JSON or text, as CONTIMG_LOG_FORMAT says; both name the time, the level, the logger, and often the group and
stage. Lines of other programs count as messages without a level. A log is read from its end, and not for ever.
"""

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice
from pathlib import Path

from web.http.parameters import LogListing

MOST_BYTES = 8 * 1024 * 1024
BLOCK = 64 * 1024
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_TEXT = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT[\d:.]+Z) (?P<level>[A-Z]+) (?P<logger>\S+) "
    r"(?:\[(?P<group>\d{4}-\d\d-\d\dT[\d:]{8})(?: (?P<stage>\w+))?\] )?(?P<message>.*)",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A line of a process's log; `at` is null when the line has no time."""

    process: str
    at: str | None
    level: str
    logger: str
    message: str
    group: str | None = None
    stage: str | None = None
    task: str | None = None
    host: str | None = None


_RECORD = re.compile(r"[{\[]|\d{4}-\d\d-\d\d")


def processes(directory: Path) -> tuple[str, ...]:
    """The processes that have a log."""
    return tuple(sorted(path.stem for path in directory.glob("*.log") if path.is_file()))


def log_path(directory: Path, process: str) -> Path | None:
    """A process' log, or None: only names that the directory lists are known."""
    return directory / f"{process}.log" if process in processes(directory) else None


def newest(directory: Path, query: LogListing) -> tuple[LogLine, ...]:
    """The newest lines that a request asks for, newest first, over all processes or one."""
    names = [one for one in processes(directory) if query.process in ("", one)]
    streams = [_wanted(name, directory / f"{name}.log", query) for name in names]
    return tuple(islice(merge(*streams, key=lambda line: line.at or "", reverse=True), query.limit))


def _wanted(process: str, path: Path, query: LogListing) -> Iterator[LogLine]:
    return (line for line in _dated(process, path) if _is_wanted(line, query))


def _dated(process: str, path: Path) -> Iterator[LogLine]:
    """A process' lines, newest first; a line without a time, of another program, is as old as the one above it."""
    undated: list[LogLine] = []
    for raw in _backwards(path):
        line = parsed(process, raw)
        undated.append(line)
        if line.at is not None:
            yield from (replace(entry, at=line.at) for entry in undated)
            undated = []
    yield from undated


def _is_wanted(line: LogLine, query: LogListing) -> bool:
    if query.level and (line.level not in LEVELS or LEVELS.index(line.level) < LEVELS.index(query.level)):
        return False
    named = (
        (query.group, line.group), (query.stage or "", line.stage or line.process), (query.task, line.task),
        (query.host, line.host),
    )  # fmt: skip
    return all(not wanted or wanted == found for wanted, found in named) and query.text.lower() in line.message.lower()


def parsed(process: str, raw: str) -> LogLine:
    """One line; what it does not say is None."""
    host = socket.gethostname()
    if raw.startswith("{"):
        try:
            fields = json.loads(raw)
            more = {key: str(fields[key]) for key in ("group", "stage", "task") if fields.get(key)}
            message = "\n".join(str(fields[key]) for key in ("message", "traceback") if fields.get(key))
            return LogLine(
                process=process, at=fields["time"], level=fields["level"], logger=fields["logger"], message=message,
                host=str(fields.get("host") or host), **more,
            )  # fmt: skip
        except (ValueError, KeyError, TypeError):
            pass
    match = _TEXT.fullmatch(raw)
    if match:
        return LogLine(process=process, host=host, **match.groupdict())
    return LogLine(process=process, at=None, level="", logger="", message=raw, host=host)


def _backwards(path: Path) -> Iterator[str]:
    """The records of a file from its end: a line, and those below it that belong to it, as those of a traceback do."""
    held: list[str] = []
    for line in _lines_backwards(path):
        if _continues(line):
            held.append(line)
            continue
        if held and not _continues(held[-1]):
            yield "\n".join(reversed(held))
            held = []
        if _RECORD.match(line) or held:
            yield "\n".join([line, *reversed(held)])
            held = []
        else:
            held.append(line)  # perhaps the last line of a traceback: the one above tells
    if held:
        yield "\n".join(reversed(held))


def _continues(line: str) -> bool:
    return line[:1].isspace() or line.startswith("Traceback")


def _lines_backwards(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            begin, rest = end, b""
            while begin > max(0, end - MOST_BYTES):
                size = min(BLOCK, begin)
                begin = file.seek(begin - size)
                *lines, rest = reversed((file.read(size) + rest).split(b"\n"))
                yield from (line.decode("utf-8", "replace") for line in lines if line.strip())
            if begin == 0 and rest.strip():
                yield rest.decode("utf-8", "replace")
    except OSError:
        return  # rotated away just now
