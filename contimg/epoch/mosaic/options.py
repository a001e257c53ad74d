"""What an operator may choose about a mosaic."""

from contimg.common.options import option
from contimg.sky.comparison.astrometry import PositionOptions


class MosaicOptions(PositionOptions, env_prefix="CONTIMG_MOSAIC_"):
    """Options of the mosaic stage."""

    pb_cutoff: float = option(
        0.1, "Primary beam below which the pixels of a tile image are not used", minimum=0.01, maximum=0.9
    )
    weight_cutoff: float = option(
        0.02, "Weight over the highest weight below which the mosaic is blank", minimum=0.0, maximum=0.9
    )
    pixel_arcsec: float = option(
        0.0, "Pixel size; 0: that of the tile image with the smallest pixels", unit="arcsec", minimum=0.0, maximum=120.0
    )
    subtract_background: bool = option(
        True, "Subtract the level of each tile image around the sources that its neighbours share"
    )
    align: bool = option(True, "Shift each tile image to the positions of the sources that its neighbours share")
    match_sigma: float = option(
        12.0, "Minimum peak over the noise of sources that are compared between tiles", minimum=5.0
    )
    dish_diameter_m: float = option(
        0.0, "Diameter of the dishes, for images without a `.pb.fits` file; 0: those are left out", unit="m",
        minimum=0.0, maximum=100.0,
    )  # fmt: skip
    max_megapixels: float = option(400.0, "Maximum size of the mosaic", unit="megapixels", minimum=0.01)
    threads: int = option(2, "Threads", minimum=1, maximum=256)
