"""The image viewer in Chromium over two tiles that overlap: pixels, coordinates, values, address, comparison, touch."""

import importlib
import io
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from celery_words import everybody
from judges import CHROMIUM, require
from numpy.typing import NDArray
from PIL import Image
from running_service import TOKEN, RunningService
from served_panel import serving
from two_tiles import CELL_DEG, CENTRES, PEAK_JY, SIDE, SOURCE, TwoTiles, make_header
from waiting import until

from contimg.settings import Settings, load
from contimg.store import Store, StoredImage
from web import create_app

require("playwright", allow_module_level=True)
sync_api = importlib.import_module("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.judge("chromium")]

LIVE = "#stage[data-live][aria-busy=false]"
BARE = "hide=grid,sources,calibrators,beam"


@dataclass
class Viewing:
    """A served panel with the two tiles, and a browser."""

    url: str
    tiles: TwoTiles
    images: list[StoredImage]
    browser: Any

    def address(self, index: int, fragment: str = "") -> str:
        return f"{self.url}/images/{self.images[index].id}{fragment and '#'}{fragment}"


@pytest.fixture(scope="module")
def viewing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewing]:
    settings = Settings(state_dir=tmp_path_factory.mktemp("tiles") / "state", token=TOKEN)
    config = load(settings)
    tiles = TwoTiles(config.queue_db, config.input_dir, config.output_dir, time.time() - 3600)
    groups = []
    for seed in range(2):
        groups.append(tiles.tile(calibrated="set", seed=seed))
        tiles.at += 309
    images = [image for group in groups if (image := tiles.store.products.image_of(group))]
    store = Store.of(config)
    app = create_app(settings, store, RunningService(store), inspect=everybody)
    with serving(app) as url, sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield Viewing(url, tiles, images, browser)
        browser.close()
    store.close()
    tiles.store.close()


@pytest.fixture
def page(viewing: Viewing, request: pytest.FixtureRequest) -> Iterator[Any]:
    options = {"viewport": {"width": 1440, "height": 1300}, **getattr(request, "param", {})}
    context = viewing.browser.new_context(**options)
    page, complaints = context.new_page(), []
    page.set_default_timeout(20_000)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def open_page(page: Any, address: str) -> None:
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector(LIVE)


def settle(page: Any) -> None:
    page.wait_for_timeout(100)
    page.wait_for_selector(LIVE)


def set_width(page: Any, pixels: int) -> None:
    page.evaluate(f"document.getElementById('stage').style.cssText = 'max-width: none; width: {pixels}px'")
    until(lambda: page.evaluate("document.getElementById('pixels').width") == pixels, 10, "canvas of that width")
    settle(page)


def grey_of(page: Any) -> NDArray[np.float64]:
    """Grey levels of the canvas as the screen shows it."""
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("#pixels").bounding_box()
    picture = Image.open(io.BytesIO(page.screenshot(clip=box, full_page=True)))
    return np.asarray(picture.convert("L"), dtype=np.float64)


def area_average(image: NDArray[np.float32], pixels: int) -> NDArray[np.float64]:
    """The mean over the area of each screen pixel, the upper row first, from sums up to each edge."""
    edges = np.linspace(0, image.shape[0], pixels + 1)
    sums = np.pad(image.astype(np.float64)[::-1].cumsum(axis=0), ((1, 0), (0, 0)))
    whole, part = np.floor(edges).astype(int), edges % 1
    nearby = np.minimum(whole + 1, image.shape[0])
    sums = sums[whole] * (1 - part[:, None]) + sums[nearby] * part[:, None]
    sums = np.pad(np.diff(sums, axis=0).cumsum(axis=1), ((0, 0), (1, 0)))
    sums = sums[:, whole] * (1 - part) + sums[:, nearby] * part
    return np.diff(sums, axis=1) / (image.shape[0] / pixels) ** 2


def correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    inner = np.s_[12:-12, 12:-12]  # the corners are round
    return float(np.corrcoef(first[inner].ravel(), second[inner].ravel())[0, 1])


@pytest.mark.parametrize("page", [{"viewport": {"width": 1900, "height": 1600}}], indirect=True)
def test_zoomed_out_is_area_average(viewing: Viewing, page: Any) -> None:
    """At 390, 740 and 1400 pixels, on the screen, over the whole range of grey and after clipping at its limits."""
    image = viewing.tiles.layers[0][".fits"]
    open_page(page, viewing.address(0, f"{BARE}&colours=grey&stretch=linear&low=-3&high=3&limits=numbers"))
    for pixels in (390, 740, 1400):
        set_width(page, pixels)
        expected = np.clip((area_average(image, pixels) * 1e3 + 3) / 6, 0, 1) * 255
        shown = grey_of(page)
        assert shown.shape == (pixels, pixels)
        assert correlation(shown, expected) > 0.99
        assert np.abs(shown - expected)[12:-12, 12:-12].max() <= 2.0, "of 255 levels"


