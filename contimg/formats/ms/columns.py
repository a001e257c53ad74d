"""Columns of a Measurement Set's main table: read block by block, and made like one another."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import makecoldesc, maketabdesc, table
from numpy.typing import NDArray

from contimg.formats.arrays import BufferPool


def read_blocks(main: table, names: Sequence[str], size_bytes: int) -> Iterator[tuple[slice, list[NDArray[Any]]]]:
    """Runs of rows and their cells in some columns, shapes (rows, *cell); those of the first take about `size_bytes`.

    Every block lies where the one before it lay: fresh memory for each would cost as much as the reading.
    """
    cells, space, rows = [main.getcell(name, 0) for name in names], BufferPool(), main.nrows()
    step = max(1, size_bytes // cells[0].nbytes)
    for start in range(0, rows, step):
        count = min(step, rows - start)
        found = []
        for name, cell in zip(names, cells, strict=True):
            found.append(space.array(name, (count, *cell.shape), cell.dtype))
            main.getcolnp(name, found[-1], start, count)
        yield slice(start, start + count), found


def add_like(main: table, name: str, like: str, keywords: dict[str, Any]) -> None:
    """Add column `name` with the type, shape and tiling of column `like`, and its keywords from the first instant on.

    Its space on the disk is taken at once, so that putting its cells cannot fail for want of it. Put them all before
    the next flush: that writes what is not put yet as zeros. The column is not on the disk before it; a process that
    dies leaves the table as it was.

    Raises
    ------
    OSError : the disk has no room for it; the column is then there without its space, to be removed.
    """
    described = main.getcoldesc(like)
    described["comment"] = f"made like {like}"
    described["keywords"] = keywords
    described.pop("dataManagerGroup", None)
    manager = main.getdminfo(like)
    spec = {"DEFAULTTILESHAPE": manager["SPEC"]["DEFAULTTILESHAPE"]} if "Tiled" in manager["TYPE"] else {}
    info = {"TYPE": manager["TYPE"], "NAME": f"Tiled{name.title().replace('_', '')}", "SPEC": spec}
    if not spec:
        info = {"TYPE": "StandardStMan", "NAME": f"Standard{name.title().replace('_', '')}", "SPEC": {}}
    main.addcols(maketabdesc(makecoldesc(name, described)), info)
    take_space(main, name)


def take_space(main: table, name: str) -> None:
    """Take a new, tiled column's space on the disk at once; raises OSError when there is none."""
    manager = main.getdminfo(name)
    cubes = manager["SPEC"].get("HYPERCUBES", {})
    files = sorted(Path(main.name()).glob(f"table.f{manager['SEQNR']}_TSM*"))
    if len(cubes) != 1 or len(files) != 1:
        return
    (cube,) = cubes.values()
    tiles = np.prod(-(-cube["CubeShape"].astype(np.int64) // cube["TileShape"]))
    with files[0].open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, int(tiles) * int(cube["BucketSize"]))
