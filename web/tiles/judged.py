"""An image's numbers beside the limits that its verdict holds them against."""

import math
from dataclasses import dataclass

from contimg.quality.image import QualityThresholds
from contimg.store import ImageRecord
from web.panel.words import flux, percent


@dataclass(frozen=True)
class Judged:
    """A number beside its limit; `good` None when it is not known, or nothing judges it."""

    name: str
    value: str
    limit: str = ""
    good: bool | None = None


def judged(image: ImageRecord, limits: QualityThresholds) -> tuple[Judged, ...]:
    """The numbers of an image by the thresholds in force; those that were never measured show a dash."""
    beam = image.beam_major_arcsec / image.beam_minor_arcsec if image.beam_minor_arcsec > 0 else 0.0
    return (
        Judged("noise", f"{flux(image.rms_jy)}/beam"),
        _noise_ratio(image, limits),
        Judged("peak", f"{flux(image.peak_jy)}/beam"),
        Judged("dynamic range", f"{image.dynamic_range:.0f}"),
        _depth("deepest hole over peak", image.minimum_jy, image, limits.max_negative, 6.0),
        _depth("bowl over peak", image.bowl_jy, image, limits.max_bowl, 3.0),
        _flux_ratio(image, limits),
        _offset(image, limits),
        _at_most("beam, length over width", beam, limits.max_beam_ratio),
        Judged("samples left after flagging", percent(image.unflagged_fraction),
               f"≥ {100 * limits.min_unflagged:g} %",
               None if image.unflagged_fraction is None else image.unflagged_fraction >= limits.min_unflagged),
    )  # fmt: skip


def _at_most(name: str, value: float | None, limit: float) -> Judged:
    if value is None or not math.isfinite(value):
        return Judged(name, "–", f"≤ {limit:g}")
    return Judged(name, f"{value:.2f}", f"≤ {limit:g}", value <= limit)


def _noise_ratio(image: ImageRecord, limits: QualityThresholds) -> Judged:
    """Where errors of calibration, not thermal noise, set what can be expected, they are what counts."""
    expected = math.hypot(image.expected_rms_jy or 0.0, image.peak_jy / limits.dynamic_range_limit)
    ratio = image.rms_jy / expected if image.expected_rms_jy is not None and expected > 0 else None
    return _at_most("noise over expected", ratio, limits.max_noise_ratio)


def _depth(name: str, level_jy: float | None, image: ImageRecord, limit: float, noises: float) -> Judged:
    """A depth over the peak; noise alone reaches some depth, which is allowed for."""
    if level_jy is None or image.peak_jy <= 0:
        return _at_most(name, None, limit)
    good = -level_jy <= limit * image.peak_jy + noises * image.rms_jy
    return Judged(name, f"{max(0.0, -level_jy / image.peak_jy):.2f}", f"≤ {limit:g}", good)


def _flux_ratio(image: ImageRecord, limits: QualityThresholds) -> Judged:
    """Measured over catalogued flux, the median of the sources matched."""
    most, ratio = limits.max_flux_factor, image.catalogue_flux_ratio
    good = None if ratio is None else 1 / most <= ratio <= most
    matches = f" ({image.catalogue_matches})" if image.catalogue_matches and ratio is not None else ""
    value = "–" if ratio is None else f"{ratio:.2f}{matches}"
    return Judged("flux over catalogue", value, f"{1 / most:.2f} to {most:g}", good)


def _offset(image: ImageRecord, limits: QualityThresholds) -> Judged:
    """In widths of the beam where it is narrowest."""
    width = image.beam_minor_arcsec
    offset = None if image.catalogue_offset_arcsec is None or width <= 0 else image.catalogue_offset_arcsec / width
    return _at_most("offset from catalogue, beams", offset, limits.max_offset_beams)
