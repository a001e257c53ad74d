"""Correction of an image's coordinates for its offset from the reference catalogue, once."""

from dataclasses import replace
from typing import Any

from contimg.common.options import Options, option
from contimg.sky.comparison.result import SkyComparison

SHIFT_KEYWORDS = "ASTSHFTE", "ASTSHFTN"
MIN_MATCHES = 20


class PositionOptions(Options):
    """When the coordinates of an image or mosaic are corrected for their offset from the reference catalogue."""

    correct_positions: bool = option(
        True, "Shift the coordinates by the offset from the reference catalogue where that is significant"
    )
    correct_sigma: float = option(
        5.0, "Offset from the reference catalogue over its error above which it is corrected", minimum=0.0
    )
    correct_beams: float = option(
        0.05, "Offset from the reference catalogue above which it is corrected", unit="beam widths", minimum=0.0
    )


def with_shift(comparison: SkyComparison, beam_minor_arcsec: float, options: PositionOptions) -> SkyComparison:
    """Return the comparison with the shift that corrects its offset, where that is significant.

    Parameters
    ----------
    comparison : with the offset.
    beam_minor_arcsec : width of the synthesized beam.
    options : smallest offset that is corrected.

    Returns
    -------
    The comparison; without a shift where the offset is smaller, or measured with fewer than `MIN_MATCHES` sources.
    """
    if not options.correct_positions:
        return comparison
    offset_arcsec, error_arcsec = comparison.catalogue_offset_arcsec, comparison.catalogue_offset_error_arcsec
    east_arcsec, north_arcsec = comparison.catalogue_offset_east_arcsec, comparison.catalogue_offset_north_arcsec
    if offset_arcsec is None or error_arcsec is None or east_arcsec is None or north_arcsec is None:
        return comparison
    limit_arcsec = max(options.correct_sigma * error_arcsec, options.correct_beams * beam_minor_arcsec)
    if offset_arcsec < limit_arcsec or (comparison.catalogue_matches or 0) < MIN_MATCHES:
        return comparison
    return replace(comparison, shift_east_arcsec=-east_arcsec, shift_north_arcsec=-north_arcsec)


def shift_header(header: Any, east_arcsec: float, north_arcsec: float) -> bool:
    """Shift the celestial coordinates of an image's header, unless they were shifted before.

    The reference pixel moves, not its coordinates: a new right ascension would turn the image around the pole.

    Parameters
    ----------
    header : of a FITS image with east to the left or right along the first axis and north along the second; changed.
    east_arcsec, north_arcsec : shift of the coordinates of every pixel.

    Returns
    -------
    Whether the header was changed; False where it has the keywords of a shift.
    """
    if any(keyword in header for keyword in SHIFT_KEYWORDS):
        return False
    for axis, shift_arcsec in ((1, east_arcsec), (2, north_arcsec)):
        header[f"CRPIX{axis}"] -= shift_arcsec / 3600 / header[f"CDELT{axis}"]
    write_shift(header, east_arcsec, north_arcsec)
    return True


def write_shift(header: Any, east_arcsec: float, north_arcsec: float) -> None:
    """Write the keywords of a shift to a header whose coordinates have it.

    Parameters
    ----------
    header : changed.
    east_arcsec, north_arcsec : shift of the coordinates of every pixel.
    """
    shifts = zip(SHIFT_KEYWORDS, (east_arcsec, north_arcsec), ("east", "north"), strict=True)
    for keyword, shift_arcsec, direction in shifts:
        header[keyword] = (shift_arcsec, f"[arcsec] coordinates were shifted to the {direction}")
