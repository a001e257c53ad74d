"""Columns of a Measurement Set's main table: reading in blocks, adding, and the record of their calibration."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import makecoldesc, maketabdesc, table
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.formats.arrays import BufferPool

CALIBRATION_KEYWORD = "CONTIMG_CALIBRATION"


def read_blocks(
    main: table, names: Sequence[str], size_bytes: int, blocks_valid: int = 1
) -> Iterator[tuple[slice, list[NDArray[Any]]]]:  # fmt: skip
    """Read columns in blocks of rows; the arrays are valid until a later block uses their memory.

    Parameters
    ----------
    main : the open table.
    names : of the columns.
    size_bytes : approximate size of a block of the first column.
    blocks_valid : number of blocks that are valid at a time; with 1, a block is valid until the next one.

    Yields
    ------
    the range of rows, and for each column an array of shape (rows, *cell).
    """
    cells, pool, rows = [main.getcell(name, 0) for name in names], BufferPool(), main.nrows()
    step = max(1, size_bytes // cells[0].nbytes)
    for index, start in enumerate(range(0, rows, step)):
        count, memory = min(step, rows - start), index % blocks_valid
        block = [
            pool.array(f"{name} {memory}", (count, *cell.shape), cell.dtype)
            for name, cell in zip(names, cells, strict=True)
        ]
        for name, values in zip(names, block, strict=True):
            main.getcolnp(name, values, start, count)
        yield slice(start, start + count), block


def add_like(main: table, name: str, like: str) -> None:
    """Add a column with the type, shape and tiling of another.

    Its disk space is allocated at once, so that writing its cells cannot fail for lack of space. Write all of them
    before the next flush, which writes missing ones as zeros. Until then the column is not on the disk: a process that
    dies leaves the table as it was.

    Parameters
    ----------
    main : the open table.
    name : of the new column.
    like : the column to copy the description of, without its keywords.

    Raises
    ------
    OSError : the disk is full; the column is then there without its space, to be removed.
    """
    description = main.getcoldesc(like)
    description["comment"] = f"made like {like}"
    description["keywords"] = {}
    description.pop("dataManagerGroup", None)
    manager, suffix = main.getdminfo(like), name.title().replace("_", "")
    if "Tiled" in manager["TYPE"]:
        spec = {"DEFAULTTILESHAPE": manager["SPEC"]["DEFAULTTILESHAPE"]}
        info = {"TYPE": manager["TYPE"], "NAME": f"Tiled{suffix}", "SPEC": spec}
    else:
        info = {"TYPE": "StandardStMan", "NAME": f"Standard{suffix}", "SPEC": {}}
    main.addcols(maketabdesc(makecoldesc(name, description)), info)
    allocate(main, name)


def allocate(main: table, name: str) -> None:
    """Allocate the disk space of a new, tiled column.

    Nothing is done for a column that is not tiled, or whose tiles are not one hypercube in one file.

    Parameters
    ----------
    main : the open table.
    name : of the column.

    Raises
    ------
    OSError : the disk is full.
    """
    manager = main.getdminfo(name)
    cubes = manager["SPEC"].get("HYPERCUBES", {})
    files = sorted(Path(main.name()).glob(f"table.f{manager['SEQNR']}_TSM*"))
    if len(cubes) != 1 or len(files) != 1:
        return
    (cube,) = cubes.values()
    tiles = np.prod(-(-cube["CubeShape"].astype(np.int64) // cube["TileShape"]))
    with files[0].open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, int(tiles) * int(cube["BucketSize"]))


def write_calibration_record(main: table, column: str, record: dict[str, Any]) -> None:
    """Write which calibration a data column has: {"set": name, ...} or {"set": None, "reason": "..."}.

    Parameters
    ----------
    main : the open table.
    column : such as DATA or CORRECTED_DATA.
    record : JSON values.
    """
    main.putcolkeyword(column, CALIBRATION_KEYWORD, json.dumps(record, sort_keys=True))


def read_calibration_record(main: table, column: str) -> dict[str, Any] | None:
    """Read what `write_calibration_record` wrote, None when there is nothing; raises BadInput when it is damaged.

    Parameters
    ----------
    main : the open table.
    column : such as DATA or CORRECTED_DATA.
    """
    if column not in main.colnames() or CALIBRATION_KEYWORD not in main.getcolkeywords(column):
        return None
    try:
        record = json.loads(main.getcolkeyword(column, CALIBRATION_KEYWORD))
    except ValueError as error:
        raise BadInput(
            f"{main.name()}: keyword {CALIBRATION_KEYWORD} of {column} is damaged ({error}); calibrate the group again"
        ) from None
    return record if isinstance(record, dict) else None
