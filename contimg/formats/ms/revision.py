"""Changing a Measurement Set in a copy that replaces it at the end, so that the one in place is always whole.

The copy is cheap: most of it, the files of columns that do not change, is hard-linked. A process that is killed, runs
out of disk or loses its lease leaves the Measurement Set as it was.
"""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from casacore.tables import table

from contimg.errors import BadInput, ContimgError
from contimg.files.staging import staged


@contextmanager
def revised(ms: Path, changes: Collection[str], drops: Collection[str] = (), grows_by: int = 0) -> Iterator[Path]:
    """Yield a copy of a Measurement Set to change, which replaces `ms` when the block ends without an exception.

    Parameters
    ----------
    ms : the Measurement Set.
    changes : existing columns that the block may write.
    drops : columns that the copy does not get; the block may add them again.
    grows_by : bytes that the block will add.

    Raises
    ------
    BadInput : casacore cannot read it.
    Transient : the disk is full or cannot be written.
    LeaseLost : the copy may no longer replace it.
    """
    shared = _unchanged_files(ms, {*changes})
    copied = sum(path.stat().st_size for path in ms.rglob("*") if path.is_file() and path not in shared)
    with staged(ms, need_bytes=copied + grows_by) as copy:
        shutil.copytree(ms, copy, copy_function=lambda source, target: _link_or_copy(source, target, shared))
        with table(str(copy), readonly=False, ack=False) as main:
            if present := [name for name in drops if name in main.colnames()]:
                main.removecols(present)
        try:
            yield copy
        except ContimgError as error:  # a message about the copy is about the Measurement Set
            error.args = tuple(str(text).replace(str(copy), str(ms)) for text in error.args)
            raise


def _unchanged_files(ms: Path, changes: Collection[str]) -> set[Path]:
    """The tile files of the columns that stay: casacore writes cells of these columns to them and nothing else."""
    try:
        with table(str(ms), ack=False) as main:
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
