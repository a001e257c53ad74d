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


def grade(about: str, text: str, *faults: tuple[object, Level, str]) -> Finding:
    """Return the finding of the first fault that is present, or one that is in order.

    Parameters
    ----------
    about : what was checked.
    text : its state.
    faults : of each fault, whether it is present, its level, and what the operator does about it.
    """
    for is_present, level, remedy in faults:
        if is_present:
            return Finding(about, level, text, remedy)
    return Finding(about, Level.OK, text)
