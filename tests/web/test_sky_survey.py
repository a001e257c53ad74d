"""The mosaics on the Sky page: files of the HiPS, marks, and Aladin Lite in Chromium without another host."""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from epoch_steps import MOSAIC
from judges import CHROMIUM, require
from page_scans import scan_page
from survey import FIRST_RA_DEG, TILES, Survey
from test_accessibility import axe_violations
from test_browser import assert_nothing_sticks_out
from waiting import until

sys.path.append(str(Path(__file__).parents[1] / "epoch" / "hips"))

from sky_mosaics import write_mosaic

from contimg.epoch.hips import DIRECTORY, add_mosaic
from contimg.store import EpochMosaic, Lease, Stage, State
from web.context import EXTENSION
from web.pages import aladin

require("playwright", allow_module_level=True)
require("axe", allow_module_level=True)
sync_api = importlib.import_module("playwright.sync_api")
WEBGL = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-gl=angle", "--use-angle=swiftshader"]
POSITION = FIRST_RA_DEG + 4.0, 33.16


@pytest.fixture(scope="module")
def sky(survey: Survey) -> Survey:
    """The survey with a HiPS of one mosaic, its epoch in the store, a failed tile and a source."""
    store = survey.store
    output = survey.client.application.extensions[EXTENSION].config().output_dir
    job = next(epoch for epoch in store.epochs.list_epochs(100).epochs if epoch.tile_count >= 4)
    if job.state != State.PENDING:
        store.jobs.discard(job.job_id)
        store.jobs.retry(job.job_id)
    lease = store.leases.claim(job.job_id, Stage.MOSAIC, "worker")
    assert isinstance(lease, Lease)
    (output / "mosaics").mkdir(exist_ok=True)
    path = write_mosaic(output / "mosaics" / f"{job.id}.fits", *POSITION, cell_arcsec=60.0)
    tiles = store.epochs.tiles(job.job_id)
    mosaic = replace(
        MOSAIC, fits_path=path, ra_deg=POSITION[0], dec_deg=POSITION[1], width_pixels=260, height_pixels=160,
        cell_arcsec=60.0, mjd_start=61093.95, mjd_end=61093.99,
    )  # fmt: skip
    store.leases.commit(lease, [EpochMosaic(mosaic, tiles)])
    failed = store.files.groups(limit=1)[0]
    store.jobs.retry(failed.job_id, stage=Stage.IMAGE)
    lease = store.leases.claim(failed.job_id, Stage.IMAGE, "worker")
    assert isinstance(lease, Lease)
    store.leases.fail(lease, "no visibilities", permanent=True)
    store.sky.add_source(POSITION[0], POSITION[1], name="J-test", flux_jy=0.1)
    add_mosaic(output / DIRECTORY, path)
    return survey


def test_hips_files_are_sent(sky: Survey) -> None:
    client = sky.client
    properties = client.get("/sky/hips/properties")
    assert (properties.status_code, properties.mimetype) == (200, "text/plain")
    assert "hips_order           = 3" in properties.text
    for name, start in (
        ("Moc.fits", b"SIMPLE"),
        ("Norder3/Allsky.png", b"\x89PNG"),
        ("Norder3/Allsky.fits", b"SIMPLE"),
    ):
        assert client.get(f"/sky/hips/{name}").data.startswith(start)
    members = ("members/a.json", "../state/queue.sqlite3", "Norder3/Dir0/../../properties", "Norder3", "%2e%2e/x")
    for name in (*members, "Norder3/Dir0/Npix999.png"):
        assert client.get(f"/sky/hips/{name}").status_code == 404


def test_marks_lead_to_pages(sky: Survey) -> None:
    marks = sky.client.get("/sky/overlays.json?days=7").get_json()
    assert (len(marks["tiles"]), len(marks["epochs"])) == (TILES, 1)
    (epoch,) = marks["epochs"]
    assert len(epoch["outline"]) == 32
    assert max(abs(dec - POSITION[1]) for _, dec in epoch["outline"]) == pytest.approx(80 / 60, rel=0.05)
    assert [mark["label"].split(": ")[1] for mark in marks["failed"]] == ["no visibilities"]
    assert any(mark["label"].startswith("calibrator 3C48") for mark in marks["calibrators"])
    urls = {mark["url"] for name in ("tiles", "epochs", "failed", "calibrators") for mark in marks[name]}
    for url in [*sorted(urls)[:3], epoch["url"]]:
        assert sky.client.get(url).status_code == 200
    assert sky.client.get("/sky/overlays.json?night=2026-02-23").get_json()["epochs"] == []
    ra_deg, dec_deg = POSITION
    sources = sky.client.get(f"/sky/sources.json?ra={ra_deg}&dec={dec_deg}&radius=1").get_json()["sources"]
    assert [source["label"] for source in sources] == ["J-test"]
    assert sky.client.get("/sky/sources.json?ra=1&dec=95&radius=1").status_code == 400


