"""What an examination finds."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is: an error keeps the stream from working, a warning costs it something."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what it is, how it is, and what to do where it is not well."""

    about: str
    level: Level
    text: str
    remedy: str = ""


def ok(about: str, text: str) -> Finding:
    """It is well."""
    return Finding(about, Level.OK, text)


def warning(about: str, text: str, remedy: str) -> Finding:
    """It works, and could be better."""
    return Finding(about, Level.WARNING, text, remedy)


def error(about: str, text: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(about, Level.ERROR, text, remedy)
