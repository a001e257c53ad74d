"""Quality of an image: the thresholds that an operator may set, and the table of checks that grades it."""

import math
from dataclasses import dataclass
from typing import Annotated

from contimg.common.options import option
from contimg.formats.records import about
from contimg.quality.calibration import CalibrationNumbers, check_calibration_class
from contimg.quality.comparison import ComparisonThresholds, check_comparison
from contimg.quality.grades import BAD, GOOD, SUSPECT, Check, QualityGrade, grade_checks
from contimg.sky.comparison.result import SkyComparison

NOISE = "noise"  # ended the cleaning
HANDS_OF_STOKES_I = 2
_HOLE_NOISES, _BOWL_NOISES = 6.0, 3.0  # depth in units of the noise that the noise alone reaches
_RATIO_ERRORS = 3.0  # errors of a ratio of hands that are added to its limit
_LEVELS = {GOOD: 1.0, SUSPECT: 0.5, BAD: 0.0}


class QualityThresholds(ComparisonThresholds, env_prefix="CONTIMG_QUALITY_"):
    """Limits of an image's numbers: beyond them it is suspect, beyond those named `bad_` it is bad."""

    min_unflagged: float = option(0.4, "Unflagged fraction below which an image is suspect", minimum=0.0, maximum=1.0)
    bad_unflagged: float = option(0.05, "Unflagged fraction below which an image is bad", minimum=0.0)
    max_missing_subbands: int = option(3, "Number of subbands without data above which an image is suspect", minimum=0)
    bad_missing_subbands: int = option(11, "Number of subbands without data above which an image is bad", minimum=0)
    max_noise_ratio: float = option(5.0, "Noise over the thermal noise above which an image is suspect", minimum=1.0)
    bad_noise_ratio: float = option(100.0, "Noise over the thermal noise above which an image is bad", minimum=1.0)
    max_history_ratio: float = option(
        2.0, "Noise over the median of the strip's last good images above which an image is suspect", minimum=1.0
    )
    bad_history_ratio: float = option(
        20.0, "Noise over the median of the strip's last good images above which an image is bad", minimum=1.0
    )
    dynamic_range_limit: float = option(
        200.0, "Peak over noise at which calibration errors explain high noise, for the reason of a grade", minimum=1.0
    )
    bad_dynamic_range: float = option(10.0, "Peak over noise below which an image with high noise is bad", minimum=0.0)
    max_hand_imbalance: float = option(
        0.05, "Difference from 1 of the flux in one parallel hand over that in the other", minimum=0.0
    )
    max_negative: float = option(0.3, "Depth of the minimum over the peak", minimum=0.0)
    max_bowl: float = option(0.03, "Depth of the negative bowl around the brightest source, over its peak", minimum=0.0)
    max_edge_noise_ratio: float = option(
        1.5, "Highest noise along the edge over that inside; aliases and sources outside raise it", minimum=1.0
    )
    max_flux_factor: float = option(1.5, "Factor between the median flux and the catalogue's", minimum=1.0)
    max_flux_loss: float = option(
        0.03, "Fraction of the flux that phase errors cost above which an image is suspect", minimum=0.0, maximum=1.0
    )
    max_beam_ratio: float = option(4.0, "Length of the synthesized beam over its width", minimum=1.0)
    min_sun_distance_deg: float = option(
        10.0, "Distance of the Sun from the pointing below which an image is suspect", unit="deg", minimum=0.0
    )
    min_beam_pixels: float = option(
        4.0, "Width of the synthesized beam below which its pixels are too large", unit="pixels", minimum=0.0
    )


AppliedSet = Annotated[
    str | None, about("Name of the caltable set applied; null when uncalibrated", example="2026-02-22T01:35:20")
]
AppliedSetNote = Annotated[
    str | None,
    about(
        "Why that set was applied, or why none was; of an image, why the set is not good",
        example="nearest good set of the strip",
    ),
]


