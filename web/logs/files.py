"""The log files of the service's processes, in STATE/logs, read from their ends.

A line is JSON or text, as CONTIMG_LOG_FORMAT sets; both hold time, level and logger, and often group and stage. Lines
of other programs are messages without a level. At most `MAX_BYTES` of a file are read.
"""

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import merge
from itertools import chain, count, dropwhile, islice, pairwise
from pathlib import Path
from typing import Annotated

from contimg.common.files.names import printable
from contimg.formats.records import about
from web.http.parameters import LogListing

MAX_BYTES = 8 * 1024 * 1024
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

    process: Annotated[str, about("Process that wrote it", example="producer")]
    at: Annotated[
        str | None,
        about(
            "When it was written; null when the line has no time [ISO 8601, UTC]", example="2026-02-22T03:04:05.123Z"
        ),
    ]
    level: Annotated[
        str, about("DEBUG, INFO, WARNING, ERROR or CRITICAL; empty when the line has none", example="INFO")
    ]
    logger: Annotated[str, about("Name of the logger", example="workers.producer.scanner")]
    message: Annotated[str, about("Text, with the lines that continue it", example="complete: 16 subbands")]
    group: Annotated[str | None, about("Id of the group that it concerns", example="2026-02-22T03:04:05")] = None
    stage: Annotated[str | None, about("Stage that it concerns", example="convert")] = None
    task: Annotated[str | None, about("Id of the Celery task", example="5c1f0f3e-6f4a-4d5e-8a3f-1b2c3d4e5f60")] = None
    host: Annotated[str | None, about("Host of the process", example="lxd110h03")] = None


_RECORD = re.compile(r"[{\[]|\d{4}-\d\d-\d\d")


def list_processes(directory: Path) -> tuple[str, ...]:
    """List the processes that have a log, in alphabetical order.

    Parameters
    ----------
    directory : STATE/logs; a process's log is `<process>.log`.
    """
    return tuple(sorted(path.stem for path in directory.glob("*.log") if path.name.isprintable() and path.is_file()))


def log_path(directory: Path, process: str) -> Path | None:
    """Return the log of a process; None unless the directory lists it.

    Parameters
    ----------
    directory : STATE/logs.
    process : name of the process; one that is a path is not in the list.
    """
    return directory / f"{process}.log" if process in list_processes(directory) else None


def newest_lines(directory: Path, query: LogListing) -> tuple[tuple[LogLine, ...], str | None]:
    """Return a page of the newest lines that match, newest first, of all processes or of one.

    Parameters
    ----------
    directory : STATE/logs; at most the last `MAX_BYTES` of each file are read.
    query : process, lowest level, and values that the lines must have, each empty for any; maximum number of lines. The
        text may occur anywhere in the message, in upper or lower case.

    Returns
    -------
    the lines, and the cursor of the next page, `time~number of lines of that time already shown`; None on the last.
    """
    streams = [
        (line for line in _dated_lines(process, directory / f"{process}.log") if _matches(line, query))
        for process in list_processes(directory)
        if query.process in ("", process)
    ]
    lines: Iterator[LogLine] = merge(*streams, key=_time_of, reverse=True)
    last_at, number_shown = query.cursor or (None, 0)
    if last_at is not None:  # lines of the time of the last one shown: as many as were shown are left out
        numbers = count(1)
        lines = dropwhile(
            lambda line: _time_of(line) > last_at or (_time_of(line) == last_at and next(numbers) <= number_shown),
            lines,
        )
    listed = tuple(islice(lines, query.limit + 1))
    shown = listed[: query.limit]
    if len(listed) <= query.limit:
        return shown, None
    last = _time_of(shown[-1])
    number = sum(_time_of(line) == last for line in shown) + (number_shown if last == last_at else 0)
    return shown, f"{last}~{number}"


def _time_of(line: LogLine) -> str:
    return line.at or ""


def _dated_lines(process: str, path: Path) -> Iterator[LogLine]:
    """Yield a process's lines, newest first; a line without a time gets the time of the line before it."""
    undated: list[LogLine] = []
    for text in _records_backwards(path):
        line = parse_line(process, text)
        line = replace(line, message="\n".join(map(printable, line.message.split("\n"))))
        undated.append(line)
        if line.at is not None:
            yield from (replace(entry, at=line.at) for entry in undated)
            undated = []
    yield from undated


def _matches(line: LogLine, query: LogListing) -> bool:
    if query.level and (line.level not in LEVELS or LEVELS.index(line.level) < LEVELS.index(query.level)):
        return False
    filters = (
        (query.group, line.group), (query.stage or "", line.stage or line.process), (query.task, line.task),
        (query.host, line.host),
    )  # fmt: skip
    return (
        all(not required or required == value for required, value in filters)
        and query.text.lower() in line.message.lower()
    )


def parse_line(process: str, text: str) -> LogLine:
    """Parse a line; fields that it does not hold are None.

    Parameters
    ----------
    process : whose log holds the line.
    text : the line, in JSON or in the text format, with the lines that continue it.

    Returns
    -------
    the line; text in neither format becomes the message of one without time and level. The host is this machine's name
    unless the line names one.
    """
    host = socket.gethostname()
    if text.startswith("{"):
        try:
            fields = json.loads(text)
            optional = {key: str(fields[key]) for key in ("group", "stage", "task") if fields.get(key)}
            message = "\n".join(str(fields[key]) for key in ("message", "traceback") if fields.get(key))
            return LogLine(
                process=process, at=fields["time"], level=fields["level"], logger=fields["logger"], message=message,
                host=str(fields.get("host") or host), **optional,
            )  # fmt: skip
        except (ValueError, KeyError, TypeError):
            pass
    match = _TEXT.fullmatch(text)
    if match:
        return LogLine(process=process, host=host, **match.groupdict())
    return LogLine(process=process, at=None, level="", logger="", message=text, host=host)


def _records_backwards(path: Path) -> Iterator[str]:
    """Yield the records of a file from its end: a line with those that continue it, such as a traceback."""
    held: list[str] = []
    for line, above in pairwise(chain(_lines_backwards(path), [""])):
        held.append(line)
        # The line after an indented one may be the last of a traceback.
        if not _continues(line) and (_RECORD.match(line) or not _continues(above)):
            yield "\n".join(reversed(held))
            held = []
    if held:
        yield "\n".join(reversed(held))


def _continues(line: str) -> bool:
    return line[:1].isspace() or line.startswith("Traceback")


def _lines_backwards(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            begin, remainder = end, b""
            while begin > max(0, end - MAX_BYTES):
                size = min(BLOCK, begin)
                begin = file.seek(begin - size)
                *lines, remainder = reversed((file.read(size) + remainder).split(b"\n"))
                yield from (line.decode("utf-8", "replace") for line in lines if line.strip())
            if begin == 0 and remainder.strip():
                yield remainder.decode("utf-8", "replace")
    except OSError:
        return  # rotated away meanwhile
