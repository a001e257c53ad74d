"""What each stage's cost is held against: plain work of the same kind and about the same amount, by libraries alone.

None of it is the package's own code, so that no change of the package makes a reference slower.
"""

from pathlib import Path

import aoflagger
import ducc0
import h5py
import numpy as np
from casacore.tables import makecoldesc, maketabdesc, table
from stage_runs import MadeTile

SEARCHED = 300  # baselines
ROWS_AT_ONCE = 4096
GRIDDED_CHANNELS, ACCURACY = 192, 1e-3
LEAST_ANGLE_RAD = np.deg2rad(3.0 / 3600)


def rotate_and_write(tile: MadeTile, room: Path) -> None:
    """For convert: read the files with h5py, turn every visibility, write the values plainly."""
    for subband, path in tile.files.items():
        with h5py.File(path, "r") as file:
            data = file["Data/visdata"][:]
        data *= np.exp(1j * np.linspace(0, subband + 1, data.shape[2])).astype(np.complex64)[:, None]
        data.tofile(room / f"{subband}.raw")
        (room / f"{subband}.raw").unlink()


def search_baselines(tile: MadeTile) -> None:
    """For flag: AOFlagger's own least strategy, on noise of the tile's times and channels."""
    flagger = aoflagger.AOFlagger()
    default = Path(flagger.find_strategy_file(aoflagger.TelescopeId.Generic))
    strategy = flagger.load_strategy_file(str(default.with_name("generic-minimal.lua")))
    with table(str(tile.ms), ack=False) as main:
        channels, times = main.getcell("DATA", 0).shape[0], np.unique(main.getcol("TIME")).size
    image = flagger.make_image_set(times, channels, 1)
    noise = np.random.default_rng(0).rayleigh(size=(SEARCHED, channels, times)).astype(np.float32)
    for one in noise:
        image.set_image_buffer(0, one)
        strategy.run(image)


def copy_column(ms: Path) -> None:
    """For apply: a new column like DATA filled with DATA, and FLAG written again, by casacore."""
    with table(str(ms), readonly=False, ack=False) as main:
        manager = main.getdminfo("DATA")
        spec = {"DEFAULTTILESHAPE": manager["SPEC"]["DEFAULTTILESHAPE"]}
        description = maketabdesc(makecoldesc("COPY", main.getcoldesc("DATA")))
        main.addcols(description, {"TYPE": manager["TYPE"], "NAME": "TiledCopy", "SPEC": spec})
        for start in range(0, main.nrows(), ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, main.nrows() - start)
            main.putcol("COPY", main.getcol("DATA", start, count), start, count)
            main.putcol("FLAG", main.getcol("FLAG", start, count), start, count)


def grid_once(tile: MadeTile, pixels: int) -> None:
    """For image: one dirty image and one prediction by ducc0, of the tile's baselines."""
    with table(str(tile.ms), ack=False) as main:
        uvw = main.getcol("UVW")
    freqs_hz = np.linspace(1.31e9, 1.5e9, GRIDDED_CHANNELS)
    geometry = {
        "uvw": uvw, "freq": freqs_hz, "pixsize_x": LEAST_ANGLE_RAD, "pixsize_y": LEAST_ANGLE_RAD, "epsilon": ACCURACY,
        "do_wgridding": True, "nthreads": 2,
    }  # fmt: skip
    ones = np.ones((len(uvw), GRIDDED_CHANNELS), dtype=np.complex64)
    dirty = ducc0.wgridder.vis2dirty(vis=ones, npix_x=pixels, npix_y=pixels, **geometry)
    ducc0.wgridder.dirty2vis(dirty=dirty, **geometry)
