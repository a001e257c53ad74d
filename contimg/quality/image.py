"""Quality of an image: the thresholds that an operator may set, and the table of checks that grades it."""

import math
from dataclasses import dataclass
from typing import Annotated

from contimg.formats.records import about
from contimg.options import Options, option
from contimg.quality.grades import Check, QualityGrade, grade_checks

NOISE = "noise"  # ended the cleaning
_HOLE_NOISES, _BOWL_NOISES = 6.0, 3.0  # depth in units of the noise that the noise alone reaches


class QualityThresholds(Options, env_prefix="CONTIMG_QUALITY_"):
    """Limits of an image's numbers: beyond them it is suspect, beyond those named `bad_` it is bad."""

    min_unflagged: float = option(0.4, "Unflagged fraction below which an image is suspect", minimum=0.0, maximum=1.0)
    bad_unflagged: float = option(0.05, "Unflagged fraction below which an image is bad", minimum=0.0)
    max_noise_ratio: float = option(5.0, "Noise over the expected noise above which an image is suspect", minimum=1.0)
    bad_noise_ratio: float = option(100.0, "Noise over the expected noise above which an image is bad", minimum=1.0)
    dynamic_range_limit: float = option(200.0, "Maximum peak over noise that calibration errors allow", minimum=1.0)
    bad_dynamic_range: float = option(10.0, "Peak over noise below which an image with high noise is bad", minimum=0.0)
    max_negative: float = option(0.3, "Depth of the minimum over the peak", minimum=0.0)
    max_bowl: float = option(0.03, "Depth of the negative bowl around the brightest source, over its peak", minimum=0.0)
    max_offset_beams: float = option(0.5, "Median offset from the catalogue", unit="beam widths", minimum=0.0)
    max_flux_factor: float = option(1.5, "Factor between the median flux and the catalogue's", minimum=1.0)
    max_beam_ratio: float = option(4.0, "Length of the synthesized beam over its width", minimum=1.0)


AppliedSet = Annotated[
    str | None, about("Name of the caltable set applied; null when uncalibrated", example="2026-02-22T01:35:20")
]
AppliedSetNote = Annotated[
    str | None, about("Why that set was applied, or why none was", example="nearest good set of the strip")
]


@dataclass(frozen=True, kw_only=True)
class ImageNumbers:
    """The numbers of an image that its grade depends on; None where one was not measured."""

    rms_jy: Annotated[float, about("Noise, from the median absolute deviation of the residual", "Jy/beam", 0.0021)]
    peak_jy: Annotated[float, about("Brightest pixel", "Jy/beam", 1.37)]
    beam_major_arcsec: Annotated[
        float, about("Full width at half maximum of the synthesized beam, major axis", "arcsec", 24.5)
    ]
    beam_minor_arcsec: Annotated[
        float, about("Full width at half maximum of the synthesized beam, minor axis", "arcsec", 12.1)
    ]
    calibration_set: AppliedSet
    calibration_note: AppliedSetNote = None
    expected_rms_jy: Annotated[
        float | None, about("Thermal noise, from SEFD, samples and weights", "Jy/beam", 0.0012)
    ] = None
    minimum_jy: Annotated[float | None, about("Faintest pixel", "Jy/beam", -0.012)] = None
    bowl_jy: Annotated[
        float | None, about("Median in the negative bowl around the brightest source", "Jy/beam", -0.004)
    ] = None
    unflagged_fraction: Annotated[
        float | None, about("Part of the cross-correlations' samples that is unflagged", "fraction", 0.92)
    ] = None
    catalogue_offset_arcsec: Annotated[
        float | None, about("Length of the median offset of the sources from the catalogue", "arcsec", 1.4)
    ] = None
    catalogue_flux_ratio: Annotated[float | None, about("Median of measured over catalogued flux", "ratio", 0.98)] = (
        None
    )
    clean_stopped_by: Annotated[
        str | None,
        about(
            "What ended the cleaning: `noise`, or the limit that stopped it earlier; null for a dirty image",
            example="noise",
        ),
    ] = None
    uncleaned_jy: Annotated[
        float | None, about("Flux in the residual above the depth of the clean's mask", "Jy", 0.0)
    ] = None


