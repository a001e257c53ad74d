"""Changes of the configuration: checked, saved, recorded with author and time, undone."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from contimg.common.errors import BadInput, Misconfigured, os_refusal
from contimg.common.files.locks import wait_for_lock
from contimg.common.files.writing import write_text
from contimg.common.options import mask_value
from contimg.formats.records import about
from contimg.settings.file import check, load, save
from contimg.settings.tree import Settings

HISTORY = "streaming_config.history.jsonl"
DIRECTORIES = ("input_dir", "output_dir", "tmpfs_path")


@dataclass(frozen=True)
class Change:
    """A saved change."""

    at: Annotated[float, about("When it was saved")]
    by: Annotated[str, about("Name of the author", example="operator")]
    before: Annotated[Mapping[str, Any], about("Values of the changed keys before", "as the keys", {"max_workers": 2})]
    after: Annotated[
        Mapping[str, Any], about("Values of the changed keys afterwards", "as the keys", {"max_workers": 4})
    ]
    undoes: Annotated[bool, about("Whether it undid an earlier change", example=False)] = False


@dataclass(frozen=True)
class Review:
    """Outcome of checking a change: an error per refused key, a remark per key with a consequence."""

    errors: Annotated[
        Mapping[str, str],
        about("What is wrong, by key", example={"max_workers": "max_workers=0: must be greater than or equal to 1"}),
    ] = field(default_factory=dict)
    remarks: Annotated[
        Mapping[str, str],
        about("What follows from a value, by key", example={"input_dir": "/data/new is not a directory yet"}),
    ] = field(default_factory=dict)


def review(settings: Settings, changes: Mapping[str, Any]) -> Review:
    """Check each key of a change alone, so that every fault is named, then all together.

    Parameters
    ----------
    settings : deployment, which locates the configuration.
    changes : key to new value.
    """
    errors, remarks = {}, {}
    for key, value in changes.items():
        try:
            config = check(settings, {key: value})
        except Misconfigured as error:
            errors[key] = str(error).removeprefix(f"{settings.config_path}: ")
            continue
        if key in DIRECTORIES and not getattr(config, key).is_dir():
            remarks[key] = f"{getattr(config, key)} is not a directory yet"
        if key in ("queue_db", "registry_db"):
            remarks[key] = "the stream will use another store; restart the panel too, or it keeps showing this one"
    if not errors and changes:
        try:
            check(settings, changes)
        except Misconfigured as error:
            errors[next(iter(changes))] = str(error).removeprefix(f"{settings.config_path}: ")
    return Review(errors, remarks)


def change(settings: Settings, changes: Mapping[str, Any], by: str, *, undoes: bool = False) -> Change:
    """Save keys and record the author.

    Parameters
    ----------
    settings : deployment, which locates the configuration and its history.
    changes : key to new value.
    by : name of the author.
    undoes : whether the change undoes the last one.

    Raises
    ------
    Misconfigured, with nothing changed, when the configuration would not load.
    """
    check(settings, changes)  # before anything is created
    with _locked_history(settings) as file:
        before = load(settings).model_dump(mode="json")
        after = save(settings, changes).model_dump(mode="json")
        saved = Change(
            time.time(), by, {key: before[key] for key in changes}, {key: after[key] for key in changes}, undoes
        )
        file.seek(0, os.SEEK_END)
        file.write(json.dumps(asdict(saved)) + "\n")
    return saved


def history(settings: Settings) -> tuple[Change, ...]:
    """List the changes made by the panel, the API or `contimg config`, newest first.

    Parameters
    ----------
    settings : deployment, which locates the history.

    Returns
    -------
    all recorded changes; none when there is no history file.
    """
    try:
        lines = (settings.state_dir / HISTORY).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    return tuple(Change(**json.loads(line)) for line in reversed(lines) if line.strip())


def last_undoable(settings: Settings) -> Change | None:
    """Return the last change not undone yet; None without one, or when its keys were changed by other means.

    Parameters
    ----------
    settings : deployment, which locates the configuration and its history.

    Raises
    ------
    Misconfigured : the configuration does not load.
    """
    undone = 0
    for saved in history(settings):
        if saved.undoes:
            undone += 1
        elif undone:
            undone -= 1
        else:
            values = load(settings).model_dump(mode="json")
            return saved if all(values[key] == value for key, value in saved.after.items()) else None
    return None


def undo(settings: Settings, by: str) -> Change:
    """Undo the last change by saving the values from before it.

    Parameters
    ----------
    settings : deployment, which locates the configuration and its history.
    by : name of the author.

    Raises
    ------
    BadInput : `last_undoable` has none.
    Misconfigured : the configuration would not load or cannot be written; nothing is changed.
    """
    last = last_undoable(settings)
    if last is None:
        raise BadInput("there is no change to undo, or its keys have been changed since by other means")
    return change(settings, last.before, by, undoes=True)


def describe(saved: Change) -> str:
    """Describe a change for the event log: `max_workers 2 → 4`.

    Parameters
    ----------
    saved : the change.

    Returns
    -------
    each key with its old and new value, without passwords, separated by commas.
    """
    return ", ".join(f"{key} {mask_value(saved.before[key])} → {mask_value(saved.after[key])}" for key in saved.after)


def hide_secrets(saved: Change) -> Change:
    """Return a change without the passwords of its values, for output.

    Parameters
    ----------
    saved : the change.
    """
    before, after = (
        {key: mask_value(value) for key, value in values.items()} for values in (saved.before, saved.after)
    )
    return replace(saved, before=before, after=after)


@contextmanager
def _locked_history(settings: Settings) -> Iterator[Any]:
    """Open the history file for its owner only, as a database URL may hold a password, and lock out other writers."""
    path = settings.state_dir / HISTORY
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_text(path, "")  # root makes it the service's
        handle = os.open(path, os.O_RDWR)
    except OSError as error:
        raise os_refusal(error) from None
    with os.fdopen(handle, "r+", encoding="utf-8") as file:
        wait_for_lock(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB), path)
        yield file
