"""The page of an epoch in Chromium: its mosaic in the viewer, wide and narrow, by keyboard and without script."""

import importlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from celery_words import everybody
from epoch_steps import MOSAIC
from judges import require
from numpy.typing import NDArray
from observing_night import Night, paint
from page_scans import scan_columns, scan_page
from running_service import TOKEN, RunningService
from served_panel import serving
from store_steps import commit
from test_browser import FOCUS_STOPS, assert_nothing_sticks_out, chromium

from contimg.epoch.products import BeamDeviation, Mosaic, OmittedMember, OverlapRatio
from contimg.settings import Settings, load
from contimg.store import EpochMosaic, Lease, Stage, Store
from web import create_app

if TYPE_CHECKING:
    from playwright import sync_api

require("axe", allow_module_level=True)
axe_playwright = importlib.import_module("axe_playwright_python.sync_playwright")
__all__ = ["chromium"]
pytestmark = [pytest.mark.browser, pytest.mark.judge("chromium")]
LIVE = "#stage[data-live][aria-busy=false]"
COLUMNS, ROWS, CELL_DEG = 900, 160, 30 / 3600
CENTRE = (0.4, 33.2)
SOURCE_PIXEL = (700, 50)
REASON = "noise 0.9 mJy/beam is 4.50 times what the weights predict"


@dataclass
class Epochs:
    """A served panel with an epoch that has its mosaic and others that collect; the layers of the mosaic."""

    url: str
    done: str
    collecting: str
    layers: dict[str, NDArray[np.float32]]

    def address(self, epoch: str, fragment: str = "") -> str:
        return f"{self.url}/epochs/{epoch.replace('+', '%2B')}{fragment and '#'}{fragment}"


def make_header() -> fits.Header:
    header = fits.Header()
    for axis, kind, value, step, size in (
        (1, "RA---ZEA", CENTRE[0], -CELL_DEG, COLUMNS), (2, "DEC--ZEA", CENTRE[1], CELL_DEG, ROWS),
    ):  # fmt: skip
        header.update({f"CTYPE{axis}": kind, f"CRPIX{axis}": size / 2, f"CRVAL{axis}": value, f"CDELT{axis}": step})
    return header


def write_mosaic(directory: Path, key: str) -> tuple[Mosaic, dict[str, NDArray[np.float32]]]:
    """Write the files of a mosaic across right ascension 0h with a source."""
    directory.mkdir(exist_ok=True)
    rng = np.random.default_rng(3)
    image = 0.0002 * rng.standard_normal((ROWS, COLUMNS))
    image[SOURCE_PIXEL[1], SOURCE_PIXEL[0]] = 0.3
    image[:, :20] = np.nan
    weight = np.full((ROWS, COLUMNS), 2.5e7) * np.linspace(0.1, 1, COLUMNS)
    layers = {"image": image, "weight": weight, "rms": weight**-0.5}
    layers = {name: layer.astype(np.float32) for name, layer in layers.items()}
    ends = {"image": "fits", "weight": "weight.fits", "rms": "rms.fits"}
    paths = {name: directory / f"{key}.{end}" for name, end in ends.items()}
    for name, path in paths.items():
        fits.PrimaryHDU(layers[name][None, None], make_header()).writeto(path)
    for end in ("png", "qa.png", "thumb.png"):
        paint(directory / f"{key}.{end}", 128, 1)
    ra, dec = WCS(make_header()).wcs_pix2world([SOURCE_PIXEL], 0)[0]
    mosaic = replace(
        MOSAIC, fits_path=paths["image"], weight_fits_path=paths["weight"], rms_fits_path=paths["rms"],
        png_path=directory / f"{key}.png", qa_png_path=directory / f"{key}.qa.png",
        thumbnail_path=directory / f"{key}.thumb.png", width_pixels=COLUMNS, height_pixels=ROWS, verdict="suspect",
        verdict_reasons=(REASON,), shared_sources=31, beam_deviation=0.03,
        sources=({"name": "J0000+3312", "ra_deg": float(ra), "dec_deg": float(dec), "flux_jy": 0.3},),
        omitted=(OmittedMember(fits_path=Path("/products/images/b.fits"), reason="graded bad"),),
        overlaps=(OverlapRatio(first="a.fits", second="c.fits", sources=31, flux_ratio=1.004, flux_ratio_error=0.003,
                               position_scatter_arcsec=0.4),),
        beam_profile=(BeamDeviation(radius_deg=0.75, deviation=-0.004, error=0.003, fluxes=42),),
    )  # fmt: skip
    return mosaic, layers