def test_zoomed_in_shows_pixels(viewing: Viewing, page: Any) -> None:
    """Each pixel of the image is a square of one grey."""
    image = viewing.tiles.layers[0][".fits"]
    x, y = WCS(make_header(*CENTRES[0])).wcs_world2pix([SOURCE], 0)[0]
    width = 20 * CELL_DEG
    where = f"ra={SOURCE[0]}&dec={SOURCE[1]}&width={width}&low=0&high=200&limits=numbers&stretch=linear&colours=grey"
    open_page(page, viewing.address(0, f"{where}&{BARE}"))
    set_width(page, 600)
    shown = grey_of(page)
    for dy in range(-6, 7):
        for dx in range(-6, 7):
            column, row = round(x) + dx, round(y) + dy
            screen_x, screen_y = 300 + (column - x) * 30, 300 - (row - y) * 30
            square = shown[int(screen_y) - 10 : int(screen_y) + 10, int(screen_x) - 10 : int(screen_x) + 10]
            assert np.ptp(square) == 0
            assert square[0, 0] == pytest.approx(np.clip(image[row, column] / 0.2, 0, 1) * 255, abs=2)


def test_coordinates_agree_with_astropy(viewing: Viewing, page: Any) -> None:
    """At many positions, also at right ascension 0h, at the pole, in the slanted projection, and 12 deg away in ZEA."""
    open_page(page, viewing.address(0))
    rng = np.random.default_rng(3)
    for ra, dec, slant in (
        (24.4, 33.2, None), (0.0, 30.0, None), (359.9, -40.0, (0.02, -0.15)), (80.0, 90.0, None),
        (10.0, 89.9, (0.01, 0.3)), (200.0, -89.5, None), (123.0, 16.0, (-0.1, 0.4)),
        (0.0, 16.3, "ZEA"), (80.0, 68.0, "ZEA"), (10.0, 89.9, "ZEA"),
    ):  # fmt: skip
        header = make_header(ra, dec)
        if slant == "ZEA":
            header.update({"CTYPE1": "RA---ZEA", "CTYPE2": "DEC--ZEA", "CDELT1": -0.01, "CDELT2": 0.01})
        elif slant:
            header.update({"PV2_1": slant[0], "PV2_2": slant[1]})
        wcs, pixels = WCS(header), rng.uniform(-0.5, SIDE - 0.5, (200, 2))
        sky = SkyCoord(wcs.wcs_pix2world(pixels, 0), unit="deg")
        screen = np.column_stack([pixels[:, 0] + 0.5, SIDE - pixels[:, 1] - 0.5])
        answer = page.evaluate(
            """async ([header, rows, screen]) => {
              const { Wcs } = await import("/static/viewer/wcs.js");
              const wcs = new Wcs(header, rows);
              return screen.map(([x, y]) => [...wcs.skyAt(x, y), ...wcs.pixelAt(...wcs.skyAt(x, y))]);
            }""",
            [{key: header[key] for key in header if key != "COMMENT"}, SIDE, screen.tolist()],
        )
        answer = np.array(answer)
        assert SkyCoord(answer[:, :2], unit="deg").separation(sky).arcsec.max() < 1e-5
        assert np.abs(answer[:, 2:] - screen).max() < 1e-6


def read_out(page: Any) -> dict[str, str]:
    return {part: page.inner_text(f"#pointer [data-value={part}]") for part in ("sky", "image", "pbcor", "beam")}


def view_box(page: Any) -> tuple[float, float, float]:
    """Left and upper edge and side of the view, pixels of the image from its upper left corner."""
    x, y, side, _ = (float(value) for value in page.get_attribute("#viewer", "viewBox").split())
    return x, y, side


def number(text: str) -> float:
    return float(re.sub(r"[^-\d.e].*", "", text.replace("−", "-")))


