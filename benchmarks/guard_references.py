"""Reference work for the regression guard: similar in kind and amount to each stage, done by libraries only.

It uses no code of this package, so that no change of the package makes a reference slower.
"""

from pathlib import Path

import aoflagger
import ducc0
import h5py
import numpy as np
from casacore.tables import makecoldesc, maketabdesc, table
from stage_runs import SimulatedTile

SEARCHED_BASELINES = 300
ROWS_PER_CHUNK = 4096
GRIDDED_CHANNELS, ACCURACY = 192, 1e-3
PIXEL_RAD = np.deg2rad(3.0 / 3600)


def rotate_and_write(tile: SimulatedTile, directory: Path) -> None:
    """Reference of convert: read the files with h5py, rotate each visibility, write the raw values."""
    for subband, path in tile.files.items():
        with h5py.File(path, "r") as file:
            data = file["Data/visdata"][:]
        data *= np.exp(1j * np.linspace(0, subband + 1, data.shape[2])).astype(np.complex64)[:, None]
        data.tofile(directory / f"{subband}.raw")
        (directory / f"{subband}.raw").unlink()


def search_baselines(tile: SimulatedTile) -> None:
    """Reference of flag: AOFlagger's minimal strategy on noise with the times and channels of the tile."""
    flagger = aoflagger.AOFlagger()
    default = Path(flagger.find_strategy_file(aoflagger.TelescopeId.Generic))
    strategy = flagger.load_strategy_file(str(default.with_name("generic-minimal.lua")))
    with table(str(tile.ms), ack=False) as main:
        channels, times = main.getcell("DATA", 0).shape[0], np.unique(main.getcol("TIME")).size
    image = flagger.make_image_set(times, channels, 1)
    noise = np.random.default_rng(0).rayleigh(size=(SEARCHED_BASELINES, channels, times)).astype(np.float32)
    for baseline in noise:
        image.set_image_buffer(0, baseline)
        strategy.run(image)


def copy_column(ms: Path) -> None:
    """Reference of apply: copy DATA to a new column and rewrite FLAG with casacore."""
    with table(str(ms), readonly=False, ack=False) as main:
        manager = main.getdminfo("DATA")
        spec = {"DEFAULTTILESHAPE": manager["SPEC"]["DEFAULTTILESHAPE"]}
        description = maketabdesc(makecoldesc("COPY", main.getcoldesc("DATA")))
        main.addcols(description, {"TYPE": manager["TYPE"], "NAME": "TiledCopy", "SPEC": spec})
        for start in range(0, main.nrows(), ROWS_PER_CHUNK):
            count = min(ROWS_PER_CHUNK, main.nrows() - start)
            main.putcol("COPY", main.getcol("DATA", start, count), start, count)
            main.putcol("FLAG", main.getcol("FLAG", start, count), start, count)


def grid_once(tile: SimulatedTile, pixels: int) -> None:
    """Reference of image: a dirty image and a prediction by ducc0 with the baselines of the tile."""
    with table(str(tile.ms), ack=False) as main:
        uvw = main.getcol("UVW")
    freqs_hz = np.linspace(1.31e9, 1.5e9, GRIDDED_CHANNELS)
    geometry = {
        "uvw": uvw, "freq": freqs_hz, "pixsize_x": PIXEL_RAD, "pixsize_y": PIXEL_RAD, "epsilon": ACCURACY,
        "do_wgridding": True, "nthreads": 2,
    }  # fmt: skip
    visibilities = np.ones((len(uvw), GRIDDED_CHANNELS), dtype=np.complex64)
    dirty = ducc0.wgridder.vis2dirty(vis=visibilities, npix_x=pixels, npix_y=pixels, **geometry)
    ducc0.wgridder.dirty2vis(dirty=dirty, **geometry)
