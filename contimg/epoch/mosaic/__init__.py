"""The mosaic stage: the tile images of a declination strip become one image, each weighted by its sensitivity.

    from contimg.epoch.mosaic import MosaicOptions, make_mosaic
    mosaic = make_mosaic(sorted(Path("images").glob("2026-02-22T0?:??:??.fits")), Path("hour.fits"), MosaicOptions())

Importing this package is light; the numerical libraries are imported with the first mosaic.
"""

from collections.abc import Sequence
from pathlib import Path

from contimg.epoch.mosaic.options import MosaicOptions
from contimg.epoch.products import Mosaic
from contimg.quality.mosaic import MosaicThresholds

__all__ = ["Mosaic", "MosaicOptions", "MosaicThresholds", "make_mosaic"]


def make_mosaic(
    tiles: Sequence[Path], output: Path, options: MosaicOptions | None = None,
    thresholds: MosaicThresholds | None = None, history_rms_jy: float | None = None,
    reference_catalogue: Path | None = None,
) -> Mosaic:  # fmt: skip
    """Make the mosaic of tile images.

    Parameters
    ----------
    tiles : FITS images of apparent flux, each with its primary beam in `.pb.fits` beside it.
    output : the mosaic, `NAME.fits`; `NAME.weight.fits`, `NAME.rms.fits` and pictures are written beside it.
    options : of the stage.
    thresholds : of the QA grade.
    history_rms_jy : median noise of the last good mosaics of the declination strip, Jy per beam, to compare with.
    reference_catalogue : file of the catalogue that the mosaic is compared with; None: it is not compared.

    Returns
    -------
    Mosaic
        The files, numbers, members and the images left out, each with the reason.

    Raises
    ------
    BadInput : no tile image can be used, or the mosaic would be too large; no file is written.
    Transient : the disk is full or cannot be written.
    """
    from contimg.epoch.mosaic.run import add_tiles

    options, thresholds = options or MosaicOptions(), thresholds or MosaicThresholds()
    return add_tiles(tiles, output, options, thresholds, history_rms_jy, reference_catalogue)
