"""Changing the configuration: checked before, written down with who and when, and taken back again."""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from contimg.errors import BadInput, Misconfigured
from contimg.settings.config import Settings, check, load, save

HISTORY = "streaming_config.history.jsonl"
DIRECTORIES = ("input_dir", "output_dir", "tmpfs_path")


@dataclass(frozen=True)
class Change:
    """One saved change: keys to values, before and after; `at` epoch seconds."""

    at: float
    by: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    undoes: bool = False


@dataclass(frozen=True)
class Review:
    """What a change would do: what is wrong with keys, and what to know about others."""

    errors: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)


def review(settings: Settings, changes: Mapping[str, Any]) -> Review:
    """Check each key by itself, so that every fault is named, then all together."""
    errors, remarks = {}, {}
    for key, value in changes.items():
        try:
            wanted = check(settings, {key: value})
        except Misconfigured as wrong:
            errors[key] = str(wrong).removeprefix(f"{settings.config_path}: ")
            continue
        if key in DIRECTORIES and not getattr(wanted, key).is_dir():
            remarks[key] = f"{getattr(wanted, key)} is no directory yet"
        if key in ("queue_db", "registry_db"):
            remarks[key] = "the stream goes on with another store; restart the panel as well, it keeps showing this one"
    if not errors and changes:
        try:
            check(settings, changes)
        except Misconfigured as wrong:
            errors[next(iter(changes))] = str(wrong).removeprefix(f"{settings.config_path}: ")
    return Review(errors, remarks)


def change(settings: Settings, changes: Mapping[str, Any], by: str, *, undoes: bool = False) -> Change:
    """Save keys and write down who did it; raises Misconfigured, with nothing changed, when they would not load."""
    with _history(settings) as file:
        before = load(settings).model_dump(mode="json")
        after = save(settings, changes).model_dump(mode="json")
        made = Change(
            time.time(), by, {key: before[key] for key in changes}, {key: after[key] for key in changes}, undoes
        )
        file.seek(0, os.SEEK_END)
        file.write(json.dumps(asdict(made)) + "\n")
    return made


def history(settings: Settings) -> tuple[Change, ...]:
    """Every change that was made by panel, API or `contimg config`, the newest first."""
    try:
        lines = _path(settings).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    return tuple(Change(**json.loads(line)) for line in reversed(lines) if line.strip())


def to_undo(settings: Settings) -> Change | None:
    """The last change that has not been taken back, unless its keys have been changed since by other means."""
    made = history(settings)
    taken_back = 0
    for one in made:
        if one.undoes:
            taken_back += 1
        elif taken_back:
            taken_back -= 1
        else:
            now = load(settings).model_dump(mode="json")
            return one if all(now[key] == value for key, value in one.after.items()) else None
    return None


def undo(settings: Settings, by: str) -> Change:
    """Take the last change back; BadInput when there is none, or its keys have been changed since."""
    last = to_undo(settings)
    if last is None:
        raise BadInput("there is no change to undo, or its keys have been changed since by other means")
    return change(settings, last.before, by, undoes=True)


def in_words(made: Change) -> str:
    """A change for the event log: `max_workers 2 → 4`."""
    return ", ".join(
        f"{key} {without_password(key, made.before[key])} → {without_password(key, made.after[key])}"
        for key in made.after
    )


def without_password(key: str, value: Any) -> Any:
    """A value as it may be shown."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", str(value)) if key.endswith("_db") else value


@contextmanager
def _history(settings: Settings) -> Iterator[Any]:
    """The history's file, held against other writers; nobody else reads it: a database URL may hold a password."""
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _path(settings: Settings) -> Path:
    return settings.state_dir / HISTORY
