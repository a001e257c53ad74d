"""Opening a subband file, with the errors of HDF5 and the file system as errors of this package."""

import contextlib
import errno
from pathlib import Path
from typing import Any

import h5py

from contimg.common.errors import BadFile, Transient
from contimg.common.files.locks import describe_holders

with contextlib.suppress(ImportError):  # registers bitshuffle, blosc and other filters with HDF5
    import hdf5plugin  # type: ignore[import-not-found,unused-ignore]  # noqa: F401

_UNREACHABLE = {errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN}
_CHUNK_CACHE_BYTES = 16 << 20  # one row of chunks of all three data sets, so that no chunk is read twice


def open_subband_file(path: Path, locking: str = "best-effort") -> Any:
    """Open a file with HDF5 for reading.

    Parameters
    ----------
    path : the file.
    locking : how HDF5 locks it. `best-effort` locks where the file system can, `off` is for network file systems
        whose locks fail, `on` requires the lock. The variable HDF5_USE_FILE_LOCKING takes precedence.

    Returns
    -------
    the `h5py.File`.

    Raises
    ------
    BadFile : it is no HDF5 file.
    Transient : it cannot be reached, read or locked now.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        if not path.parent.is_dir() or next(path.parent.iterdir(), None) is None:
            raise Transient(f"{path.parent}: missing or empty; check that its file system is mounted") from None
        raise BadFile(path, "the file is gone; restore it or discard the group") from None
    except OSError as error:
        raise Transient(f"{path}: cannot be reached ({error.strerror}); check the file system") from error
    if size == 0:
        raise BadFile(path, "the file has 0 bytes; the writer did not write it")
    mode: Any = {"on": True, "off": False}.get(locking, locking)
    try:
        return h5py.File(path, "r", locking=mode, rdcc_nbytes=_CHUNK_CACHE_BYTES, rdcc_nslots=10007)
    except PermissionError as error:
        raise Transient(f"{path}: not readable by this user; give read permission to the incoming directory") from error
    except OSError as error:
        if "unable to lock" in str(error):
            raise Transient(
                f"{path}: HDF5 cannot lock the file ({_first_line(error)}); either it is still being written, by "
                f"{describe_holders(path)}, or its file system has no locks: then set CONTIMG_CONVERT_FILE_LOCKING=off"
            ) from error
        if "already open for write" in str(error):
            raise BadFile(
                path, "its writer has not closed it; if the writer died, `h5clear -s` makes a complete file readable"
            ) from error
        raise read_error(path, error, "not a readable HDF5 file ({}); truncated or of another format") from error


def read_error(
    path: Path, error: OSError, reason: str = "its data cannot be read ({}); the file is damaged"
) -> BadFile | Transient:
    """Return the exception to raise for a failed read.

    Parameters
    ----------
    path : the file.
    error : HDF5's or the operating system's.
    reason : of a BadFile; `{}` stands for the error's first line.

    Returns
    -------
    Transient when the file system cannot be reached, else BadFile.
    """
    text = _first_line(error)
    if error.errno in _UNREACHABLE:
        return Transient(f"{path}: cannot be reached ({text}); check the file system or its mount")
    if "filter" in text or "plugin" in text:
        return BadFile(path, f"it is compressed by a filter that is not installed ({text}); pip install hdf5plugin")
    return BadFile(path, reason.format(text))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def read_text(group: Any, name: str, default: str = "") -> str:
    """Return a string data set of an HDF5 group, of fixed or variable length, or `default` when it is absent.

    Parameters
    ----------
    group : an HDF5 group.
    name : of the data set.
    default : returned when it is absent.
    """
    if name not in group:
        return default
    value = group[name][()]
    return bytes(value).decode("utf-8", "replace").strip("\0 ") if isinstance(value, bytes) else str(value)
