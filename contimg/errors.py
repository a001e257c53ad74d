"""Errors of the package, classified by the action that they need.

The class decides what the queue and the command line do: `BadInput` is permanent, `Transient` is retried,
`Misconfigured` stops with a message. A message is one line: the thing, what is wrong, the limit, what to do.
"""

from pathlib import Path


class ContimgError(Exception):
    """Base class of the errors that the package raises deliberately.

    Attributes
    ----------
    exit_code : exit status of the `contimg` command.
    """

    exit_code = 1


class BadInput(ContimgError):
    """The data are wrong; a retry would fail again."""

    exit_code = 3


class BadFile(BadInput):
    """A file of a group is wrong and must be quarantined; the others may still make a product.

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
    """A resource is missing for now (disk space, memory, broker); retry later."""

    exit_code = 4


class Misconfigured(ContimgError):
    """A setting, a path or an installation is wrong and must be corrected."""

    exit_code = 2


class LeaseLost(ContimgError):
    """The lease has expired or belongs to another worker; nothing may be written or committed."""

    exit_code = 5