@dataclass(frozen=True, kw_only=True)
class ImageNumbers(SkyComparison, CalibrationNumbers):
    """The numbers of an image that its grade depends on; None where one was not measured."""

    rms_jy: Annotated[float, about("Noise, from the median absolute deviation of the residual", "Jy/beam", 0.0021)]
    peak_jy: Annotated[float, about("Brightest pixel", "Jy/beam", 1.37)]
    beam_major_arcsec: Annotated[
        float, about("Full width at half maximum of the synthesized beam, major axis", "arcsec", 24.5)
    ]
    beam_minor_arcsec: Annotated[
        float, about("Full width at half maximum of the synthesized beam, minor axis", "arcsec", 12.1)
    ]
    beam_pixels: Annotated[float | None, about("Pixels across the minor axis of the beam", "pixels", 5.7)] = None
    calibration_set: AppliedSet
    calibration_note: AppliedSetNote = None
    calibration_grade: Annotated[
        str | None,
        about("QA grade of that set, `bad` when uncalibrated; null where the calibration is not known", example="good"),
    ] = None
    expected_rms_jy: Annotated[
        float | None, about("Thermal noise, from SEFD, samples and weights", "Jy/beam", 0.0012)
    ] = None
    history_rms_jy: Annotated[
        float | None,
        about("Median noise of the last good images of the declination strip before this one", "Jy/beam", 0.0019),
    ] = None
    minimum_jy: Annotated[float | None, about("Faintest pixel", "Jy/beam", -0.012)] = None
    bowl_jy: Annotated[
        float | None, about("Median in the negative bowl around the brightest source", "Jy/beam", -0.004)
    ] = None
    edge_noise_ratio: Annotated[
        float | None,
        about("Highest noise in a part of the frame along the image's edge, over the noise inside", "ratio", 1.08),
    ] = None
    unflagged_fraction: Annotated[
        float | None,
        about("Part of the cross-correlations' samples that is unflagged in the imaged hands", "fraction", 0.92),
    ] = None
    missing_subbands: Annotated[tuple[int, ...], about("Subbands without data", "subband numbers", [4, 15])] = ()
    hands: Annotated[
        str | None, about("Correlations in the image, or the one hand that is imaged alone", example="XX, YY")
    ] = None
    hand_ratio: Annotated[
        float | None, about("Flux of the image's sources in the first hand over that in the second", "ratio", 1.012)
    ] = None
    hand_ratio_error: Annotated[float | None, about("Standard error of that ratio", "ratio", 0.004)] = None
    gain_hand_ratio: Annotated[
        float | None,
        about("The same ratio of the gains applied: median of |g|^2 of the one hand over the other", "ratio", 1.21),
    ] = None
    sources_found: Annotated[
        int | None, about("Sources found blindly; null where the source finder is off", "sources", 57)
    ] = None
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
    sun_distance_deg: Annotated[float | None, about("Angle between the pointing and the Sun", "deg", 64.8)] = None
    sun_jy: Annotated[
        float | None,
        about("Estimate of the quiet Sun's flux on a baseline, after the primary beam; 0 below the horizon", "Jy", 3.1),
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

    Returns
    -------
    A check for each row of the table of numbers; those without limits are only shown.
    """
    rms, peak = image.rms_jy, image.peak_jy
    if not (0 < rms < math.inf and 0 < peak < math.inf):
        return (Check("peak", math.nan, f"the image is empty: peak {peak:g}, noise {rms:g} Jy/beam", bad_low=0.0),)
    return (
        *_check_noise(image, limits),
        *_check_data(image, limits),
        *_check_artefacts(image, limits),
        *_check_sources(image, limits),
        _check_clean(image),
        _check_calibration(image),
        *check_calibration_class(image, limits.max_flux_loss),
    )


def _check_noise(image: ImageNumbers, limits: QualityThresholds) -> tuple[Check, ...]:
    rms, peak = image.rms_jy, image.peak_jy
    thermal, history = _ratio(rms, image.expected_rms_jy), _ratio(rms, image.history_rms_jy)
    bad_noise = limits.bad_noise_ratio
    if peak < limits.bad_dynamic_range * rms:
        bad_noise = min(bad_noise, limits.max_noise_ratio)
    is_limited = peak >= limits.dynamic_range_limit * rms
    cause = f"; calibration errors explain it beside a peak of {peak:.3g} Jy/beam" if is_limited else ""
    return (
        Check("noise", rms, unit="Jy/beam"),
        Check("peak", peak, unit="Jy/beam"),
        Check("dynamic range", peak / rms, unit="count"),
        Check("noise over thermal", thermal, f"noise {rms * 1e3:.3g} mJy/beam is {thermal or 0:.1f} times the thermal "
              f"noise{cause}", high=limits.max_noise_ratio, bad_high=bad_noise),
        Check("noise over the strip's last images", history, f"noise {rms * 1e3:.3g} mJy/beam is {history or 0:.1f} "
              "times the median of the last good images of this declination strip",
              high=limits.max_history_ratio, bad_high=max(limits.bad_history_ratio, limits.max_history_ratio)),
    )  # fmt: skip


def _check_data(image: ImageNumbers, limits: QualityThresholds) -> tuple[Check, ...]:
    unflagged, missing = image.unflagged_fraction, image.missing_subbands
    hands = None if image.hands is None else len(image.hands.split(","))
    is_alone = image.hands is not None and image.hands != "I" and hands != HANDS_OF_STOKES_I
    first, second = image.hands.split(", ") if hands == HANDS_OF_STOKES_I and image.hands else ("XX", "YY")
    ratio, tolerance = image.hand_ratio, limits.max_hand_imbalance + _RATIO_ERRORS * (image.hand_ratio_error or 0.0)
    return (
        Check("samples left after flagging", unflagged, f"{unflagged or 0:.1%} of the samples are unflagged",
              low=limits.min_unflagged, bad_low=limits.bad_unflagged, unit="fraction"),
        Check("missing subbands", len(missing), f"{len(missing)} subbands have no data: {_name_runs(missing)}",
              high=limits.max_missing_subbands, bad_high=max(limits.bad_missing_subbands, limits.max_missing_subbands),
              unit="count", text=f"{len(missing)}: {_name_runs(missing)}" if missing else "0"),
        Check("parallel hands", None if hands is None else float(not is_alone), f"{image.hands} alone is imaged: the "
              "other parallel hand has hardly any data; the noise is higher, and fluxes of polarised sources are wrong",
              low=1.0, text=image.hands or "", limit_text="both"),
        Check(f"{first} over {second}, sources", ratio, f"fluxes in {first} are {ratio or 0:.3f} ± "
              f"{image.hand_ratio_error or 0:.3f} times those in {second}: the gains of a hand are wrong, or the "
              "brightest source is polarised", low=1 / (1 + tolerance), high=1 + tolerance),
        Check(f"{first} over {second}, gains", image.gain_hand_ratio),
    )  # fmt: skip


def _check_artefacts(image: ImageNumbers, limits: QualityThresholds) -> tuple[Check, ...]:
    rms, peak, minimum, bowl = image.rms_jy, image.peak_jy, image.minimum_jy, image.bowl_jy
    edge = image.edge_noise_ratio
    return (
        Check("minimum over peak", _ratio(minimum, -peak), f"a minimum of {minimum or 0:.3g} Jy/beam beside a peak of "
              f"{peak:.3g}", high=limits.max_negative + _HOLE_NOISES * rms / peak),
        Check("negative bowl over peak", _ratio(bowl, -peak), f"a negative bowl of {bowl or 0:.3g} Jy/beam around the "
              "brightest source", high=limits.max_bowl + _BOWL_NOISES * rms / peak),
        Check("noise at the edge over inside", edge, f"the noise at an edge is {edge or 0:.2f} times that inside: a "
              "strong source outside the image, or its alias", high=limits.max_edge_noise_ratio),
        Check("distance of the Sun, degrees", image.sun_distance_deg, f"the Sun is {image.sun_distance_deg or 0:.1f} "
              f"deg from the pointing, with about {image.sun_jy or 0:.2g} Jy on a baseline after the primary beam",
              low=limits.min_sun_distance_deg),
        Check("flux of the Sun, Jy on a baseline", image.sun_jy),
    )  # fmt: skip


def _check_sources(image: ImageNumbers, limits: QualityThresholds) -> tuple[Check, ...]:
    source_count, beam = image.sources_found, _ratio(image.beam_major_arcsec, image.beam_minor_arcsec)
    return (
        *check_comparison(image, image.beam_minor_arcsec, limits, limits.max_flux_factor),
        Check("number of sources found", source_count, unit="count", text="finder off" if source_count is None else ""),
        Check("beam, length over width", beam, f"the beam is {beam or 0:.1f} times longer than wide",
              high=limits.max_beam_ratio),
        Check("beam, pixels across", image.beam_pixels, f"the beam is {image.beam_pixels or 0:.1f} pixels wide: peaks "
              "and fitted fluxes are inexact; choose smaller pixels (CONTIMG_IMAGE_PIXEL_ARCSEC)",
              low=limits.min_beam_pixels),
    )  # fmt: skip


def _check_clean(image: ImageNumbers) -> Check:
    stopped_by = image.clean_stopped_by
    return Check(
        "cleaned to the noise", None if stopped_by is None else float(stopped_by == NOISE),
        f"cleaning was ended by {stopped_by} before the noise; {image.uncleaned_jy or 0:.3g} Jy are left above the "
        "depth of its mask", low=1.0, text="yes" if stopped_by == NOISE else f"ended by {stopped_by}", limit_text="yes",
    )  # fmt: skip


def _check_calibration(image: ImageNumbers) -> Check:
    """The grade of an image is at best that of its calibration; one without any is bad."""
    grade, name, note = image.calibration_grade, image.calibration_set, image.calibration_note
    value = min(_LEVELS[grade or GOOD], _LEVELS[SUSPECT if name is None else GOOD])
    reason = f"uncalibrated: {note}" if name is None else f"caltable set {name} is {grade}: {note}"
    text = "no" if name is None else f"{grade} set" if grade else "yes"
    return Check("calibrated", value, reason, low=1.0, bad_low=0.25, text=text, limit_text="good set")


def _name_runs(numbers: tuple[int, ...]) -> str:
    """Name numbers with their runs together, such as `3, 8 to 15`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _ratio(value: float | None, scale: float | None) -> float | None:
    """A value over a scale; None where either is not known."""
    return None if value is None or scale is None or math.isnan(value) or not scale else value / scale
