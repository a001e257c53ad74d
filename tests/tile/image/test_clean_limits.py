"""What ended the cleaning: in the result, the header, the log and the QA grade."""

import logging

import numpy as np
import pytest
from astropy.io import fits
from point_source_ms import Source, make_ms

from contimg.tile.image import ImageOptions, image

OPTIONS = ImageOptions(size=512, pixel_arcsec=6.0)
CALIBRATED = {"set": "2026-02-22T20:00:00_3C48", "calibrator": "3C48", "mjd": 61093.83, "tables": ["a.b"]}


@pytest.fixture(scope="module")
def crowded_ms(tmp_path_factory):
    """Thirty sources of 0.1 to 2 Jy: with a gain of 0.1 they want a thousand iterations."""
    rng = np.random.default_rng(2)
    sources = [
        Source(east, north, flux)
        for east, north, flux in zip(
            rng.uniform(-0.3, 0.3, 30), rng.uniform(-0.3, 0.3, 30), np.geomspace(0.1, 2, 30), strict=True
        )
    ]
    path = tmp_path_factory.mktemp("crowded") / "2026-02-22T23:17:51.ms"
    return make_ms(path, sources, antennas=32, times=4, channels=16, sefd_jy=6500.0, airy=False, corrected=CALIBRATED)


@pytest.mark.parametrize(
    ("changes", "stopped_by"),
    [
        ({}, "noise"),
        ({"iterations": 60}, "iterations"),
        ({"major_cycles": 1}, "major cycles"),
        pytest.param({"imager": "wsclean", "iterations": 60}, "iterations", marks=pytest.mark.judge("wsclean")),
    ],
    ids=["noise", "iterations", "cycles", "wsclean"],
)
def test_limit_is_in_result_header_log_and_grade(crowded_ms, tmp_path, caplog, changes, stopped_by):
    with caplog.at_level(logging.WARNING):
        tile_image = image(crowded_ms, tmp_path, OPTIONS.replace(**changes))
    header = fits.getheader(tile_image.products.fits)
    assert (tile_image.clean_stopped_by, header["CLEANEND"]) == (stopped_by, stopped_by)
    assert header["UNCLEAN"] == pytest.approx(tile_image.uncleaned_jy)
    reasons = [reason for reason in tile_image.verdict_reasons if stopped_by in reason]
    if stopped_by == "noise":
        assert tile_image.uncleaned_jy < 0.05
        assert tile_image.iterations < OPTIONS.iterations
    else:
        assert tile_image.uncleaned_jy > 0.5
        assert tile_image.verdict != "good"
        assert f"{tile_image.uncleaned_jy:.3g} Jy" in reasons[0]
        assert f"{tile_image.iterations}" in caplog.text


def test_dirty_image_has_no_end_of_cleaning(crowded_ms, tmp_path):
    tile_image = image(crowded_ms, tmp_path, OPTIONS.replace(iterations=0))
    assert tile_image.clean_stopped_by is None
    assert fits.getheader(tile_image.products.fits)["CLEANEND"] is None
