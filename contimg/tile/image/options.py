"""What an operator may choose about an image."""

from typing import Literal, Self

from pydantic import model_validator

from contimg.common.errors import Misconfigured
from contimg.common.options import option
from contimg.sky.comparison.astrometry import PositionOptions

BRIGGS, UNIFORM, NATURAL = "briggs", "uniform", "natural"
DUCC, WSCLEAN = "ducc", "wsclean"


class ImageOptions(PositionOptions, env_prefix="CONTIMG_IMAGE_"):
    """Options of the image stage; the defaults image a full tile."""

    imager: Literal["ducc", "wsclean"] = option(
        DUCC, "Imager; ducc: ducc0 and Radler in this process, wsclean: the WSClean program"
    )
    size: int = option(2400, "Width and height of the image, even", unit="pixels", minimum=64, maximum=16384)
    padding: float = option(
        1.28, "Width of the field that is cleaned over the image's; sources outside the image are cleaned too",
        minimum=1.0, maximum=4.0,
    )  # fmt: skip
    pixel_arcsec: float = option(
        0.0,
        "Pixel size; 0: at most 6, and such that the longest baseline and the beam are sampled",
        unit="arcsec",
        minimum=0.0,
        maximum=120.0,
    )
    weighting: Literal["briggs", "uniform", "natural"] = option(BRIGGS, "Weighting of the visibilities")
    robust: float = option(0.5, "Briggs robustness, from -2 (uniform) to 2 (natural)", minimum=-2.0, maximum=2.0)
    min_uv_klambda: float = option(
        1.0, "Length of a baseline below which it is excluded", unit="kilowavelengths", minimum=0.0
    )
    taper_arcsec: float = option(
        0.0, "FWHM of the Gaussian beam to which the uv plane is tapered; 0: no taper", unit="arcsec", minimum=0.0
    )
    average: bool = option(True, "Average channels and, on short baselines, integrations within the smearing allowed")
    channel_average: int = option(
        0, "Channels averaged into one; 0: from the smearing allowed", minimum=0, maximum=1024
    )
    smearing_percent: float = option(
        1.0, "Maximum loss of flux by averaging at the edge of the image", unit="%", minimum=0.0, maximum=50.0
    )
    changing_sky: bool = option(
        True, "Model the changes of apparent fluxes within a tile: the primary beam, the spectral slope, smearing"
    )
    spectral_index: float = option(
        -0.7, "Spectral index of the sources that is assumed while cleaning, within a part of the band",
        minimum=-5.0, maximum=5.0,
    )  # fmt: skip
    iterations: int = option(200000, "Maximum number of clean iterations; 0: dirty image", minimum=0)
    major_cycles: int = option(20, "Maximum number of major cycles", minimum=1, maximum=100)
    gain: float = option(0.1, "Clean gain of an iteration", minimum=0.001, maximum=1.0)
    major_gain: float = option(0.9, "Fraction of the peak that a major cycle removes", minimum=0.05, maximum=1.0)
    multiscale: bool = option(False, "Clean with components of several sizes, for extended sources")
    band_parts: int = option(
        1, "Parts of the band that are imaged separately and cleaned jointly with spectra", minimum=1, maximum=64
    )
    spectral_terms: int = option(
        2, "Terms of the polynomial in frequency that components follow when band_parts is above 1", minimum=1
    )
    mask_sigma: float = option(5.0, "Depth of the clean without a mask, over the noise", minimum=1.0)
    threshold_sigma: float = option(0.4, "Depth of the clean at positions with components, over the noise", minimum=0.1)
    local_noise: bool = option(
        False, "Measure the noise around each position, so that artefacts of bright sources are cleaned less"
    )
    catalogue: str = option(
        "", "CSV or FITS table of sources with true fluxes to compare with; empty: the flux calibrators"
    )
    catalogue_ra: str = option("ra_deg", "Column of right ascension (ICRS) in the catalogue", unit="deg")
    catalogue_dec: str = option("dec_deg", "Column of declination (ICRS) in the catalogue", unit="deg")
    catalogue_flux: str = option("flux_jy", "Column of flux in the catalogue", unit="Jy")
    find_sources: bool = option(
        False, "Find sources with PyBDSF and write them as tables; needs `pip install contimg[sources]`"
    )
    source_sigma: float = option(5.0, "Minimum peak of a source that is found, over the local noise", minimum=3.0)
    plots: bool = option(False, "Draw the uv coverage and the spectrum of the brightest source")
    threads: int = option(2, "Threads for gridding and clean", minimum=1, maximum=256)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.size % 2:
            raise Misconfigured(f"size={self.size}: must be even; give {self.size + 1}")
        if self.threshold_sigma > self.mask_sigma:
            raise Misconfigured(
                f"threshold_sigma={self.threshold_sigma:g}: must not exceed mask_sigma={self.mask_sigma:g}"
            )
        return self
