"""A Measurement Set is changed in a copy that takes its place at the end, so that the one in place is always whole.

The copy is cheap: the bulk of it, the tiles of columns that do not change, is not copied but linked under a second
name. Whoever is killed, runs out of disk or loses its lease half-way leaves the set as it was.
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
    """Give a copy of a Measurement Set to change, which takes the place of `ms` when the block ends well.

    Parameters
    ----------
    changes : the columns that the block may write; those that it adds need no mention.
    drops : columns that the copy is not to have; they may be added anew.
    grows_by : bytes that the block will add.

    Raises
    ------
    BadInput : casacore cannot read it.
    Transient : the disk has no room or cannot be written.
    LeaseLost : the copy may not take its place any more.
    """
    shared = _tiles_of_others(ms, {*changes})
    copied = sum(one.stat().st_size for one in ms.rglob("*") if one.is_file() and one not in shared)
    with staged(ms, need_bytes=copied + grows_by) as copy:
        shutil.copytree(ms, copy, copy_function=lambda source, place: _link_or_copy(source, place, shared))
        _drop(copy, drops)
        try:
            yield copy
        except ContimgError as error:  # what is wrong with the copy is wrong with the set
            error.args = tuple(str(one).replace(str(copy), str(ms)) for one in error.args)
            raise


def _tiles_of_others(ms: Path, changes: Collection[str]) -> set[Path]:
    """The files that hold nothing but cells of columns that stay: casacore writes them for no other reason."""
    try:
        with table(str(ms), ack=False) as main:
            managers = main.getdminfo().values()
    except RuntimeError as error:
        raise BadInput(f"{ms}: casacore cannot read it ({error}); convert the group again") from error
    steady = [one["SEQNR"] for one in managers if not set(one["COLUMNS"]) & set(changes)]
    return {tile for number in steady for tile in ms.glob(f"table.f{number}_TSM*")}


def _link_or_copy(source: str, place: str, shared: Collection[Path]) -> None:
    if Path(source) in shared:
        try:
            Path(place).hardlink_to(source)
            return
        except OSError:  # a file system without second names, or one with no more of them
            pass
    shutil.copyfile(source, place)


def _drop(copy: Path, columns: Collection[str]) -> None:
    with table(str(copy), readonly=False, ack=False) as main:
        there = [name for name in columns if name in main.colnames()]
        if there:
            main.removecols(there)
