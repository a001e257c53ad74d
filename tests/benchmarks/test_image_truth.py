"""The comparison of images with their truth on drawn images: ratios, isolation, completeness, reliability."""

import numpy as np
import pytest
from astropy.io import fits
from bench_image import find_deviations
from image_truth import (
    Comparison,
    compare_points,
    list_scores,
    median_ratios,
    read_beam,
    resolved_ratios,
    sources_inside,
)

from contimg.tile.image.deconvolution.restoring import evaluate_beam
from contimg.tile.image.result import Beam

SIZE, PIXEL_ARCSEC, RMS_JY = 400, 5.0, 1e-3


def header() -> fits.Header:
    cards = {
        "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": 0.05, "CRVAL2": 40.0, "CRPIX1": SIZE / 2 + 1,
        "CRPIX2": SIZE / 2 + 1, "CDELT1": -PIXEL_ARCSEC / 3600, "CDELT2": PIXEL_ARCSEC / 3600, "CUNIT1": "deg",
        "CUNIT2": "deg", "BMAJ": 40 / 3600, "BMIN": 25 / 3600, "BPA": 30.0,
    }  # fmt: skip
    return fits.Header(cards)


def source(name: str, east_deg: float, north_deg: float, flux_jy: float, major_arcsec: float = 0.0) -> dict:
    return {
        "name": name, "ra_deg": (0.05 + east_deg / np.cos(np.deg2rad(40 + north_deg))) % 360, "dec_deg": 40 + north_deg,
        "band_apparent_flux_jy": flux_jy, "major_arcsec": major_arcsec, "separation_deg": np.hypot(east_deg, north_deg),
    }  # fmt: skip


SOURCES = [
    source("bright", 0.1, 0.05, 0.5),
    source("faint", -0.12, -0.1, 0.01),
    source("pair a", 0.0, 0.15, 0.1),
    source("pair b", 0.012, 0.15, 0.05),
    source("resolved", -0.1, 0.1, 0.2, 40.0),
    source("below", 0.1, -0.1, 0.002),
    source("outside", 1.0, 0.0, 3.0),
]


def draw(factor: float = 1.0) -> np.ndarray:
    table = sources_inside(SOURCES, header(), (SIZE, SIZE))
    y, x = np.indices((SIZE, SIZE), sparse=True)
    image = np.zeros((SIZE, SIZE))
    for pixel, flux_jy, major_arcsec in zip(table.pixels, table.apparent_jy, table.major_arcsec, strict=True):
        beam = Beam(np.hypot(40, major_arcsec), np.hypot(25, major_arcsec), 30.0)
        peak = factor * flux_jy * 40 * 25 / (beam.major_arcsec * beam.minor_arcsec)
        image += peak * evaluate_beam(beam, PIXEL_ARCSEC, x - pixel[0], y - pixel[1])
    return image


def test_ratios_of_drawn_sources() -> None:
    table = sources_inside(SOURCES, header(), (SIZE, SIZE))
    assert "outside" not in table.names
    comparisons = compare_points(draw(0.9), header(), table, RMS_JY)
    assert {comparison.name for comparison in comparisons} == {"bright", "faint"}
    for comparison in comparisons:
        assert comparison.ratio == pytest.approx(0.9, abs=2e-3)
        assert comparison.offset_beams < 0.01
    medians = median_ratios(comparisons)
    assert medians[7, 12][0] == (pytest.approx(0.9, abs=2e-3), 1)
    assert medians[60, np.inf][1][1] == 1
    ((name, size, ratio),) = resolved_ratios(draw(0.9), header(), table, RMS_JY)
    assert (name, size) == ("resolved", 40.0)
    assert ratio == pytest.approx(0.9, abs=0.02)


def test_scores_of_source_list() -> None:
    table = sources_inside(SOURCES, header(), (SIZE, SIZE))
    beam, _ = read_beam(header())
    list_rad = np.array([table.positions_rad[table.names.index(name)] for name in ("bright", "resolved", "pair a")])
    snr = np.array([500.0, 120.0, 100.0])
    # "faint" is not in the list, the fainter of the pair is blended into the brighter.
    assert list_scores(list_rad, snr, table, RMS_JY, beam) == (pytest.approx(2 / 3), 1.0)
    false = np.vstack([list_rad, np.deg2rad([[0.0, 39.9]])])
    assert list_scores(false, np.append(snr, 40.0), table, RMS_JY, beam)[1] == pytest.approx(3 / 4)
    assert list_scores(false, np.append(snr, 5.0), table, RMS_JY, beam)[1] == 1.0


def test_deviations_name_figures_above_limits() -> None:
    good = [Comparison("x", 1.0, 1.0, snr, radius, 0.0) for snr in (8, 20, 40, 100) for radius in (0.2, 0.7, 1.2, 1.7)]
    peaks = {f"{low:g}": [ratio for ratio, _ in columns] for (low, _), columns in median_ratios(good).items()}
    figures = {"noise": 1.1, "peaks": peaks, "in_place": 1.0, "resolved": 1.0, "completeness": 1.0, "reliability": 1.0}
    assert find_deviations(figures) == []
    figures["peaks"] = {**peaks, "60": [1.0, 0.985, 1.0, np.nan, 1.0], "7": [0.985] * 5}
    (deviation,) = find_deviations(figures)
    assert "0.985" in deviation
    assert len(find_deviations({**figures, "noise": 1.3, "reliability": 0.9, "resolved": 0.9})) == 4