@pytest.fixture(scope="module")
def epochs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Epochs]:
    settings = Settings(state_dir=tmp_path_factory.mktemp("epochs") / "state", token=TOKEN)
    config = load(settings)
    night = Night(Path(config.queue_db), config.input_dir, config.output_dir, time.time() - 3 * 86400)
    for _ in range(2):
        night.tile(calibrated="3C48")
        night.at += 309
    store = Store.of(config)
    done, collecting = (epoch for epoch in store.epochs.list_epochs(2).epochs)
    store.jobs.discard(done.job_id)
    store.jobs.retry(done.job_id)
    lease = store.leases.claim(done.job_id, Stage.MOSAIC, "worker")
    assert isinstance(lease, Lease)
    mosaic, layers = write_mosaic(night.output / "mosaics", done.id)
    store.leases.commit(lease, [EpochMosaic(mosaic, store.epochs.tiles(done.job_id))])
    commit(store, done.job_id, Stage.MEASURE)
    with serving(create_app(settings, store, RunningService(store), inspect=everybody)) as url:
        yield Epochs(url, done.id, collecting.id, layers)
    store.close()
    night.store.close()


@pytest.fixture(scope="module")
def page(chromium: "sync_api.Browser") -> Iterator["sync_api.Page"]:
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def open_page(page: "sync_api.Page", address: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector(LIVE)


def settle(page: "sync_api.Page") -> None:
    page.wait_for_timeout(120)
    page.wait_for_selector(LIVE)


def view_box(page: "sync_api.Page") -> list[float]:
    """Left and upper edge, width and height of the view, pixels of the mosaic from its upper left corner."""
    return [float(value) for value in str(page.get_attribute("#viewer", "viewBox")).split()]


def read_out(page: "sync_api.Page") -> dict[str, str]:
    return {name: page.inner_text(f"#pointer [data-value={name}]") for name in ("sky", "image", "rms", "weight")}


def number(text: str) -> float:
    return float(re.sub(r"[^-\d.e].*", "", text.replace("−", "-")))


def test_whole_mosaic_is_in_view_and_keys_move(epochs: Epochs, page: "sync_api.Page") -> None:
    open_page(page, epochs.address(epochs.done))
    x, y, width, height = view_box(page)
    assert (x, width) == (0.0, COLUMNS)
    assert height == pytest.approx(0.3 * COLUMNS), "the view of a long mosaic is not lower than 0.3 of its width"
    assert y == pytest.approx((ROWS - height) / 2), "the mosaic is in the middle"
    box: Any = page.locator("#pixels").bounding_box()
    assert box["height"] / box["width"] == pytest.approx(0.3, abs=0.01)
    page.focus("#viewer")
    for _ in range(6):
        page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    settle(page)
    _, _, width, height = view_box(page)
    assert (width, height) == pytest.approx((COLUMNS * 0.8**6, 0.3 * COLUMNS * 0.8**6))
    assert "ra=" in page.url
    page.keyboard.press("0")
    settle(page)
    assert view_box(page)[2] == COLUMNS
    assert page.locator("#viewer .members polyline").count() == 1
    assert page.locator("#viewer .sources circle").count() == 1
    assert "300 mJy" in str(page.locator("#viewer .sources title").text_content())


def test_values_agree_with_the_files(epochs: Epochs, page: "sync_api.Page") -> None:
    ra, dec = WCS(make_header()).wcs_pix2world([SOURCE_PIXEL], 0)[0]
    open_page(page, epochs.address(epochs.done, f"ra={ra}&dec={dec}&width=0.2"))
    page.focus("#viewer")
    page.keyboard.press("+")  # which reads the values at the centre
    page.locator("[data-value=image]", has_text="mJy").wait_for()
    settle(page)
    values = read_out(page)
    shown = SkyCoord(re.sub("[′″]", lambda mark: "m" if mark[0] == "′" else "s", values["sky"]).replace("°", "d"))
    assert shown.separation(SkyCoord(ra, dec, unit="deg")).arcsec < 1.0
    layers = {name: float(layer[SOURCE_PIXEL[1], SOURCE_PIXEL[0]]) for name, layer in epochs.layers.items()}
    assert number(values["image"]) == pytest.approx(1e3 * layers["image"], rel=1e-3)
    assert number(values["rms"]) == pytest.approx(1e3 * layers["rms"], rel=1e-3)
    assert number(values["weight"]) == pytest.approx(1e-6 * layers["weight"], rel=1e-3)


def test_layers_have_their_own_scale(epochs: Epochs, page: "sync_api.Page") -> None:
    open_page(page, epochs.address(epochs.done, "hide=grid,sources,beam,members"))
    assert page.locator("#layer option").all_text_contents() == ["mosaic", "noise", "weight"]
    for layer, unit in (("weight", "1/mJy²"), ("rms", "mJy/beam")):
        page.select_option("#layer", layer)
        settle(page)
        assert unit in page.inner_text("#colour-bar .unit")
        assert page.is_disabled("#stretch")
        brightness = page.evaluate("""() => {
          const canvas = document.getElementById("pixels");
          const row = canvas.getContext("2d").getImageData(0, canvas.height / 2, canvas.width, 1).data;
          return [0.1, 0.9].map((part) => row[4 * Math.round(part * canvas.width)]);
        }""")
        assert (brightness[1] > brightness[0]) == (layer == "weight")
    page.select_option("#layer", "image")
    settle(page)
    assert page.is_enabled("#stretch")


def test_page_states_members_grade_and_downloads(epochs: Epochs, page: "sync_api.Page") -> None:
    open_page(page, epochs.address(epochs.done))
    text = page.inner_text("main")
    assert all(
        part in text for part in ("a.fits", "left out: graded bad", REASON, "1.004 ± 0.003", "0.75°", "committed")
    )
    links = page.locator(".downloads a")
    for address in links.evaluate_all("links => links.map((link) => link.href)"):
        assert page.request.get(address).status == 200
    assert links.count() == 5
    page.get_by_role("link", name="01h37m36.0s").click()  # the centre of the member, which is outside this mosaic
    settle(page)
    page.goto(epochs.address(epochs.collecting))
    assert "No mosaic yet" in page.inner_text("main")


def test_links_lead_from_an_image_to_its_epoch_and_to_the_neighbours(epochs: Epochs, page: "sync_api.Page") -> None:
    """From the image of a tile to the epoch of its mosaic, to the neighbouring window and back, by clicks."""

    def follow(selector: str) -> str:
        page.locator(selector).first.click()
        page.wait_for_load_state()
        return unquote(page.url.partition("#")[0])

    page.goto("about:blank")
    page.goto(f"{epochs.url}/images")
    assert follow("main a[href*='/images/']").startswith(f"{epochs.url}/images/")
    to_epoch = f"main a[href*='/epochs/{epochs.done.partition('+')[0]}']"
    assert follow(to_epoch) == f"{epochs.url}/epochs/{epochs.done}"
    relations = {page.locator(f"a[rel={name}]").count(): name for name in ("prev", "next")}
    assert set(relations) == {0, 1}, "the other epoch is on one side"
    assert follow(f"a[rel={relations[1]}]") == f"{epochs.url}/epochs/{epochs.collecting}"
    assert follow(f"a[rel={relations[0]}]") == f"{epochs.url}/epochs/{epochs.done}"
    page.wait_for_selector(LIVE)


@pytest.mark.parametrize("width", [1440, 390])
def test_epoch_pages_fit_and_are_accessible(epochs: Epochs, page: "sync_api.Page", width: int) -> None:
    open_page(page, epochs.address(epochs.done))
    page.set_viewport_size({"width": width, "height": 900})
    faults: dict[str, str] = {}
    for name, address in (
        ("calendar", f"{epochs.url}/epochs"), ("done", epochs.address(epochs.done)),
        ("collecting", epochs.address(epochs.collecting)),
    ):  # fmt: skip
        page.goto(address)
        if name == "done":
            page.wait_for_selector(LIVE)
        assert_nothing_sticks_out(page)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            results = axe_playwright.Axe().run(page)
            faults |= {f"{name} {scheme} {row['id']}": row["help"] for row in results.response["violations"]}
        faults |= dict.fromkeys((f"{name} {fault}" for fault in scan_columns(page)), "columns")
        faults |= dict.fromkeys((f"{name} {fault}" for fault in (scan_page(page) if width == 1440 else [])), "units")
        stops, hidden = page.evaluate(FOCUS_STOPS)
        assert (stops > 3, hidden) == (True, [])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    assert faults == {}


def test_preview_without_script(epochs: Epochs, chromium: "sync_api.Browser") -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(epochs.address(epochs.done))
    assert page.locator("#preview").is_visible()
    assert not page.locator("#zoom-in").is_visible()
    assert "weights" in page.inner_text(".downloads").lower()
    context.close()
