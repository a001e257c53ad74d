"""Streams that run on this machine, whatever their state directory, and the refusal of one without a store."""

import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from contimg.common.errors import Misconfigured
from contimg.settings import Settings, check_all, load
from contimg.store.engine import is_missing
from workers.broker import LAST_RESORT, url_in_force
from workers.service.records import read_record

MAX_NAMED = 3  # streams in a message
_VARIABLE = "PIPELINE_STATE_DIR"


@dataclass(frozen=True)
class RunningStream:
    """A stream of this machine.

    Attributes
    ----------
    pid : of its supervisor, or of its producer where that has no supervisor.
    user : owner of the process.
    state_dir : its state directory; None where another user or a container hides it.
    """

    pid: int
    user: str
    state_dir: Path | None

    def __str__(self) -> str:
        location = f"in a container, or of user {self.user}" if self.state_dir is None else f"on {self.state_dir}"
        return f"a stream runs {location} (pid {self.pid})"


def find_streams() -> list[RunningStream]:
    """Find the streams of this machine in its table of processes: every stream has one producer."""
    streams = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            command, option = _parse_command(process.cmdline())
            if command != "producer":
                continue
            state_dir = _state_dir_of(process, option)
            record = read_record(state_dir) if state_dir else None
            streams.append(RunningStream(record.pid if record else process.pid, process.username(), state_dir))
    return sorted(streams, key=lambda stream: stream.pid)


def check_store_exists(settings: Settings) -> None:
    """Refuse a state directory without a store; the streams that run on others of this machine are named.

    Parameters
    ----------
    settings : deployment settings, which name the state directory.

    Raises
    ------
    Misconfigured : there is no store.
    """
    database, state_dir = load(settings).queue_db, settings.state_dir.absolute()
    if not is_missing(database):
        return
    streams = [stream for stream in find_streams() if stream.state_dir != state_dir]
    remedies = [
        f"{stream}: give `contimg --state-dir {shlex.quote(str(stream.state_dir or 'DIR'))}`, or set {_VARIABLE}"
        for stream in streams[:MAX_NAMED]
    ]
    if state_dir.exists():
        remedies.append("`contimg run` creates it; put it back if it was moved")
    elif not streams:
        remedies.append(f"give the state directory of a stream with `contimg --state-dir` or {_VARIABLE}, or start one "
                        "with `contimg run`")  # fmt: skip
    raise Misconfigured(f"queue_db={database}: no store; {'; '.join(remedies)}")


def check_broker_is_known(settings: Settings) -> None:
    """Refuse a state directory that leads to no broker: none is configured or runs there, and there is no store.

    Parameters
    ----------
    settings : deployment settings.

    Raises
    ------
    Misconfigured : as of `check_store_exists`; a wrong setting is named first.
    """
    if not settings.broker_url and url_in_force(settings) == LAST_RESORT:
        check_all(settings)
        check_store_exists(settings)


def _parse_command(words: Sequence[str]) -> tuple[str, str]:
    """Return the subcommand and the value of --state-dir in a command line of `contimg`; empty where it has none."""
    names = [Path(word).name for word in words]
    following = iter(words[names.index("contimg") + 1 :] if "contimg" in names else ())
    state_dir = ""
    for word in following:
        if word == "--state-dir":
            state_dir = next(following, "")
        elif word.startswith("--state-dir="):
            state_dir = word.partition("=")[2]
        elif not word.startswith("-"):
            return word, state_dir
    return "", state_dir


def _state_dir_of(process: psutil.Process, option: str) -> Path | None:
    """Return the state directory of a producer, which its option, its environment or its working directory names."""
    try:
        namespaces = {os.readlink(f"/proc/{pid}/ns/mnt") for pid in (process.pid, "self")}  # noqa: PTH115
        environ, directory = process.environ(), Path(process.cwd())
    except (psutil.Error, OSError):
        return None
    is_in_container = len(namespaces) > 1
    return None if is_in_container else directory / Path(option or environ.get(_VARIABLE) or "state").expanduser()
