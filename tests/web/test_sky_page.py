"""The Sky page: its span, axes, area and gaps in numbers; the area against the formula of a cap."""

import importlib
import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import example, given, settings
from hypothesis import strategies as st
from judges import require
from survey import FIRST_AFTER_GAP, FIRST_RA_DEG, GAP_TILES, RA_STEP_DEG, TILES, Survey
from test_browser import DESK, assert_nothing_sticks_out, chromium, pytestmark

from contimg.instrument.coverage import covered_area_deg2, uncovered_ra
from contimg.instrument.dsa110 import CADENCE_S
from contimg.store import ImageFilter
from web.tiles.sky_pages import TILE_DEG, find_time_gaps

__all__ = ["chromium", "pytestmark"]
require("playwright", allow_module_level=True)
sync_api = importlib.import_module("playwright.sync_api")
SCREENS = [(width, scheme) for width in (1440, 1024, 390) for scheme in ("light", "dark")]
CENTRES = st.lists(st.tuples(st.floats(0, 360), st.floats(-90, 90)), min_size=1, max_size=8)


def cap_deg2(radius_deg: float) -> float:
    """Area of a spherical cap."""
    return float(2 * np.pi * (1 - np.cos(np.radians(radius_deg))) * np.degrees(1) ** 2)


@pytest.mark.parametrize(
    ("centres", "caps"),
    [
        ([], 0), ([(10, 33)], 1), ([(0, 33)], 1), ([(77, 90)], 1), ([(5, -89)], 1), ([(10, 33), (10, 33)], 1),
        ([(359, 0), (2, 0)], 2), ([(0, 89.5), (180, -89.5)], 2),
    ],
)  # fmt: skip
def test_area_of_discs(centres: list[tuple[float, float]], caps: int) -> None:
    area = covered_area_deg2(np.array(centres, dtype=float).reshape(-1, 2), 1.35)
    assert area == pytest.approx(caps * cap_deg2(1.35), rel=2e-3)


@given(centres=CENTRES, radius_deg=st.floats(0.5, 60.0), dec_deg=st.floats(-89.0, 89.0))
@example(centres=[(359.9, 33.0), (2.0, 33.0)], radius_deg=1.35, dec_deg=33.0)
@example(centres=[(10.0, 89.9)], radius_deg=1.0, dec_deg=89.5)
@settings(max_examples=40, deadline=None)
def test_uncovered_ranges_agree_with_astropy(
    centres: list[tuple[float, float]], radius_deg: float, dec_deg: float
) -> None:
    gaps = uncovered_ra(np.array(centres), radius_deg, dec_deg)
    points = SkyCoord(np.arange(0.5, 360, 1.0), dec_deg, unit=u.deg)
    nearest_deg = np.min([points.separation(SkyCoord(*centre, unit=u.deg)).deg for centre in centres], axis=0)
    for ra_deg, separation_deg in zip(points.ra.deg, nearest_deg, strict=True):
        if abs(separation_deg - radius_deg) > 1e-6:
            inside = any((ra_deg - gap.begin_deg) % 360 < gap.width_deg for gap in gaps)
            assert inside == (separation_deg > radius_deg)


def test_time_gaps_are_counted() -> None:
    cadence = CADENCE_S / 86400
    (gap,) = find_time_gaps([61093.0 + n * cadence for n in (0, 1, 2, 5, 6)])
    assert gap.missing_tiles == 2
    assert gap.duration_s == pytest.approx(2 * CADENCE_S, abs=0.01)
    assert find_time_gaps([]) == find_time_gaps([61093.0]) == ()


def facts(html: str) -> dict[str, str]:
    return dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", html))


def test_sky_ends_at_newest_tile(survey: Survey) -> None:
    """The tiles of the survey are months old."""
    html = survey.client.get("/sky").text
    assert html.count('<a href="/images/') == TILES
    assert "2026-02-23 01:04 UTC, until the newest tile" in html
    numbers = facts(html)
    assert numbers["tiles"] == str(TILES)
    assert numbers["gaps between tiles"] == "1 gap, 31 min in all"
    assert numbers["missing in gaps"] == f"{GAP_TILES} tiles"
    width_deg = RA_STEP_DEG * (TILES + GAP_TILES - 1) + TILE_DEG / np.cos(np.radians(33.16))
    gap_deg = RA_STEP_DEG * (GAP_TILES + 1) - TILE_DEG / np.cos(np.radians(33.16))
    (row,) = re.findall(r">([\d.]+) h, ", html)
    assert float(row) == pytest.approx((width_deg - gap_deg) / 15, abs=0.02)
    area = float(numbers["area covered"].split()[0])
    assert area == pytest.approx((width_deg - gap_deg) * np.cos(np.radians(33.16)) * TILE_DEG, rel=0.1)


def test_sky_has_axes_and_tiles_across_zero_hours(survey: Survey) -> None:
    html = survey.client.get("/sky").text
    axis = html.split("right ascension axis")[1].split("</svg>")[0]
    labels = dict(re.findall(r'<text x="([\d.]+)%"[^>]*>([^<]+)', axis))
    assert (labels["100.00"], labels["0.00"], labels["50.00"]) == ("0h", "24h", "12h")
    assert len(labels) == len(set(labels.values()))
    places = {float(x) for x in re.findall(r'<ellipse class="\w+" cx="(-?[\d.]+)%"', html)}
    first, last = (FIRST_RA_DEG + RA_STEP_DEG * n for n in (0, TILES + GAP_TILES - 1))
    for ra_deg in (first, last % 360):
        assert any(x == pytest.approx(100 * (1 - ra_deg / 360), abs=0.01) for x in places)
    assert len(re.findall("<ellipse", html)) > TILES, "tiles near 0h are drawn at both edges"


def test_sky_by_night(survey: Survey) -> None:
    html = survey.client.get("/sky?night=2026-02-22").text
    counts = survey.store.products.count_images(ImageFilter(until_mjd=61094.0))
    assert html.count('<a href="/images/') == sum(counts.values()) == FIRST_AFTER_GAP + 1
    assert ", until the newest tile" not in html
    assert facts(html)["good"] == f"{counts['good']} tiles"
    assert "No tile in the night 2025-01-01" in survey.client.get("/sky?night=2025-01-01").text


@pytest.fixture(scope="module")
def page(chromium: "sync_api.Browser", survey: Survey) -> Iterator["sync_api.Page"]:
    context = chromium.new_context(**DESK)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_sky_fits_screen(page: "sync_api.Page", survey: Survey, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{survey.url}/sky")
    assert_nothing_sticks_out(page)
    for axis in page.locator("svg.axis").all():
        texts = [text for text in axis.locator("text").all() if text.is_visible()]
        boxes = sorted((box["x"], box["width"]) for text in texts if (box := text.bounding_box()))
        assert len(boxes) > 3
        assert all(x + wide <= following + 1 for (x, wide), (following, _) in pairwise(boxes))
