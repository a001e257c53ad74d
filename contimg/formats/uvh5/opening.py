"""Opens a subband file, and turns what HDF5 and the file system say into one line that an operator understands."""

import contextlib
import errno
from pathlib import Path
from typing import Any

import h5py

from contimg.errors import BadFile, Transient

with contextlib.suppress(ImportError):  # its import makes bitshuffle, blosc and others known to HDF5
    import hdf5plugin  # type: ignore[import-not-found,unused-ignore]  # noqa: F401

_OUT_OF_REACH = {errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN}
_CHUNK_CACHE_BYTES = 16 << 20  # one row of chunks of all three data sets: no chunk is read twice


def opened(path: Path, locking: str = "best-effort") -> Any:
    """The open HDF5 file.

    Parameters
    ----------
    locking : how HDF5 locks it: `best-effort` locks where the file system can, `off` for network file systems whose
        locks fail, `on` insists. The variable HDF5_USE_FILE_LOCKING wins over it.

    Raises
    ------
    BadFile when it is no HDF5 file, Transient when it cannot be reached, read or locked now.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        if not path.parent.is_dir() or next(path.parent.iterdir(), None) is None:
            raise Transient(f"{path.parent}: is gone or empty; is its file system mounted?") from None
        raise BadFile(path, "the file is gone; put it back or discard the group") from None
    except OSError as error:
        raise Transient(f"{path}: cannot be reached ({error.strerror}); check the file system") from error
    if size == 0:
        raise BadFile(path, "the file is empty; the writer never filled it")
    how: Any = {"on": True, "off": False}.get(locking, locking)
    try:
        return h5py.File(path, "r", locking=how, rdcc_nbytes=_CHUNK_CACHE_BYTES, rdcc_nslots=10007)
    except PermissionError as error:
        raise Transient(f"{path}: not readable by this user; give read permission to the incoming directory") from error
    except OSError as error:
        if "unable to lock" in str(error):
            raise Transient(
                f"{path}: HDF5 cannot lock the file ({first_line(error)}); either it is still being written, or its "
                "file system has no locks: then set CONTIMG_CONVERT_FILE_LOCKING=off"
            ) from error
        raise unreadable(path, error, "not a readable HDF5 file ({}); truncated or foreign") from error


def unreadable(path: Path, error: OSError, reason: str = "its data cannot be read ({}); the file is damaged") -> Any:
    """The error to raise for a failed read: Transient when the file system is away, else BadFile with the reason."""
    if error.errno in _OUT_OF_REACH:
        return Transient(f"{path}: cannot be reached ({first_line(error)}); check the file system or its mount")
    text = first_line(error)
    if "filter" in text or "plugin" in text:
        return BadFile(path, f"it is compressed by a filter that is not installed ({text}); pip install hdf5plugin")
    return BadFile(path, reason.format(text))


def first_line(error: Exception) -> str:
    """What an error says, without the rest of HDF5's stack."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def text_of(header: Any, name: str, default: str = "") -> str:
    """A string of the header, however it is stored."""
    if name not in header:
        return default
    value = header[name][()]
    return bytes(value).decode("utf-8", "replace").strip("\0 ") if isinstance(value, bytes) else str(value)
