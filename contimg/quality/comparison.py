"""Quality of an image or mosaic against the reference catalogue: limits and checks."""

import math

from contimg.common.options import Options, option
from contimg.quality.grades import Check
from contimg.sky.comparison.result import SkyComparison

_RATIO_ERRORS = 3.0  # errors of the flux ratio that are added to its limit


class ComparisonThresholds(Options):
    """Limits of the numbers against the reference catalogue: beyond them an image is suspect, beyond `bad_` bad."""

    max_offset_beams: float = option(0.5, "Median offset from the catalogue", unit="beam widths", minimum=0.0)
    max_faint_factor: float = option(
        1.15, "Factor between the catalogue's flux ratio of faint sources and that of bright ones", minimum=1.0
    )
    max_reference_factor: float = option(
        1.2,
        "Factor between the median flux and the reference catalogue's, to which three errors are added",
        minimum=1.0,
    )
    max_outer_factor: float = option(
        1.2, "Factor between the catalogue's flux ratio outside half power and that inside", minimum=1.0
    )
    max_distortion_beams: float = option(
        0.25, "Rms difference of the offsets from the catalogue over the image", unit="beam widths", minimum=0.0
    )
    min_completeness: float = option(
        0.9, "Detected fraction of the sources predicted at ten times the noise below which an image is suspect",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    bad_completeness: float = option(
        0.5, "Detected fraction of these sources below which an image is bad", minimum=0.0, maximum=1.0
    )


def check_comparison(
    image: SkyComparison, beam_minor_arcsec: float, limits: ComparisonThresholds, max_calibrator_factor: float
) -> tuple[Check, ...]:
    """Check the numbers against the reference catalogue; without one, those against the flux calibrators.

    Parameters
    ----------
    image : the numbers of an image or mosaic.
    beam_minor_arcsec : width of its beam.
    limits : the thresholds in force.
    max_calibrator_factor : limit of the factor between the flux and the flux calibrators'.
    """
    flux, error = image.catalogue_flux_ratio, image.catalogue_flux_error
    faint, outer, complete = image.catalogue_faint_ratio, image.catalogue_outer_ratio, image.catalogue_completeness
    offset = _in_beams(image.catalogue_offset_arcsec, beam_minor_arcsec)
    distortion = _in_beams(image.catalogue_distortion_arcsec, beam_minor_arcsec)
    east_arcsec, north_arcsec = image.shift_east_arcsec or 0.0, image.shift_north_arcsec or 0.0
    is_reference = image.catalogue_name is not None and flux is not None
    factor = limits.max_reference_factor + _RATIO_ERRORS * (error or 0.0) if is_reference else max_calibrator_factor
    corrected = "" if image.shift_east_arcsec is None else "; the coordinates are corrected for it"
    return (
        Check("reference catalogue", None, text=describe_comparison(image)),
        Check("number of catalogued sources compared", image.catalogue_matches, unit="count"),
        Check("offset from catalogue, beams", offset, f"sources are {offset or 0:.2f} beams from their catalogued "
              f"positions{corrected}", high=limits.max_offset_beams),
        Check("coordinates shifted, arcsec", None if image.shift_east_arcsec is None else
              math.hypot(east_arcsec, north_arcsec)),
        Check("distortion of positions, beams", distortion, f"offsets from the catalogue differ by "
              f"{distortion or 0:.2f} beams over the image", high=limits.max_distortion_beams),
        Check("flux over catalogue", flux, f"sources have {flux or 0:.3f} times their catalogued flux",
              low=1 / factor, high=factor),
        Check("flux over catalogue, faint over bright", faint, f"sources of signal to noise 7 to 25 have "
              f"{faint or 0:.2f} times the flux ratio of brighter ones: the image is not cleaned deep enough",
              low=1 / limits.max_faint_factor, high=limits.max_faint_factor),
        Check("flux over catalogue, outer over inner", outer, f"sources outside half power have {outer or 0:.2f} times "
              "the flux ratio of those inside: the primary beam or the pointing is wrong",
              low=1 / limits.max_outer_factor, high=limits.max_outer_factor),
        Check("catalogued sources detected", complete, f"{complete or 0:.0%} of the sources that the catalogue "
              "predicts at ten times the noise are detected", low=limits.min_completeness,
              bad_low=limits.bad_completeness, unit="fraction"),
    )  # fmt: skip


def describe_comparison(image: SkyComparison) -> str:
    """Return what an image is compared with, in a few words; `not compared` without a reference catalogue.

    Parameters
    ----------
    image : its numbers.
    """
    if image.catalogue_name is None:
        return "not compared"
    kinds = {"pipeline": "the pipeline's own images", "simulated": "simulated"}
    kind = kinds.get(image.catalogue_kind or "")
    name = f"{image.catalogue_name} ({kind})" if kind else image.catalogue_name
    return name if image.catalogue_flux_ratio is not None else f"not compared: too few sources of {name}"


def _in_beams(value_arcsec: float | None, beam_arcsec: float) -> float | None:
    if value_arcsec is None or math.isnan(value_arcsec) or not beam_arcsec:
        return None
    return value_arcsec / beam_arcsec
