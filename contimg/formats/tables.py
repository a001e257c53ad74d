"""Opening casacore tables: Measurement Sets, their subtables and caltables, with a limit for their locks."""

from pathlib import Path

from casacore.tables import table

from contimg.common.files.locks import wait_for_lock

_REFUSED = "lock on table"  # in casacore's message when it cannot get a lock
_IN_USE = ("Resource temporarily unavailable", "Permission denied")  # EAGAIN and EACCES of fcntl(2)


def open_table(path: Path, readonly: bool = True) -> table:
    """Open a table and lock it until it is closed.

    casacore's own waiting for a lock has no limit.

    Parameters
    ----------
    path : the table's directory; of a subtable `<table>/<name>`.
    readonly : lock it against writers only.

    Raises
    ------
    Transient : another process, such as a CASA session, holds its lock for longer than LOCK_LIMIT_S.
    RuntimeError : casacore cannot read it.
    """
    return wait_for_lock(lambda: _open_locked(path, readonly), path, path / "table.lock")


def _open_locked(path: Path, readonly: bool) -> table:
    try:
        return table(str(path), readonly=readonly, lockoptions="permanent", ack=False)
    except RuntimeError as error:
        if _REFUSED not in str(error):
            raise
        if any(text in str(error) for text in _IN_USE):
            raise BlockingIOError from error
    return table(str(path), readonly=readonly, ack=False)  # a file system without locks
