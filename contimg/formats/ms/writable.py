"""A table opened for writing in such a way that a full disk is an error and not the end of the process."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from casacore.tables import table

from contimg.files.staging import MARK, Ballast, check_room, refusals


@contextmanager
def writable(path: Path, need_bytes: int = 0, make: Callable[[], table] | None = None) -> Iterator[table]:
    """Open a table for writing, flush it at the end and close it.

    casacore ends the whole process where the disk has no room for what it flushes, be it in closing. So some of the
    space is held beside the table and given back at the end, for the flush, or at the first error; columns added by
    then are removed. A word that data are whole is put in a second opening, after they are flushed.

    Parameters
    ----------
    need_bytes : by how much the table will grow.
    make : creates the table at `path`, where there is none yet.

    Raises
    ------
    Transient : the disk has no room or cannot be written; what was put into older columns stays.
    """
    with refusals(path):
        check_room(path, need_bytes)
        ballast = Ballast(path.with_name(f"{path.name}{MARK}{uuid.uuid4().hex[:8]}"), need_bytes)
        with ballast, make() if make else table(str(path), readonly=False, ack=False) as main:
            columns = set(main.colnames())
            try:
                yield main
            except BaseException:
                ballast.drop()
                if new := sorted(set(main.colnames()) - columns):
                    main.removecols(new)
                raise
            ballast.drop()
            main.flush()  # what fails here raises; what fails in close does not
