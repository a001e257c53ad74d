"""The comparison of images with their truth on drawn images: ratios, isolation, completeness, reliability."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from bench_image import find_deviations
from image_truth import (
    LIST_BINS,
    Comparison,
    compare_points,
    list_scores,
    measure_list,
    median_ratios,
    read_beam,
    resolved_ratios,
    sources_inside,
)

from contimg.tile.image.deconvolution.restoring import evaluate_beam
from contimg.tile.image.result import Beam
from contimg.tile.image.sources.matches import FoundSource

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
    # "faint" is not in the list, the fainter of the pair is blended into the brighter.
    names = ("bright", "resolved", "pair a")
    positions = [table.positions_rad[table.names.index(name)] for name in names]
    sources = [found(*np.rad2deg(position), snr) for position, snr in zip(positions, (500, 120, 100), strict=True)]
    assert list_scores(sources, table, RMS_JY, beam) == (pytest.approx(2 / 3), 1.0)
    false = found(0.0, 39.9, 40.0)
    assert list_scores([*sources, false], table, RMS_JY, beam)[1] == pytest.approx(3 / 4)
    assert list_scores([*sources, replace(false, mark="edge")], table, RMS_JY, beam)[1] == 1.0
    assert list_scores([*sources, found(0.0, 39.9, 5.0)], table, RMS_JY, beam)[1] == 1.0


def found(ra_deg: float, dec_deg: float, snr: float, error: float = 0.02) -> FoundSource:
    flux_jy = snr * RMS_JY
    return FoundSource("x", ra_deg, dec_deg, 0.1, 0.1, flux_jy, error * flux_jy, flux_jy, error * flux_jy, 40.0, 25.0,
                       0.0, RMS_JY, 1.0)  # fmt: skip


def test_source_list_by_signal_to_noise() -> None:
    table = sources_inside(SOURCES, header(), (SIZE, SIZE))
    beam, _ = read_beam(header())
    sources = []
    for name, offset in (("bright", 2.0), ("faint", -1.0)):
        index = table.names.index(name)
        ra_deg, dec_deg = np.rad2deg(table.positions_rad[index])
        flux_jy = table.apparent_jy[index] * (1 + 0.02 * offset)
        sources.append(found(ra_deg, dec_deg, flux_jy / RMS_JY, 0.02 * table.apparent_jy[index] / flux_jy))
    false = replace(sources[1], ra_deg=0.0, dec_deg=39.9, mark="near strong")
    rows = {row.low: row for row in measure_list([*sources, false], table, RMS_JY, beam)}
    assert (rows[60].listed, rows[60].reliability, rows[60].flux_pull[0]) == (1, 1.0, pytest.approx(2.0))
    faint = rows[next(low for low, high in LIST_BINS if low <= sources[1].peak_jy / RMS_JY < high)]
    assert (faint.listed, faint.reliability, faint.false_marked) == (2, 0.5, (1, 1))
    assert faint.peak_pull == (pytest.approx(-1.0), 0.0)
    assert sum(row.true for row in rows.values()) >= 2
    assert rows[60].completeness < 1.0


def test_deviations_name_figures_above_limits() -> None:
    good = [Comparison("x", 1.0, 1.0, snr, radius, 0.0) for snr in (8, 20, 40, 100) for radius in (0.2, 0.7, 1.2, 1.7)]
    peaks = {f"{low:g}": [ratio for ratio, _ in columns] for (low, _), columns in median_ratios(good).items()}
    figures = {"noise": 1.1, "peaks": peaks, "in_place": 1.0, "resolved": 1.0, "completeness": 1.0, "reliability": 1.0}
    assert find_deviations(figures) == []
    figures["peaks"] = {**peaks, "60": [1.0, 0.985, 1.0, np.nan, 1.0], "7": [0.985] * 5}
    (deviation,) = find_deviations(figures)
    assert "0.985" in deviation
    assert len(find_deviations({**figures, "noise": 1.3, "reliability": 0.9, "resolved": 0.9})) == 4
