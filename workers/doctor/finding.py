"""Result of a check."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Level of a finding: with an error the stream does not work, with a warning it works less well."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """Result of a check.

    Attributes
    ----------
    about : what was checked.
    level : whether it is in order.
    text : its state.
    remedy : what to do; empty where it is in order.
    """

    about: str
    level: Level
    text: str
    remedy: str = ""


def ok(about: str, text: str) -> Finding:
    """Return a finding that is in order.

    Parameters
    ----------
    about : what was checked.
    text : its state.
    """
    return Finding(about, Level.OK, text)


def warning(about: str, text: str, remedy: str) -> Finding:
    """Return a finding of level warning.

    Parameters
    ----------
    about : what was checked.
    text : its state.
    remedy : what the operator does about it.
    """
    return Finding(about, Level.WARNING, text, remedy)


def error(about: str, text: str, remedy: str) -> Finding:
    """Return a finding of level error.

    Parameters
    ----------
    about : what was checked.
    text : its state.
    remedy : what the operator does about it.
    """
    return Finding(about, Level.ERROR, text, remedy)
