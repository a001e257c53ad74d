"""Quality of a mosaic: the thresholds that an operator may set, and the table of checks that grades it."""

import math
from dataclasses import dataclass
from typing import Annotated

from contimg.common.options import option
from contimg.formats.records import about
from contimg.quality.comparison import ComparisonThresholds, check_comparison
from contimg.quality.grades import Check, QualityGrade, grade_checks
from contimg.sky.comparison.result import SkyComparison


class MosaicThresholds(ComparisonThresholds, env_prefix="CONTIMG_MOSAIC_QUALITY_"):
    """Limits of a mosaic's numbers: beyond them it is suspect, beyond those named `bad_` it is bad."""

    min_members: int = option(2, "Number of tile images below which a mosaic is suspect", minimum=1)
    max_noise_ratio: float = option(
        1.5, "Noise over that predicted from the weights above which a mosaic is suspect", minimum=1.0
    )
    bad_noise_ratio: float = option(
        5.0, "Noise over that predicted from the weights above which a mosaic is bad", minimum=1.0
    )
    max_history_ratio: float = option(
        2.0, "Noise over the median of the strip's last good mosaics above which a mosaic is suspect", minimum=1.0
    )
    max_flux_step: float = option(
        0.05, "Difference of a tile's flux scale from its neighbours', as a fraction", minimum=0.0
    )
    bad_flux_step: float = option(
        0.5, "Difference of a tile's flux scale from its neighbours' above which a mosaic is bad, as a fraction",
        minimum=0.0,
    )  # fmt: skip
    max_flux_scatter: float = option(
        0.1, "Scatter of the flux ratios of sources between overlapping tiles, beyond their noise", minimum=0.0
    )
    max_position_scatter_beams: float = option(
        0.2, "Scatter of positions between overlapping tiles after their shifts", unit="beam widths", minimum=0.0
    )
    max_shift_beams: float = option(
        0.5, "Largest shift of a tile that its neighbours' sources call for", unit="beam widths", minimum=0.0
    )
    max_flux_seam: float = option(0.02, "Step of the flux scale at a tile's border, as a fraction", minimum=0.0)
    max_rms_seam: float = option(
        0.5, "Step of the noise at a tile's border beyond that of the weights, as a fraction", minimum=0.0
    )
    max_beam_deviation: float = option(
        0.1, "Difference of the primary beam from the one applied, as a fraction, at any distance", minimum=0.0
    )
    max_artefact_ratio: float = option(
        10.0, "Noise around the brightest sources over that predicted from the weights", minimum=1.0
    )


@dataclass(frozen=True, kw_only=True)
class MosaicNumbers(SkyComparison):
    """The numbers of a mosaic that its grade depends on; None where one was not measured."""

    member_count: Annotated[int, about("Tile images in the mosaic", "images", 12)]
    rms_jy: Annotated[float, about("Noise where the weight is at least half of the highest", "Jy/beam", 0.00019)]
    expected_rms_jy: Annotated[float, about("Noise there that the weights predict", "Jy/beam", 0.00018)]
    peak_jy: Annotated[float, about("Brightest pixel", "Jy/beam", 1.37)]
    beam_minor_arcsec: Annotated[
        float, about("Full width at half maximum of the common beam, minor axis", "arcsec", 12.3)
    ]
    history_rms_jy: Annotated[
        float | None,
        about("Median noise of the last good mosaics of the declination strip before this one", "Jy/beam", 0.0002),
    ] = None
    shared_sources: Annotated[int, about("Sources that are compared between overlapping tiles", "sources", 140)] = 0
    flux_scatter: Annotated[
        float | None,
        about("Scatter of the flux ratios of sources between overlapping tiles, beyond their noise", "fraction", 0.012),
    ] = None
    flux_step: Annotated[
        float | None,
        about("Largest difference of a tile's flux scale from its neighbours', less its error", "fraction", 0.011),
    ] = None
    position_scatter_beams: Annotated[
        float | None,
        about("Scatter of positions between overlapping tiles, after their shifts", "beam widths", 0.03),
    ] = None
    shift_beams: Annotated[float | None, about("Largest shift applied to a tile", "beam widths", 0.04)] = None
    flux_seam: Annotated[
        float | None, about("Largest step of the flux scale at a tile's border", "fraction", 0.002)
    ] = None
    rms_seam: Annotated[
        float | None,
        about("Largest step of the noise at a tile's border beyond that of the weights", "fraction", 0.04),
    ] = None
    beam_deviation: Annotated[
        float | None,
        about("Largest difference of the primary beam, measured in the overlaps, from the one applied, less its error",
              "fraction", 0.01),
    ] = None  # fmt: skip
    artefact_ratio: Annotated[
        float | None,
        about("Highest noise around one of the brightest sources over that predicted from the weights", "ratio", 1.6),
    ] = None


