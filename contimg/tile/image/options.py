"""What an operator may choose about an image."""

from typing import Literal, Self

from pydantic import model_validator

from contimg.errors import Misconfigured
from contimg.options import Options, option

BRIGGS, UNIFORM, NATURAL = "briggs", "uniform", "natural"
DUCC, WSCLEAN = "ducc", "wsclean"


class ImageOptions(Options, env_prefix="CONTIMG_IMAGE_"):
    """Options of the image stage; the defaults image a full tile."""

    imager: Literal["ducc", "wsclean"] = option(DUCC, "ducc: ducc0 and Radler in this process; wsclean: WSClean's own")
    size: int = option(2048, "pixels on a side, even", minimum=64, maximum=16384)
    pixel_arcsec: float = option(
        0.0, "pixel size; 0 chooses from the longest baseline, at most 6 arcsec", minimum=0.0, maximum=120.0
    )
    weighting: Literal["briggs", "uniform", "natural"] = option(BRIGGS, "how samples weigh")
    robust: float = option(0.5, "Briggs robustness, -2 uniform to 2 natural", minimum=-2.0, maximum=2.0)
    min_uv_klambda: float = option(1.0, "leave out baselines shorter than this, kilowavelengths", minimum=0.0)
    taper_arcsec: float = option(
        0.0, "taper the uv plane to a Gaussian beam of this full width at half maximum; 0 for none", minimum=0.0
    )
    average: bool = option(True, "average channels and, on short baselines, integrations as far as smearing allows")
    channel_average: int = option(
        0, "native channels averaged into one; 0 chooses from the smearing allowed", minimum=0, maximum=1024
    )
    smearing_percent: float = option(
        1.0,
        "flux that averaging may cost a source at the image's edge",
        minimum=0.0,
        maximum=50.0,
    )
    iterations: int = option(5000, "clean iterations at most; 0 gives the dirty image", minimum=0)
    major_cycles: int = option(8, "major cycles of clean at most", minimum=1, maximum=100)
    gain: float = option(0.1, "clean gain of one iteration", minimum=0.001, maximum=1.0)
    major_gain: float = option(0.9, "part of the peak that one major cycle takes away", minimum=0.05, maximum=1.0)
    multiscale: bool = option(False, "clean with components of several sizes, for extended sources")
    band_parts: int = option(
        1, "parts of the band that are imaged by themselves and cleaned together, so that spectra are taken out too",
        minimum=1, maximum=64,
    )  # fmt: skip
    spectral_terms: int = option(2, "terms of the polynomial over frequency that components follow then", minimum=1)
    mask_sigma: float = option(5.0, "clean freely down to this many times the noise", minimum=1.0)
    threshold_sigma: float = option(
        1.0, "then, only where components were found, down to this many times the noise", minimum=0.1
    )
    local_noise: bool = option(
        False, "measure the noise around each place: less is cleaned amid the artefacts of the brightest sources"
    )
    catalogue: str = option(
        "", "CSV or FITS table of sources to compare the image with, true fluxes; empty: the flux calibrators"
    )
    catalogue_ra: str = option("ra_deg", "the catalogue's column of right ascension, ICRS degrees")
    catalogue_dec: str = option("dec_deg", "its column of declination, ICRS degrees")
    catalogue_flux: str = option("flux_jy", "its column of flux, Jy")
    find_sources: bool = option(
        False, "find sources with PyBDSF and write them as tables; needs `pip install contimg[sources]`"
    )
    source_sigma: float = option(5.0, "peak of a source that is found, over the local noise", minimum=3.0)
    plots: bool = option(False, "also draw the uv coverage and the spectrum of the brightest source")
    threads: int = option(2, "threads for gridding and clean", minimum=1, maximum=256)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.size % 2:
            raise Misconfigured(f"size={self.size}: must be even; give {self.size + 1}")
        if self.threshold_sigma > self.mask_sigma:
            raise Misconfigured(
                f"threshold_sigma={self.threshold_sigma:g}: must not exceed mask_sigma={self.mask_sigma:g}"
            )
        return self
