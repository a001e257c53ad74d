"""Errors of the package, classified by the action that they need.

The class decides what the queue and the command line do: `BadInput` is permanent, `Transient` is retried,
`Misconfigured` stops with a message. A message is one line: the thing, what is wrong, the limit, what to do.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# From the colon after a URL's user to the last @ of the word: a password that is not encoded holds anything but spaces.
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*):\S*@", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&](?:\w*password|\w*token|secret)=)[^&\s'\"]*", re.IGNORECASE)


def mask_secrets(text: str) -> str:
    """Replace the passwords of all URLs in a text by ***.

    It is applied wherever text leaves the program: messages of errors, log lines, events, printed settings.

    Parameters
    ----------
    text : any text; one without a URL that holds a password is returned as it is.
    """
    return _PARAMETER.sub(r"\1***", _URL_PASSWORD.sub(r"\1:***@", text))


class ContimgError(Exception):
    """Base class of the errors that the package raises deliberately.

    Attributes
    ----------
    exit_code : exit status of the `contimg` command.
    """

    exit_code = 1

    def __str__(self) -> str:
        return mask_secrets(super().__str__())


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

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.path, self.reason))


class Incomplete(BadInput):
    """A group has fewer subbands than the minimum; an operator may process it all the same."""


class MixedTimes(BadFile):
    """The files of a group are of different times: the correlator was started again, or a clock is wrong.

    Attributes
    ----------
    starts_s : first integration of every file of the group, by path, UTC, seconds since 1970.
    """

    def __init__(self, path: Path | str, reason: str, starts_s: Mapping[Path, float]) -> None:
        super().__init__(path, reason)
        self.starts_s = starts_s

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.path, self.reason, self.starts_s))


class Transient(ContimgError):
    """A resource is missing for now (disk space, memory, broker); retry later."""

    exit_code = 4


class Misconfigured(ContimgError):
    """A setting, a path or an installation is wrong and must be corrected."""

    exit_code = 2


class LeaseLost(ContimgError):
    """The lease has expired or belongs to another worker; nothing may be written or committed."""

    exit_code = 5


def os_refusal(error: OSError) -> Misconfigured | Transient:
    """Return the error of this package for what the operating system has refused.

    Parameters
    ----------
    error : of a call of the operating system.

    Returns
    -------
    Misconfigured for missing rights and missing files, Transient for anything that may pass (a full disk, a limit).
    """
    reason = (error.strerror or str(error)).lower()
    text = f"{error.filename}: {reason}" if error.filename else reason
    if isinstance(error, PermissionError):
        return Misconfigured(f"{text} for uid {os.geteuid()}; run the command as the user of the service")
    if isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
        return Misconfigured(f"{text}; check the path")
    return Transient(f"{text}; check disk, memory and limits (`contimg doctor`)")
