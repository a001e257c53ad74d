"""Joint deconvolution: the Measurement Sets of an epoch become one image, cleaned to the noise of their sum.

    from contimg.epoch.joint import make_joint_mosaic
    mosaic = make_joint_mosaic(sorted(Path("ms").glob("2026-02-22T0?:??:??.ms")), Path("hour.fits"))

Importing this package is light; the numerical libraries are imported with the first mosaic.
"""

from collections.abc import Sequence
from pathlib import Path

from contimg.epoch.mosaic import Mosaic, MosaicOptions, MosaicThresholds
from contimg.tile.image.options import ImageOptions

__all__ = ["make_joint_mosaic"]


def make_joint_mosaic(
    measurement_sets: Sequence[Path], output: Path, imaging: ImageOptions | None = None,
    options: MosaicOptions | None = None, thresholds: MosaicThresholds | None = None,
    reference_catalogue: Path | None = None,
) -> Mosaic:  # fmt: skip
    """Make the mosaic of Measurement Sets by joint deconvolution.

    Parameters
    ----------
    measurement_sets : of one declination strip, calibrated.
    output : the mosaic, `NAME.fits`; the other files are those of `contimg.epoch.mosaic.make_mosaic`.
    imaging : options of imaging: size of a tile's field, weighting and clean.
    options : of the mosaic.
    thresholds : of the QA grade.
    reference_catalogue : file of the catalogue that the mosaic is compared with; None: it is not compared.

    Returns
    -------
    Mosaic
        The record of a mosaic of tile images; its members are the Measurement Sets.

    Raises
    ------
    BadInput : no Measurement Set can be used, or the mosaic would be too large; no file is written.
    Transient : the disk is full or cannot be written.
    """
    from contimg.epoch.joint.run import deconvolve_jointly

    imaging, options = imaging or ImageOptions(), options or MosaicOptions()
    return deconvolve_jointly(
        measurement_sets, output, imaging, options, thresholds or MosaicThresholds(), reference_catalogue
    )