def assert_values_at(page: Any, viewing: Viewing, index: int, right: float, down: float) -> None:
    """The read-out of a position on the screen, against the FITS files read by astropy."""
    sync_api.expect(page.locator("[data-value=image]")).to_contain_text("mJy")
    page.wait_for_timeout(150)
    shown = read_out(page)
    text = re.sub(r"[′″]", lambda mark: {"′": "m", "″": "s"}[mark[0]], shown["sky"]).replace("°", "d")
    position = SkyCoord(text.replace("−", "-"))
    view = view_box(page)
    x, y = view[0] + right * view[2] - 0.5, SIDE - (view[1] + down * view[2]) - 0.5
    expected = SkyCoord(*WCS(make_header(*CENTRES[index])).wcs_pix2world(x, y, 0), unit="deg")
    assert position.separation(expected).arcsec < 0.2
    row, column = round(y), round(x)
    path = str(viewing.images[index].fits_path).removesuffix(".fits")
    values = {suffix: fits.getdata(path + suffix)[0, 0, row, column] for suffix in (".fits", ".pb.fits", ".pbcor.fits")}
    assert number(shown["image"]) == pytest.approx(1e3 * values[".fits"], rel=1e-3)
    assert number(shown["beam"]) == pytest.approx(values[".pb.fits"], abs=6e-4)
    assert ("half power" in shown["beam"]) == (values[".pb.fits"] < 0.5)
    if np.isnan(values[".pbcor.fits"]):
        assert shown["pbcor"] == "–"
    else:
        assert number(shown["pbcor"]) == pytest.approx(1e3 * values[".pbcor.fits"], rel=1e-3)


