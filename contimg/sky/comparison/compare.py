"""Statistics of an image's sources against the reference catalogue."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from contimg.sky.comparison.matching import Mask, MatchedSources, Values
from contimg.sky.comparison.result import SkyComparison
from contimg.sky.comparison.statistics import compute_weighted_median

SNR_EDGES = (7.0, 12.0, 25.0, 60.0, np.inf)
FAINT_SNR = 25.0  # sources of a lower signal to noise are faint
RADIUS_EDGES_DEG = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
COMPLETE_JY = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
COMPLETE_SNR = 10.0
HALF_POWER = 0.5
GRID = 3  # cells of the field of offsets, per side
MIN_MATCHES = 5  # below them nothing is computed
MIN_IN_BIN = 3

Bins = dict[tuple[tuple[str, float | None], ...], Mask]  # sources by the limits of a bin


def compare_sources(matched: MatchedSources, name: str, kind: str | None = None) -> SkyComparison:
    """Compute offsets, flux ratios and completeness.

    Parameters
    ----------
    matched : catalogued sources with their measurements.
    name, kind : of the catalogue.

    Returns
    -------
    The numbers; with fewer than `MIN_MATCHES` sources only the name and the number of sources.
    """
    is_compared, is_found = matched.is_compared, matched.is_compared & matched.is_detected
    count = int(is_compared.sum())
    if count < MIN_MATCHES:
        return SkyComparison(catalogue_name=name, catalogue_kind=kind, catalogue_matches=count)
    ratio, ratio_error = _flux_ratio(matched, is_compared)
    is_faint, is_inner = matched.snr < FAINT_SNR, matched.pb >= HALF_POWER
    snr_bins: Bins = {
        (("snr_from", low), ("snr_to", None if np.isinf(high) else high)): (matched.snr >= low) & (matched.snr < high)
        for low, high in pairwise(SNR_EDGES)
    }
    radius_deg = matched.radius_deg
    radius_bins: Bins = {
        (("from_deg", low), ("to_deg", high)): (radius_deg >= low) & (radius_deg < high)
        for low, high in pairwise(RADIUS_EDGES_DEG)
    }
    return SkyComparison(
        catalogue_name=name, catalogue_kind=kind, catalogue_matches=count, catalogue_flux_ratio=ratio,
        catalogue_flux_error=ratio_error,
        catalogue_faint_ratio=_ratio_between(matched, is_compared & is_faint, is_compared & ~is_faint),
        catalogue_outer_ratio=_ratio_between(matched, is_compared & ~is_inner, is_compared & is_inner),
        catalogue_flux_by_snr=_flux_bins(matched, snr_bins), catalogue_flux_by_radius=_flux_bins(matched, radius_bins),
        catalogue_completeness=_detected_fraction(matched, is_compared & (matched.snr >= COMPLETE_SNR)),
        catalogue_completeness_by_flux=_completeness(matched), **_offsets(matched, is_found),
    )  # fmt: skip


def _flux_ratio(matched: MatchedSources, chosen: Mask) -> tuple[float, float]:
    return compute_weighted_median(matched.flux_ratio[chosen], matched.flux_ratio_error[chosen])


def _ratio_between(matched: MatchedSources, first: Mask, second: Mask) -> float | None:
    """The flux ratio of some sources over that of others; None with too few of either."""
    if min(first.sum(), second.sum()) < MIN_MATCHES:
        return None
    return _flux_ratio(matched, first)[0] / _flux_ratio(matched, second)[0]


def _flux_bins(matched: MatchedSources, bins: Bins) -> tuple[Mapping[str, Any], ...]:
    rows: list[Mapping[str, Any]] = []
    for limits, is_inside in bins.items():
        chosen = is_inside & matched.is_compared
        if chosen.sum() >= MIN_IN_BIN:
            ratio, error = _flux_ratio(matched, chosen)
            rows.append({**dict(limits), "sources": int(chosen.sum()), "flux_ratio": ratio, "error": error})
    return tuple(rows)


def _detected_fraction(matched: MatchedSources, chosen: Mask) -> float | None:
    return float(matched.is_detected[chosen].mean()) if chosen.sum() >= MIN_IN_BIN else None


def _completeness(matched: MatchedSources) -> tuple[Mapping[str, Any], ...]:
    rows: list[Mapping[str, Any]] = []
    is_inner, faintest_jy = matched.pb >= HALF_POWER, matched.flux_jy.min()
    for flux_jy in COMPLETE_JY:
        chosen = is_inner & (matched.flux_jy >= flux_jy)
        detected = _detected_fraction(matched, chosen)
        if detected is not None and flux_jy >= faintest_jy:  # below its limit the catalogue is incomplete itself
            rows.append({"flux_jy": flux_jy, "sources": int(chosen.sum()), "detected": detected})
    return tuple(rows)


def _offsets(matched: MatchedSources, chosen: Mask) -> dict[str, Any]:
    """The fields of the offsets; none with too few detected sources."""
    if chosen.sum() < MIN_MATCHES:
        return {}
    errors = matched.offset_error_arcsec[chosen]
    offsets = np.stack([matched.offset_east_arcsec[chosen], matched.offset_north_arcsec[chosen]])
    (east, east_error), (north, north_error) = (compute_weighted_median(values, errors) for values in offsets)
    cells, distortion_arcsec = _measure_field(
        offsets, errors, matched.east_deg[chosen], matched.north_deg[chosen], (east, north)
    )
    return {
        "catalogue_offset_arcsec": float(np.hypot(east, north)), "catalogue_offset_east_arcsec": east,
        "catalogue_offset_north_arcsec": north, "catalogue_offset_error_arcsec": max(east_error, north_error),
        "catalogue_offset_field": cells, "catalogue_distortion_arcsec": distortion_arcsec,
    }  # fmt: skip


def _measure_field(
    offsets: Values, errors: Values, east_deg: Values, north_deg: Values, median: tuple[float, float]
) -> tuple[tuple[Mapping[str, Any], ...], float | None]:
    """Median offsets in the cells of a grid, and the rms of what exceeds the median offset and the errors."""
    half_east, half_north = (float(np.abs(values).max()) or 1.0 for values in (east_deg, north_deg))
    columns, rows = (
        np.clip(((values / half + 1) * GRID / 2).astype(int), 0, GRID - 1)
        for values, half in ((east_deg, half_east), (north_deg, half_north))
    )
    cells, excess = [], []
    for row in range(GRID):
        for column in range(GRID):
            inside = (rows == row) & (columns == column)
            if inside.sum() < MIN_IN_BIN:
                continue
            (east, east_error), (north, north_error) = (
                compute_weighted_median(values[inside], errors[inside]) for values in offsets
            )
            cells.append(
                {
                    "east_deg": half_east * (2 * column + 1 - GRID) / GRID,
                    "north_deg": half_north * (2 * row + 1 - GRID) / GRID,
                    "sources": int(inside.sum()), "offset_east_arcsec": east, "offset_north_arcsec": north,
                    "error_arcsec": max(east_error, north_error),
                }
            )  # fmt: skip
            departure = (east - median[0]) ** 2 + (north - median[1]) ** 2
            excess.append(departure - east_error**2 - north_error**2)
    if len(cells) <= GRID:
        return tuple(cells), None
    return tuple(cells), float(np.sqrt(max(0.0, float(np.mean(excess)))))
