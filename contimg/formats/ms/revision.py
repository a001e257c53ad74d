"""Changing a Measurement Set: in a copy that replaces it at the end, and without losing the process to a full disk.

The Measurement Set in place is always whole. The copy is cheap: most of it, the files of columns that do not change,
is hard-linked. A process that is killed, runs out of disk or loses its lease leaves the Measurement Set as it was.
"""

import shutil
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from casacore.tables import table

from contimg.common.errors import BadInput, ContimgError, Transient
from contimg.common.files.staging import MARK, check_space, disk_errors, disk_reserve, staged
from contimg.formats.tables import open_table


@contextmanager
def revised(ms: Path, changes: Collection[str], grows_by: int = 0) -> Iterator[Path]:
    """Yield a copy of a Measurement Set to change, which replaces `ms` when the block ends without an exception.

    Parameters
    ----------
    ms : the Measurement Set.
    changes : existing columns that the block may write; it may also remove columns, and add them again.
    grows_by : bytes that the block will add.

    Raises
    ------
    BadInput : casacore cannot read it.
    Transient : the disk is full or cannot be written, or another program has changed or locked `ms` in the meantime.
    LeaseLost : the copy may no longer replace it.
    """
    before = _file_times(ms)
    shared = _unchanged_files(ms, {*changes})
    copied = sum(path.stat().st_size for path in ms.rglob("*") if path.is_file() and path not in shared)
    with staged(ms, need_bytes=copied + grows_by) as copy:
        shutil.copytree(ms, copy, copy_function=lambda source, target: _link_or_copy(source, target, shared))
        try:
            yield copy
        except ContimgError as error:  # a message about the copy is about the Measurement Set
            error.args = tuple(str(text).replace(str(copy), str(ms)) for text in error.args)
            raise
        if _file_times(ms) != before:
            raise Transient(f"{ms}: another program changed it while a copy was processed; discarded, try again")
        open_table(ms).close()  # a session that holds its lock may have changes that are not written yet


def copy_measurement_set(ms: Path, target: Path, changes: Collection[str]) -> None:
    """Copy a Measurement Set to change the copy; `ms` is only read.

    The files of columns that do not change are hard-linked where the file system can, so that the copy is small.

    Parameters
    ----------
    ms : the Measurement Set.
    target : path of the copy; one that exists is replaced when the copy is whole.
    changes : existing columns that may be written in the copy; it may also lose columns.

    Raises
    ------
    BadInput : casacore cannot read it.
    Transient : the disk is full or cannot be written, or another program has changed `ms` in the meantime.
    """
    before = _file_times(ms)
    shared = _unchanged_files(ms, {*changes})
    copied = sum(path.stat().st_size for path in ms.rglob("*") if path.is_file() and path not in shared)
    with staged(target, need_bytes=copied) as copy:
        shutil.copytree(ms, copy, copy_function=lambda source, path: _link_or_copy(source, path, shared))
        if _file_times(ms) != before:
            raise Transient(f"{ms}: another program changed it while it was copied; discarded, try again")


def _file_times(ms: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of change of the files of the main table, without its lock, which readers write to."""
    files = [path for path in ms.glob("table.*") if path.name != "table.lock"]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def _unchanged_files(ms: Path, changes: Collection[str]) -> set[Path]:
    """The tile files of the columns that stay: casacore writes cells of these columns to them and nothing else."""
    try:
        with open_table(ms) as main:
            managers = main.getdminfo().values()
    except RuntimeError as error:
        raise BadInput(f"{ms}: casacore cannot read it ({error}); convert the group again") from error
    numbers = [manager["SEQNR"] for manager in managers if not set(manager["COLUMNS"]) & set(changes)]
    return {path for number in numbers for path in ms.glob(f"table.f{number}_TSM*")}


def _link_or_copy(source: str, target: str, shared: Collection[Path]) -> None:
    if Path(source) in shared:
        try:
            Path(target).hardlink_to(source)
            return
        except OSError:  # a file system without hard links, or a file with the maximum number of them
            pass
    shutil.copyfile(source, target)


@contextmanager
def writable(path: Path, need_bytes: int = 0, make: Callable[[], table] | None = None) -> Iterator[table]:
    """Open a table for writing; flush and close it at the end.

    casacore ends the whole process when the disk is full at a flush, also at the one in closing. Some space is
    therefore reserved beside the table and released at the end, before the flush, or at the first error; columns added
    by then are removed.

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
        reserve = disk_reserve(path.with_name(f"{path.name}{MARK}{uuid.uuid4().hex[:8]}"), need_bytes)
        with reserve as release, make() if make else open_table(path, readonly=False) as main:
            columns = set(main.colnames())
            try:
                yield main
            except BaseException:
                release()
                if new := sorted(set(main.colnames()) - columns):
                    main.removecols(new)
                raise
            release()
            main.flush()  # raises when the disk is full; close does not
