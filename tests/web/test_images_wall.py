"""The images wall: nights, grades, missing subbands, the UTC axis, and downloads of a selection."""

import csv
import hashlib
import importlib
import io
import re
import tarfile
from collections.abc import Iterator
from itertools import pairwise

import pytest
from judges import require
from survey import REASON, TILES, Survey
from test_browser import DESK, assert_nothing_sticks_out, chromium, pytestmark

from contimg.store import ImageFilter
from web.tiles.nights import night_limits, utc_ticks

__all__ = ["chromium", "pytestmark"]
require("playwright", allow_module_level=True)
sync_api = importlib.import_module("playwright.sync_api")
NIGHTS = ("2026-02-22", "2026-02-23")
SCREENS = [(width, scheme) for width in (1440, 1024, 390) for scheme in ("light", "dark")]


def shown_ids(html: str) -> list[int]:
    return [int(image_id) for image_id in re.findall(r'<li id="image-(\d+)-', html)]


@pytest.fixture(scope="module")
def page(chromium: "sync_api.Browser", survey: Survey) -> Iterator["sync_api.Page"]:
    context = chromium.new_context(**DESK, accept_downloads=True)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("night", NIGHTS)
def test_wall_shows_images_of_a_night_by_grade(survey: Survey, night: str) -> None:
    limits = night_limits(night)
    scope = ImageFilter(since_mjd=limits[0], until_mjd=limits[1])
    counts = survey.store.products.count_images(scope)
    html = survey.client.get(f"/images?night={night}").text
    assert shown_ids(html) == [image.id for image in survey.store.products.find_images(scope, None)]
    for grade, count in counts.items():
        assert re.search(rf'href="[^"]*grade={grade}"[^>]*>{grade} <b>{count}</b>', html)
        listed = survey.client.get(f"/images?night={night}&grade={grade}").text
        assert len(shown_ids(listed)) == count > 0
        assert f'class="badge {grade}"' in listed


def test_wall_links_nights_with_counts(survey: Survey) -> None:
    html = survey.client.get("/images").text
    links = re.findall(r'href="(/images\?night=([\d-]+))".*?(\d+) images', html, re.DOTALL)
    assert [night for _, night, _ in links] == list(NIGHTS[::-1])
    assert sum(int(count) for *_, count in links) == TILES
    for address, _, count in links:
        assert len(shown_ids(survey.client.get(address).text)) == int(count)
    assert survey.client.get("/images?night=2025-01-01").status_code == 200
    assert survey.client.get("/images?night=yesterday").status_code == 400
    assert survey.client.get("/images?night=2026-02-31").status_code == 400


def test_cards_show_units_reasons_and_missing_subbands(survey: Survey) -> None:
    html = survey.client.get("/images").text
    cards = re.findall(r'<li id="image-\d+.*?</li>', html, re.DOTALL)
    assert len(cards) == TILES
    assert all(card.count("/beam</b>") == 2 for card in cards)
    assert sum("14 of 16 subbands" in card for card in cards) == 3
    assert all((REASON in card) == ('class="badge good"' not in card) for card in cards)


def test_strips_mark_every_tile_of_the_night(survey: Survey) -> None:
    html = survey.client.get(f"/images?night={NIGHTS[1]}").text
    figures = [figure.split("</figure>")[0] for figure in html.split("<figcaption>")[1:]]
    counts = {figure.split(" <")[0]: figure.count("<circle") for figure in figures}
    tiles = survey.store.products.tiles(ImageFilter(since_mjd=night_limits(NIGHTS[1])[0]))
    assert counts["noise"] == counts["noise over thermal"] == counts["flagged"] == len(tiles)
    assert counts["missing subbands"] == sum(bool(tile.missing_subbands) for tile in tiles) > 0
    assert sum('class="even"' in figure for figure in figures) == 2
    assert counts["flux over catalogue"] == sum(tile.flux_ratio is not None for tile in tiles)
    labels = re.findall(r'<text x="[\d.]+%"[^>]*>([^<]+)', html)
    assert labels == ["02-23", "00:30", "01:00", "01:30", "02:00"]