def grade_image(image: ImageNumbers, limits: QualityThresholds) -> QualityGrade:
    """Grade an image: good, suspect or bad, with the reasons.

    Parameters
    ----------
    image : its numbers.
    limits : the thresholds in force.
    """
    return grade_checks(check_image(image, limits))


def check_image(image: ImageNumbers, limits: QualityThresholds) -> tuple[Check, ...]:
    """Check the numbers of an image against the thresholds; one check alone where the image is empty.

    Parameters
    ----------
    image : its numbers.
    limits : the thresholds in force.
    """
    rms, peak, width = image.rms_jy, image.peak_jy, image.beam_minor_arcsec
    if not (0 < rms < math.inf and 0 < peak < math.inf):
        return (Check("peak", math.nan, f"the image is empty: peak {peak:g}, noise {rms:g} Jy/beam", bad_low=0.0),)
    thermal, minimum, bowl = image.expected_rms_jy, image.minimum_jy, image.bowl_jy
    # Where calibration errors, not thermal noise, limit the image, they set the noise to expect.
    noise = None if thermal is None else rms / math.hypot(thermal, peak / limits.dynamic_range_limit)
    max_noise, bad_noise = limits.max_noise_ratio, limits.bad_noise_ratio
    if peak < limits.bad_dynamic_range * rms:
        bad_noise = min(bad_noise, max_noise)
    offset = _ratio(image.catalogue_offset_arcsec, width)
    stopped_by = image.clean_stopped_by
    cleaned = None if stopped_by is None else float(stopped_by == NOISE)
    beam, flux, left = _ratio(image.beam_major_arcsec, width), image.catalogue_flux_ratio, image.unflagged_fraction
    return (
        Check("noise over expected", noise, f"noise {rms * 1e3:.3g} mJy/beam is {noise or 0:.1f} times what is "
              "expected", high=max_noise, bad_high=bad_noise),
        Check("samples left after flagging", left, f"{left or 0:.1%} of the samples are unflagged",
              low=limits.min_unflagged, bad_low=limits.bad_unflagged, unit="fraction"),
        Check("minimum over peak", _ratio(minimum, -peak), f"a minimum of {minimum or 0:.3g} Jy/beam beside a peak of "
              f"{peak:.3g}", high=limits.max_negative + _HOLE_NOISES * rms / peak),
        Check("negative bowl over peak", _ratio(bowl, -peak), f"a negative bowl of {bowl or 0:.3g} Jy/beam around the "
              "brightest source", high=limits.max_bowl + _BOWL_NOISES * rms / peak),
        Check("offset from catalogue, beams", offset, f"sources are {offset or 0:.2f} beams from their catalogued "
              "positions", high=limits.max_offset_beams),
        Check("flux over catalogue", flux, f"sources have {flux or 0:.2f} times their catalogued flux",
              low=1 / limits.max_flux_factor, high=limits.max_flux_factor),
        Check("beam, length over width", beam, f"the beam is {beam or 0:.1f} times longer than wide",
              high=limits.max_beam_ratio),
        Check("cleaned to the noise", cleaned, f"cleaning was ended by {stopped_by} before the noise; "
              f"{image.uncleaned_jy or 0:.3g} Jy are left above the depth of its mask", low=1.0),
        Check("calibrated", float(image.calibration_set is not None), f"uncalibrated: {image.calibration_note}",
              low=1.0),
    )  # fmt: skip


def _ratio(value: float | None, scale: float) -> float | None:
    """A value over a scale; None where either is not known."""
    return None if value is None or math.isnan(value) or not scale else value / scale
