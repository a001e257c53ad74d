"""What can go wrong, sorted by what an operator (or the queue) does about it.

The class decides: `BadInput` is permanent, `Transient` is tried again, `Misconfigured` stops and says so.
Every message is one line that names the thing, what is wrong with it, and what to do.
"""

from pathlib import Path


class ContimgError(Exception):
    """The base of every error that this package raises on purpose."""

    exit_code = 1


class BadInput(ContimgError):
    """The data are wrong and will be wrong again: do not retry."""

    exit_code = 3


class BadFile(BadInput):
    """One file of a group is wrong: set it aside; the others may still make a product.

    Attributes
    ----------
    path : the file.
    reason : what is wrong with it, without the path.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(f"{self.path}: {reason}")

    def __reduce__(self) -> tuple[type["BadFile"], tuple[Path, str]]:
        return (type(self), (self.path, self.reason))


class Transient(ContimgError):
    """The world was in the way (disk full, broker away, memory): try again later."""

    exit_code = 4


class Misconfigured(ContimgError):
    """A setting, a path or an installation is wrong: a person has to mend it."""

    exit_code = 2


class LeaseLost(ContimgError):
    """Another worker owns the group now: write nothing more, commit nothing."""

    exit_code = 5
