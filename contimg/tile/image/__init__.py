"""The image stage: a Measurement Set becomes a cleaned Stokes I image with previews and a QA grade.

    from contimg.tile.image import ImageOptions, image
    tile_image = image(Path("2026-02-22T23:17:51.ms"), Path("images"), ImageOptions())

Importing this package is light; the numerical libraries are imported with the first image.
"""

from pathlib import Path

from contimg.quality.image import QualityThresholds
from contimg.tile.image.options import ImageOptions
from contimg.tile.image.result import Beam, Calibration, ImagingResult

__all__ = ["Beam", "Calibration", "ImageOptions", "ImagingResult", "image"]


def image(
    ms: Path, directory: Path, options: ImageOptions | None = None, thresholds: QualityThresholds | None = None,
    history_rms_jy: float | None = None, reference_catalogue: Path | None = None,
) -> ImagingResult:  # fmt: skip
    """Image a Measurement Set.

    Parameters
    ----------
    ms : the Measurement Set, calibrated or not.
    directory : for the image's files, `<group>.fits`, `.pb.fits`, `.pbcor.fits`, `.png` and more.
    options : of imaging.
    thresholds : of the QA grade.
    history_rms_jy : median noise of the last good images of the declination strip, Jy per beam, to compare with.
    reference_catalogue : file of the catalogue that the image is compared with; None: it is not compared.

    Raises
    ------
    BadInput : there is nothing to image; no file is written.
    Transient : the disk is full or cannot be written.
    """
    from contimg.tile.image.run import make_image

    options, thresholds = options or ImageOptions(), thresholds or QualityThresholds()
    return make_image(ms, directory, options, thresholds, history_rms_jy, reference_catalogue)