def test_policy_is_wider_on_this_page_alone(sky: Survey) -> None:
    require("aladin")
    policies = {path: sky.client.get(path).headers["Content-Security-Policy"] for path in ("/sky", "/images")}
    assert "wasm-unsafe-eval" in policies["/sky"]
    assert not any(word in policies["/images"] for word in ("wasm", "blob:", "hashes"))
    assert "unsafe-inline" not in policies["/sky"]
    assert "http" not in policies["/sky"]


def test_page_without_the_viewer(sky: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aladin, "install_directory", lambda: Path("/nonexistent"))
    html = sky.client.get("/sky").text
    assert aladin.COMMAND in html
    assert 'id="survey"' not in html
    assert html.count("<ellipse") >= TILES
    policy = sky.client.get("/sky").headers["Content-Security-Policy"]
    assert "wasm" not in policy


@pytest.fixture(scope="module")
def browsers() -> Iterator[dict[str, "sync_api.Browser"]]:
    require("chromium")
    require("aladin")
    with sync_api.sync_playwright() as playwright:
        flags = {"webgl": WEBGL, "none": ["--no-sandbox", "--disable-gpu", "--disable-3d-apis"]}
        opened = {name: playwright.chromium.launch(executable_path=CHROMIUM, args=args) for name, args in flags.items()}
        yield opened
        for browser in opened.values():
            browser.close()


@pytest.mark.browser
def test_strip_stays_without_webgl(sky: Survey, browsers: dict[str, "sync_api.Browser"]) -> None:
    page = browsers["none"].new_page()
    page.goto(f"{sky.url}/sky?days=7")
    page.wait_for_selector("#survey[data-state=no-webgl]", state="attached")
    assert not page.is_visible("#survey")
    assert page.locator("svg.sky ellipse").first.is_visible()
    page.close()


@pytest.mark.browser
def test_aladin_shows_the_mosaics(sky: Survey, browsers: dict[str, "sync_api.Browser"]) -> None:
    """One visit: the tiles are drawn, no other host is asked, marks lead to pages, the layers can be hidden."""
    page = browsers["webgl"].new_page(viewport={"width": 1440, "height": 1000})
    hosts, paths, complaints = set(), set(), []
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("request", lambda request: paths.add(urlsplit(request.url).path))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{sky.url}/sky?days=7")
    page.wait_for_selector("#survey[data-state=ready][data-sources-shown='1']", timeout=60_000)
    until(lambda: page.evaluate(PIXELS), 30, "a tile is read")
    assert page.is_visible("#survey-viewer canvas")
    assert hosts <= {urlsplit(sky.url).netloc, ""}
    assert any(path.startswith("/sky/hips/Norder3/Dir0/Npix") for path in paths)
    assert not [text for text in complaints if "404" not in text]
    assert scan_page(page) == []
    assert axe_violations(page, "/sky", {}) == {}
    page.locator("#survey").scroll_into_view_if_needed()
    page.set_viewport_size({"width": 390, "height": 800})
    narrow = "() => document.querySelector('.aladin-imageCanvas').getBoundingClientRect().right <= innerWidth"
    until(lambda: page.evaluate(narrow), 10, "the viewer is as wide as the page")
    assert_nothing_sticks_out(page)
    page.set_viewport_size({"width": 1440, "height": 1000})
    for name in ("epochs", "sources", "calibrators", "failed"):
        page.uncheck(f".overlays input[name={name}]")
    x, y = page.evaluate(TILE_EDGE)
    box = page.locator("#survey-viewer").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.wait_for_url("**/images/*", timeout=30_000)
    page.close()


PIXELS = """() => performance.getEntriesByType("resource").some((entry) => /Norder3.Dir0.Npix/.test(entry.name))"""
# Where the edge of the tile nearest to the centre is in the viewer, pixels: the northern or southern point in view.
TILE_EDGE = """async () => {
  const section = document.querySelector("#survey"), aladin = section.aladin;
  const { tiles } = await (await fetch(section.dataset.overlays)).json();
  const [ra, dec] = aladin.getRaDec();
  const tile = tiles.sort((a, b) => Math.abs(a.ra - ra) - Math.abs(b.ra - ra))[0];
  return Array.from(aladin.world2pix(tile.ra, tile.dec + tile.radius));
}"""
