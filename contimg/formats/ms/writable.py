"""Opening a table for writing such that a full disk raises an exception instead of ending the process."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from casacore.tables import table

from contimg.files.staging import MARK, DiskReserve, check_space, disk_errors


@contextmanager
def writable(path: Path, need_bytes: int = 0, make: Callable[[], table] | None = None) -> Iterator[table]:
    """Open a table for writing; flush and close it at the end.

    casacore ends the whole process when the disk is full at a flush, also at the one in closing. Some space is
    therefore reserved beside the table and released at the end, before the flush, or at the first error; columns added
    by then are removed. Mark data as complete in a second opening, after they are flushed.

    Parameters
    ----------
    path : the table.
    need_bytes : by how much it will grow.
    make : creates the table at `path`; when not given it exists.

    Raises
    ------
    Transient : the disk is full or cannot be written; what was written to existing columns stays.
    """
    with disk_errors(path):
        check_space(path, need_bytes)
        reserve = DiskReserve(path.with_name(f"{path.name}{MARK}{uuid.uuid4().hex[:8]}"), need_bytes)
        with reserve, make() if make else table(str(path), readonly=False, ack=False) as main:
            columns = set(main.colnames())
            try:
                yield main
            except BaseException:
                reserve.release()
                if new := sorted(set(main.colnames()) - columns):
                    main.removecols(new)
                raise
            reserve.release()
            main.flush()  # raises when the disk is full; close does not
