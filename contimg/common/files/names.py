"""Names that become a part of a path (of groups, caltable sets, campaigns, members of an archive), and any as text."""

import re

from contimg.common.errors import BadInput
from contimg.common.files.staging import MARK

MAX_LENGTH = 120  # file names have 255 bytes at most; temporary names and suffixes are added to a name
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+=@-]*")
_RULE = f"use letters, digits and . _ : + = @ -, a letter or digit first, at most {MAX_LENGTH} characters"


def check_name(name: str, noun: str) -> str:
    """Check that a name stands for one file or directory inside a directory, and for no hidden or temporary one.

    Parameters
    ----------
    name : the name. It cannot lead to another directory, be hidden, or hold characters that file systems, shells,
        CASA or glob patterns give a meaning to.
    noun : what it names, for the message.

    Returns
    -------
    the name as it is.

    Raises
    ------
    BadInput : the name cannot be used.
    """
    if not _PLAIN.fullmatch(name) or len(name) > MAX_LENGTH or MARK in name:
        shown = name if len(name) <= MAX_LENGTH else f"{name[:MAX_LENGTH]}..."
        raise BadInput(f"{noun} {shown!r}: cannot be the name of a file; {_RULE}")
    return name


def safe_name(name: str) -> str:
    """Replace the colons in a file name: `2026-02-22T03:04:05.fits` becomes `2026-02-22T03-04-05.fits`.

    Parameters
    ----------
    name : of a file, without its directory.
    """
    return name.replace(":", "-")


def printable(text: str) -> str:
    """Return a text on one line that every encoding, database and terminal takes.

    Line breaks, control characters, characters without a glyph or that reorder others, and the bytes of a file name
    that are not UTF-8 become escapes such as `\\n`, `\\u202e` and `\\x96`.

    Parameters
    ----------
    text : for example a file name, as `os.fsdecode` returns it.
    """
    return text if text.isprintable() else "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    if character.isprintable():
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8, as the file system's error handler decodes it
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
