"""The image stage: one Measurement Set in, a cleaned Stokes I image with its preview and its numbers out.

    from contimg.tile.image import ImageOptions, image
    tile_image = image(Path("2026-02-22T23:17:51.ms"), Path("images"), ImageOptions())

Importing this package is light; the numerical libraries load with the first image.
"""

from pathlib import Path

from contimg.quality.image import QualityThresholds
from contimg.tile.image.options import ImageOptions
from contimg.tile.image.result import Beam, Calibration, ImagingResult

__all__ = ["Beam", "Calibration", "ImageOptions", "ImagingResult", "image"]


def image(
    ms: Path,
    directory: Path,
    options: ImageOptions | None = None,
    thresholds: QualityThresholds | None = None,
) -> ImagingResult:
    """Image a Measurement Set into `<directory>/<group>.fits`, `.pb.fits`, `.png` and `.thumb.png`.

    Raises BadInput when there is nothing to image (then no product appears), Transient when the disk is in the way.
    """
    from contimg.tile.image.run import make_image

    return make_image(ms, directory, options or ImageOptions(), thresholds or QualityThresholds())