@pytest.mark.parametrize("span_days", [0.02, 0.1, 0.5, 1.0, 1.0001, 2.0, 3.3, 7.0, 30.0, 90.0, 365.0, 800.0])
@pytest.mark.parametrize("since_mjd", [61093.0, 61093.7, 61130.2])
def test_no_axis_tick_twice(since_mjd: float, span_days: float) -> None:
    ticks = utc_ticks(since_mjd, since_mjd + span_days)
    labels = [tick.label for tick in ticks]
    assert len(labels) == len(set(labels))
    assert 2 <= len(labels) <= 8
    assert all(0 <= tick.percent <= 100.001 for tick in ticks)


@pytest.mark.parametrize(("query", "prefix"), [("", "apparent"), ("&pbcor=1", "corrected")])
def test_download_holds_selected_files_with_checksums(survey: Survey, query: str, prefix: str) -> None:
    images = survey.store.products.find_images(ImageFilter(), 3)
    ids = "&".join(f"image={image.id}" for image in images)
    answer = survey.client.get(f"/images/download?which=selected&{ids}{query}&safe_names=1", buffered=True)
    assert answer.mimetype == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(answer.data)) as archive:
        contents = {member.name.split("/", 1)[1]: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    rows = list(csv.DictReader(io.StringIO(contents["manifest.csv"].decode())))
    assert [int(row["id"]) for row in rows] == [image.id for image in images]
    for row, image in zip(rows, images, strict=True):
        assert ":" not in row["file"]
        assert hashlib.sha256(contents[row["file"]]).hexdigest() == row["sha256"]
        path = image.pbcor_path if prefix == "corrected" else image.fits_path
        assert contents[row["file"]] == path.read_bytes()
        assert row["verdict_reasons"] == "; ".join(image.verdict_reasons)
    assert contents["SHA256SUMS"].decode().count("\n") == 3


def test_download_of_all_follows_the_filter(survey: Survey) -> None:
    answer = survey.client.get(f"/images/download?which=all&night={NIGHTS[0]}&grade=suspect", buffered=True)
    with tarfile.open(fileobj=io.BytesIO(answer.data)) as archive:
        fits = [name for name in archive.getnames() if name.endswith(".fits")]
    assert len(fits) == len(shown_ids(survey.client.get(f"/images?night={NIGHTS[0]}&grade=suspect").text)) > 0
    assert all(f"/{NIGHTS[0]}T" in name for name in fits)


@pytest.mark.parametrize(("query", "status"), [("which=selected", 400), ("image=999999", 404), ("image=x", 400)])
def test_impossible_downloads_are_refused(survey: Survey, query: str, status: int) -> None:
    assert survey.client.get(f"/images/download?{query}").status_code == status


def test_selection_is_downloaded_in_browser(page: "sync_api.Page", survey: Survey) -> None:
    page.goto(f"{survey.url}/images?night={NIGHTS[1]}")
    button = page.locator("button[value=selected]")
    assert button.is_disabled()
    boxes = page.locator("input[name=image]")
    boxes.nth(0).check()
    boxes.nth(2).check()
    assert page.inner_text("#selected") == "2 selected"
    page.wait_for_timeout(2500)  # a refresh in place
    assert page.inner_text("#selected") == "2 selected"
    page.check("input[name=pbcor]")
    with page.expect_download() as download:
        button.click()
    with tarfile.open(download.value.path()) as archive:
        assert sum(name.endswith(".pbcor.fits") for name in archive.getnames()) == 2
    page.click("#select-shown")
    assert page.locator("input[name=image]:checked").count() == boxes.count()


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_wall_fits_screen(page: "sync_api.Page", survey: Survey, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{survey.url}/images?night={NIGHTS[1]}")
    assert_nothing_sticks_out(page)
    boxes = page.evaluate(
        "[...document.querySelectorAll('.under text')].map(text => text.getBoundingClientRect())"
        ".map(box => [box.left, box.right])"
    )
    assert len(boxes) == 5
    assert all(right <= left + 0.5 for (_, right), (left, _) in pairwise(boxes))


def test_wall_filters_without_javascript(chromium: "sync_api.Browser", survey: Survey) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{survey.url}/images")
    page.click(f"nav.nights a:has-text('{NIGHTS[0]}')")
    page.click("ul.tabs a.suspect")
    assert f"night={NIGHTS[0]}" in page.url
    assert "grade=suspect" in page.url
    assert page.locator(".wall li").count() > 0
    assert page.locator(".wall .badge.suspect:not(.missing)").count() == page.locator(".wall li").count()
    context.close()
