"""Is a product good? Thresholds that an operator may set, and a verdict that gives its reasons."""

import math
from dataclasses import dataclass

from contimg.options import option

ENVIRONMENT = "CONTIMG_QUALITY"
GOOD, SUSPECT, BAD = "good", "suspect", "bad"


@dataclass(frozen=True)
class QualityThresholds:
    """Where an image stops being good; each is the limit of `suspect`, and of `bad` where named so."""

    min_unflagged: float = option(0.4, "fraction of samples left after flagging", minimum=0.0, maximum=1.0)
    bad_unflagged: float = option(0.05, "fraction of samples left, below which an image is bad", minimum=0.0)
    max_noise_ratio: float = option(5.0, "noise over the noise expected", minimum=1.0)
    bad_noise_ratio: float = option(100.0, "noise over the noise expected, above which an image is bad", minimum=1.0)
    dynamic_range_limit: float = option(
        200.0, "peak over noise at which calibration errors, not thermal noise, set the noise expected", minimum=1.0
    )
    bad_dynamic_range: float = option(
        10.0, "peak over noise, below which an image whose noise is too high shows nothing and is bad", minimum=0.0
    )
    max_negative: float = option(0.3, "depth of the deepest hole over the peak", minimum=0.0)
    max_bowl: float = option(0.03, "depth of the bowl around the brightest source over its peak", minimum=0.0)
    max_offset_beams: float = option(
        0.5,
        "median offset from the catalogue over the width of the beam; calibration errors shift sources",
        minimum=0.0,
    )
    max_flux_factor: float = option(
        1.5, "factor by which the median flux may differ from the catalogue's; calibrators vary", minimum=1.0
    )
    max_beam_ratio: float = option(4.0, "length of the beam over its width", minimum=1.0)


@dataclass(frozen=True)
class Verdict:
    """`good`, `suspect` or `bad`, and why it is not good; an empty grade is that of a product not yet judged."""

    grade: str = ""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageNumbers:
    """The numbers of an image that a verdict looks at; fluxes in Jy per beam, `uncalibrated` empty or the reason.

    `bowl_jy` is the median around the brightest source; `offset_beams` and `flux_ratio` are medians against a
    catalogue, nan when the image shows none of its sources.
    """

    rms_jy: float
    expected_rms_jy: float
    peak_jy: float
    minimum_jy: float
    unflagged_fraction: float
    beam_ratio: float
    uncalibrated: str = ""
    bowl_jy: float = 0.0
    offset_beams: float = math.nan
    flux_ratio: float = math.nan


def judge_image(numbers: ImageNumbers, limits: QualityThresholds) -> Verdict:
    """The verdict on one image."""
    bad, suspect = [], []
    if not math.isfinite(numbers.rms_jy + numbers.peak_jy) or numbers.rms_jy <= 0 or numbers.peak_jy <= 0:
        bad.append(f"the image is empty: peak {numbers.peak_jy:g}, noise {numbers.rms_jy:g} Jy/beam")
        return Verdict(BAD, tuple(bad))
    ratio = numbers.rms_jy / math.hypot(numbers.expected_rms_jy, numbers.peak_jy / limits.dynamic_range_limit)
    noise = f"noise {numbers.rms_jy * 1e3:.3g} mJy/beam is {ratio:.1f} times what is expected"
    empty = numbers.peak_jy < limits.bad_dynamic_range * numbers.rms_jy
    if ratio > limits.bad_noise_ratio or (ratio > limits.max_noise_ratio and empty):
        bad.append(noise)
    elif ratio > limits.max_noise_ratio:
        suspect.append(noise)
    left = f"{numbers.unflagged_fraction:.1%} of the samples are unflagged"
    if numbers.unflagged_fraction < limits.bad_unflagged:
        bad.append(left)
    elif numbers.unflagged_fraction < limits.min_unflagged:
        suspect.append(left)
    if -numbers.minimum_jy > limits.max_negative * numbers.peak_jy + 6 * numbers.rms_jy:
        suspect.append(f"a hole of {numbers.minimum_jy:.3g} Jy/beam beside a peak of {numbers.peak_jy:.3g}")
    suspect += _out_of_place(numbers, limits)
    if numbers.beam_ratio > limits.max_beam_ratio:
        suspect.append(f"the beam is {numbers.beam_ratio:.1f} times longer than wide")
    if numbers.uncalibrated:
        suspect.append(f"uncalibrated: {numbers.uncalibrated}")
    return Verdict(BAD if bad else SUSPECT if suspect else GOOD, tuple(bad + suspect))


def _out_of_place(numbers: ImageNumbers, limits: QualityThresholds) -> list[str]:
    """What is wrong around the brightest source and against the catalogue."""
    found = []
    if -numbers.bowl_jy > limits.max_bowl * numbers.peak_jy + 3 * numbers.rms_jy:
        found.append(f"the brightest source lies in a bowl of {numbers.bowl_jy:.3g} Jy/beam")
    if numbers.offset_beams > limits.max_offset_beams:
        found.append(f"sources lie {numbers.offset_beams:.2f} beams from where the catalogue has them")
    if max(numbers.flux_ratio, 1 / numbers.flux_ratio if numbers.flux_ratio > 0 else 0) > limits.max_flux_factor:
        found.append(f"sources have {numbers.flux_ratio:.2f} times the flux that the catalogue gives them")
    return found