def grade_mosaic(mosaic: MosaicNumbers, limits: MosaicThresholds) -> QualityGrade:
    """Grade a mosaic: good, suspect or bad, with the reasons.

    Parameters
    ----------
    mosaic : its numbers.
    limits : the thresholds in force.
    """
    return grade_checks(check_mosaic(mosaic, limits))


def check_mosaic(mosaic: MosaicNumbers, limits: MosaicThresholds) -> tuple[Check, ...]:
    """Check the numbers of a mosaic against the thresholds; one check alone where the mosaic is empty.

    Parameters
    ----------
    mosaic : its numbers.
    limits : the thresholds in force.

    Returns
    -------
    A check for each row of the table of numbers; those without limits are only shown.
    """
    rms, peak = mosaic.rms_jy, mosaic.peak_jy
    if not (0 < rms < math.inf and 0 < peak < math.inf):
        return (Check("peak", math.nan, f"the mosaic is empty: peak {peak:g}, noise {rms:g} Jy/beam", bad_low=0.0),)
    return (*_check_noise(mosaic, limits), *_check_overlaps(mosaic, limits), *_check_sky(mosaic, limits))


def _check_noise(mosaic: MosaicNumbers, limits: MosaicThresholds) -> tuple[Check, ...]:
    rms, ratio = mosaic.rms_jy, mosaic.rms_jy / mosaic.expected_rms_jy
    history = None if not mosaic.history_rms_jy else rms / mosaic.history_rms_jy
    count = mosaic.member_count
    return (
        Check("tile images", count, f"{count} tile image in the mosaic: nothing to compare it with"
              if count == 1 else f"{count} tile images in the mosaic", low=limits.min_members, unit="count"),
        Check("noise", rms, unit="Jy/beam"),
        Check("peak", mosaic.peak_jy, unit="Jy/beam"),
        Check("noise over prediction", ratio, f"noise {rms * 1e3:.3g} mJy/beam is {ratio:.2f} times what the weights "
              "predict", high=limits.max_noise_ratio, bad_high=max(limits.bad_noise_ratio, limits.max_noise_ratio)),
        Check("noise over the strip's last mosaics", history, f"noise {rms * 1e3:.3g} mJy/beam is {history or 0:.1f} "
              "times the median of the last good mosaics of this declination strip", high=limits.max_history_ratio),
    )  # fmt: skip


def _check_overlaps(mosaic: MosaicNumbers, limits: MosaicThresholds) -> tuple[Check, ...]:
    step, scatter, positions = mosaic.flux_step, mosaic.flux_scatter, mosaic.position_scatter_beams
    shift, deviation = mosaic.shift_beams, mosaic.beam_deviation
    return (
        Check("sources shared by tiles", mosaic.shared_sources, unit="count"),
        Check("flux scale of a tile", step, f"the flux scale of a tile differs by {step or 0:.1%} from its "
              "neighbours': its calibration differs", high=limits.max_flux_step,
              bad_high=max(limits.bad_flux_step, limits.max_flux_step), unit="fraction"),
        Check("scatter of fluxes between tiles", scatter, f"fluxes scatter by {scatter or 0:.1%} between tiles",
              high=limits.max_flux_scatter, unit="fraction"),
        Check("scatter of positions between tiles, beams", positions, f"positions scatter by {positions or 0:.2f} "
              "beams between tiles", high=limits.max_position_scatter_beams),
        Check("largest shift of a tile, beams", shift, f"a tile was shifted by {shift or 0:.2f} beams",
              high=limits.max_shift_beams),
        Check("step of fluxes at a border", mosaic.flux_seam, f"fluxes step by {mosaic.flux_seam or 0:.1%} at the "
              "border of a tile", high=limits.max_flux_seam, unit="fraction"),
        Check("step of the noise at a border", mosaic.rms_seam, f"the noise steps by {mosaic.rms_seam or 0:.0%} at "
              "the border of a tile, beyond the weights", high=limits.max_rms_seam, unit="fraction"),
        Check("primary beam over the one applied", deviation, f"the primary beam differs by {deviation or 0:.1%} from "
              "the one applied; `contimg beam measure` measures its width", high=limits.max_beam_deviation,
              unit="fraction"),
    )  # fmt: skip


def _check_sky(mosaic: MosaicNumbers, limits: MosaicThresholds) -> tuple[Check, ...]:
    artefacts = mosaic.artefact_ratio
    return (
        Check("noise around bright sources over prediction", artefacts, f"the noise around a bright source is "
              f"{artefacts or 0:.1f} times what the weights predict", high=limits.max_artefact_ratio),
        *check_comparison(mosaic, mosaic.beam_minor_arcsec, limits, limits.max_reference_factor),
    )  # fmt: skip