def test_values_under_pointer(viewing: Viewing, page: Any) -> None:
    open_page(page, viewing.address(0, "ra=0.1&dec=38.5&width=1.2"))
    box = page.locator("#viewer").bounding_box()
    for right, down in ((0.5, 0.5), (0.31, 0.77), (0.02, 0.97), (0.9, 0.11)):
        page.mouse.move(round(box["x"] + right * box["width"]), round(box["y"] + down * box["height"]))
        exact = (round(box["x"] + right * box["width"]) - box["x"]) / box["width"]
        assert_values_at(page, viewing, 0, exact, (round(box["y"] + down * box["height"]) - box["y"]) / box["width"])
    assert page.locator("#viewer").bounding_box() == box, "no value moves the image"
    page.mouse.move(5, 5)
    assert read_out(page)["sky"] == ""


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_tap_and_pinch_on_phone(viewing: Viewing, page: Any) -> None:
    """A tap shows the values and they stay; two fingers zoom about themselves, one finger moves."""
    open_page(page, viewing.address(0))
    page.locator("#viewer").scroll_into_view_if_needed()
    box = page.locator("#viewer").bounding_box()
    x, y = round(box["x"] + 0.4 * box["width"]), round(box["y"] + 0.6 * box["height"])
    page.touchscreen.tap(x, y)
    assert_values_at(page, viewing, 0, (x - box["x"]) / box["width"], (y - box["y"]) / box["width"])
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *points: tuple[float, float]) -> None:
        touch.send("Input.dispatchTouchEvent", {
            "type": kind, "touchPoints": [{"x": px, "y": py, "id": n} for n, (px, py) in enumerate(points)],
        })  # fmt: skip

    fingers("touchStart", (x - 20, y))
    fingers("touchStart", (x - 20, y), (x + 20, y))
    for apart in (30, 50, 80):
        fingers("touchMove", (x - apart, y), (x + apart, y))
    fingers("touchEnd")
    settle(page)
    _, _, side = view_box(page)
    assert side == pytest.approx(SIDE / 4, rel=0.05)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_view_in_address_survives_reload(viewing: Viewing, page: Any) -> None:
    open_page(page, viewing.address(0))
    assert "#" not in page.url
    page.focus("#viewer")
    for key in ("+", "+", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    page.select_option("#stretch", "log")
    page.select_option("#colours", "viridis")
    page.select_option("#layer", "pbcor")
    page.select_option("#limits", "99.5")
    page.uncheck("[data-part=sources]")
    settle(page)
    page.mouse.move(2, 2)

    def look() -> tuple[Any, ...]:
        controls = [page.input_value(f"#{name}") for name in ("layer", "stretch", "limits", "low", "high", "colours")]
        return view_box(page), controls, page.is_checked("[data-part=sources]"), grey_of(page)

    before, address = look(), page.url
    assert before[1][:3] == ["pbcor", "log", "99.5"]
    low, high = 1e3 * np.nanpercentile(area_view(viewing, page), [0.25, 99.75])
    assert [float(before[1][3]), float(before[1][4])] == pytest.approx([low, high], rel=0.05)
    open_page(page, address)
    after = look()
    assert after[0] == pytest.approx(before[0], abs=1e-3)
    assert after[1:3] == before[1:3]
    assert np.abs(after[3] - before[3]).mean() < 1.0


def area_view(viewing: Viewing, page: Any) -> NDArray[np.float32]:
    """The pixels of pbcor in the view."""
    x, y, side = view_box(page)
    layer = viewing.tiles.layers[0][".pbcor.fits"][::-1]
    return layer[round(y) : round(y + side), round(x) : round(x + side)]


def test_neighbour_is_shown_at_same_position(viewing: Viewing, page: Any) -> None:
    """Zoomed in and out, the source of both tiles keeps its place, although its pixel is another one."""
    for width in (0.06, 0.9):
        where = f"ra={SOURCE[0]}&dec={SOURCE[1]}&width={width}&layer=pbcor"
        scale = "low=-3&high=400&limits=numbers&stretch=linear&colours=grey"
        open_page(page, viewing.address(0, f"{where}&{scale}&{BARE}"))
        first, box = grey_of(page), page.locator("#pixels").bounding_box()
        page.focus("#viewer")
        page.keyboard.press("]")
        sync_api.expect(page.locator("#shown")).not_to_have_text("")
        settle(page)
        assert viewing.images[1].group in page.inner_text("#shown")
        second = np.array(grey_of(page))
        second[:60] = first[:60]  # behind the label
        assert correlation(first, second) > (0.9 if width < 0.1 else 0.6), "the noise is another one"
        middle = np.s_[len(first) // 2 - 30 : len(first) // 2 + 30, len(first) // 2 - 30 : len(first) // 2 + 30]
        peaks = [np.argwhere(grey[middle] == grey[middle].max()).mean(axis=0) for grey in (first, second)]
        cell = box["width"] / (width / CELL_DEG)
        assert np.hypot(*(peaks[0] - peaks[1])) < max(2.0, 1.2 * cell)
        page.keyboard.press("]")
        settle(page)
        assert page.inner_text("#shown") == ""
        assert np.abs(grey_of(page) - first)[12:-12, 12:-12].max() < 1


def test_blink_alternates_and_links_keep_view(viewing: Viewing, page: Any) -> None:
    open_page(page, viewing.address(1, f"ra={SOURCE[0]}&dec={SOURCE[1]}&width=0.5"))
    assert page.is_disabled("#later")
    page.click("#blink")
    for _ in range(2):
        sync_api.expect(page.locator("#shown")).not_to_have_text("")
        sync_api.expect(page.locator("#shown")).to_have_text("")
    page.click("#blink")
    settle(page)
    assert page.inner_text("#shown") == ""
    assert page.get_attribute("#blink", "aria-pressed") == "false"
    page.click("a[rel=prev]")
    page.wait_for_selector(LIVE)
    ra, dec = (float(re.search(rf"{name}=([\d.]+)", page.url)[1]) for name in ("ra", "dec"))  # type: ignore[index]
    assert (ra, dec) == pytest.approx(SOURCE, abs=1e-4)


def test_neighbour_that_does_not_cover_the_view(viewing: Viewing, page: Any) -> None:
    open_page(page, viewing.address(0, "ra=357.95&dec=38.5&width=0.3"))
    page.click("#later")
    sync_api.expect(page.locator("#viewer-message")).not_to_have_text("")
    settle(page)
    assert viewing.images[1].group in page.inner_text("#viewer-message")
    assert page.inner_text("#shown") == ""


def test_sources_calibrators_and_colour_bar(viewing: Viewing, page: Any) -> None:
    open_page(page, viewing.address(0))
    assert page.locator("#viewer .sources circle").count() == 1
    title = page.locator("#viewer .sources title").text_content()
    assert "200 mJy" in title
    assert f"{1e3 * PEAK_JY:.0f} mJy" in title
    assert set(page.locator("#viewer .calibrators text").all_text_contents()) == {"2359+388"}
    assert page.inner_text("#colour-bar .unit") == "mJy/beam"
    ticks = page.locator("#colour-bar .ticks span").all_text_contents()
    assert {"0", "100"} <= set(ticks)
    page.select_option("#layer", "beam")
    settle(page)
    assert "response" in page.inner_text("#colour-bar .unit")
    assert page.is_disabled("#stretch")
    page.get_by_role("link", name="00h01m00.0s").click()
    settle(page)
    x, y, side = view_box(page)
    centre = WCS(make_header(*CENTRES[0])).wcs_pix2world(x + side / 2 - 0.5, SIDE - y - side / 2 - 0.5, 0)
    assert [float(value) for value in centre] == pytest.approx(SOURCE, abs=1e-5)
    assert side == pytest.approx(0.2 / CELL_DEG)


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_preview_without_javascript(viewing: Viewing, page: Any) -> None:
    page.goto(viewing.address(0))
    assert page.locator("#preview").is_visible()
    assert not page.locator("#zoom-in").is_visible()
    assert not page.locator("#layer").is_visible()
