"""Pages of sources in Chromium: planes with linked selection, light curve, stamps, candidates; without JavaScript."""

import importlib
import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from judges import require
from measured_sky import DIM, EPOCHS, FLARE, IMAGED, SOURCES, STEADY, SkyPanel
from page_scans import scan_columns, scan_page
from running_service import TOKEN
from test_browser import FOCUS_STOPS, assert_nothing_sticks_out, chromium

from contimg.common.units import format_position
from contimg.store.sky.records import EtaVPlane
from web.sources.pages import encode_plane

if TYPE_CHECKING:
    from playwright import sync_api

require("axe", allow_module_level=True)
axe_playwright = importlib.import_module("axe_playwright_python.sync_playwright")
__all__ = ["chromium"]
pytestmark = [pytest.mark.browser, pytest.mark.judge("chromium")]


def is_fault(message: "sync_api.ConsoleMessage") -> bool:
    """Whether a message is an error of the page; axe's own copies of style elements have no address."""
    return message.type == "error" and bool(message.location["url"])


@pytest.fixture(scope="module")
def page(chromium: "sync_api.Browser") -> Iterator["sync_api.Page"]:
    """A page whose errors on the console fail the module."""
    page, complaints = chromium.new_page(), list[str]()
    page.on("console", lambda message: complaints.append(message.text) if is_fault(message) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert complaints == []


def wait_for_selected(page: "sync_api.Page", count: int) -> None:
    page.wait_for_selector(f"#planes[data-selected='{count}']")
    page.locator("#matches h2", has_text=re.compile(rf"^\s*{count} source")).wait_for()


def test_cuts_select_in_both_planes_and_in_the_table(page: "sync_api.Page", sky_panel: SkyPanel) -> None:
    page.set_viewport_size({"width": 1440, "height": 1100})
    page.goto(f"{sky_panel.url}/sources")
    page.wait_for_selector(f"#planes[data-selected='{SOURCES}']")
    page.fill("#eta_min", "10")
    wait_for_selected(page, 1)
    assert page.locator("#matches tbody tr").count() == 1
    assert "eta_min=10" in page.url
    for axis in ("v", "flux"):
        assert page.get_attribute(f".plot[data-axis={axis}]", "data-chosen") == "1"
    page.reload()
    wait_for_selected(page, 1)
    page.fill("#eta_min", "")
    wait_for_selected(page, SOURCES)
    page.focus("input[data-cut=eta_min]")
    page.keyboard.press("End")
    wait_for_selected(page, 0)


def test_box_in_one_plane_selects_in_the_other(page: "sync_api.Page", sky_panel: SkyPanel) -> None:
    """A box around the right of the plane holds the flare alone, which is marked in both planes."""
    page.goto(f"{sky_panel.url}/sources")
    page.wait_for_selector(f"#planes[data-selected='{SOURCES}']")
    page.locator(".plot[data-axis=flux]").scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # until Bokeh has laid out the plots
    box = page.locator(".plot[data-axis=flux]").bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.05 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.98 * box["width"], box["y"] + 0.85 * box["height"], steps=6)
    page.mouse.up()
    wait_for_selected(page, 1)
    assert page.get_attribute(".plot[data-axis=v]", "data-chosen") == "1"
    assert page.inner_text("#matches tbody a") == sky_panel.find(FLARE).name
    assert float(page.input_value("#flux_max")) > 40 > float(page.input_value("#flux_min"))
    page.keyboard.press("Escape")
    page.focus(".plot[data-axis=v]")
    for key in ("+", "ArrowLeft", "0"):
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert page.get_attribute(".plot[data-axis=v]", "data-chosen") == "1"


def test_search_by_name_position_and_cone(sky_panel: SkyPanel) -> None:
    flare = sky_panel.find(FLARE)
    for text in (
        flare.name, f"{flare.ra_deg:.5f} {flare.dec_deg:+.5f}", format_position(flare.ra_deg, flare.dec_deg),
        f"DSA {flare.name}", "23:59:57.6 +33:12:36",
    ):  # fmt: skip
        html = sky_panel.client.get("/sources", query_string={"q": text, "radius": 0.5}).text
        assert re.findall(r'href="/sources/(\d+)"', html) == [str(flare.id)], text
    wide = sky_panel.client.get("/sources", query_string={"q": "0 33.2", "radius": 600, "flux_max": 2}).text
    assert re.findall(r'href="/sources/(\d+)"', wide) == [str(sky_panel.find(DIM).id)]
    assert "No source matches" in sky_panel.client.get("/sources?q=nothing").text
    assert sky_panel.client.get("/sources?radius=0").status_code == 400
    first = sky_panel.client.get("/sources?limit=40").text
    address = re.search(r'rel="next" href="([^"]+)"', first)
    assert address
    second = sky_panel.client.get(address[1].replace("&amp;", "&")).text
    assert len(set(re.findall(r'href="/sources/(\d+)"', first + second))) == SOURCES


def test_light_curve_shows_every_kind_of_measurement(page: "sync_api.Page", sky_panel: SkyPanel) -> None:
    flare = sky_panel.find(FLARE)
    page.goto(f"{sky_panel.url}/sources/{flare.id}")
    page.wait_for_selector(f"#curve[data-drawn='{EPOCHS}']")
    kinds = {name: page.get_attribute("#curve", f"data-{name}") for name in ("counted", "soft", "limit", "uncounted")}
    assert kinds == {"counted": str(EPOCHS - 1), "soft": "0", "limit": "0", "uncounted": "1"}
    assert page.locator("#curve canvas").count() >= 2
    assert page.locator(".still").count() == 0
    page.locator("#curve .plot").first.focus()
    for key in ("+", "ArrowRight", "-", "0"):
        page.keyboard.press(key)
    for name, kind in ((DIM, "limit"), (STEADY, "soft")):
        page.goto(f"{sky_panel.url}/sources/{sky_panel.find(name).id}")
        page.wait_for_selector(f"#curve[data-drawn='{EPOCHS}']")
        expected = {DIM: EPOCHS - 1, STEADY: 0}[name]
        assert page.get_attribute("#curve", f"data-{kind}") == str(expected)
    links = page.locator(".outside a").evaluate_all("links => links.map(link => new URL(link.href).hostname)")
    assert links == ["simbad.cds.unistra.fr", "ned.ipac.caltech.edu", "aladin.cds.unistra.fr"]


def test_stamps_step_and_blink(page: "sync_api.Page", sky_panel: SkyPanel) -> None:
    page.goto(f"{sky_panel.url}/sources/{sky_panel.find(FLARE).id}")
    page.wait_for_selector(f"#curve[data-drawn='{EPOCHS}']")
    assert page.locator("#stamps img").count() == len(IMAGED)
    assert page.get_attribute("#stamp", "data-shown") == "2"
    page.click("#stamp-earlier")
    assert page.get_attribute("#stamp", "data-shown") == "1"
    page.keyboard.press("]")
    assert page.get_attribute("#stamp", "data-shown") == "2"
    page.click("#blink")
    assert page.get_attribute("#blink", "aria-pressed") == "true"
    page.wait_for_selector("#stamp[data-shown='0']")
    page.click("#blink")
    widths = page.locator("#stamps img").evaluate_all("images => images.map(image => image.naturalWidth)")
    assert set(widths) == {96}


def test_pages_without_script(chromium: "sync_api.Browser", sky_panel: SkyPanel) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{sky_panel.url}/sources?eta_min=10")
    assert page.locator("#matches tbody tr").count() == 1
    page.click("#matches tbody a")
    assert page.locator(".still circle.point").count() == EPOCHS - 1
    assert page.locator(".still .uncounted").count() == 1
    assert page.locator("details[open] tbody tr").count() == EPOCHS
    assert page.locator("#stamps img").count() == len(IMAGED)
    page.goto(f"{sky_panel.url}/sources/{sky_panel.find(DIM).id}")
    assert page.locator(".still path.limit").count() == EPOCHS - 1
    context.close()


def test_plane_of_many_sources_is_compact(sky_panel: SkyPanel) -> None:
    """18 bytes a source; the columns hold what the store has, and values that have no logarithm as 1e-6."""
    count = 60_000
    rng = np.random.default_rng(2)
    eta = rng.uniform(0.1, 5, count)
    eta[0] = np.nan
    numbers = np.arange(1, count + 1)
    plane = EtaVPlane(
        source_id=numbers, name=numbers.astype(str), ra_deg=eta, dec_deg=eta, n=np.full(count, 70_000),
        weighted_mean_jy=rng.uniform(-0.001, 0.1, count), eta=eta, modulation_index=rng.uniform(-0.1, 1, count), vs=eta,
        m=eta, last_mjd=eta,
    )  # fmt: skip
    content = encode_plane(plane)
    assert len(content) == 18 * (count - 1)
    drawn = np.frombuffer(content, "<f4", count - 1, 4 * 3 * (count - 1))
    assert drawn.min() == np.float32(1e-6)
    assert drawn == pytest.approx(np.maximum(1e3 * plane.weighted_mean_jy[1:], 1e-6), rel=1e-6)
    sent = sky_panel.client.get("/sources/plane").data
    assert len(sent) == 18 * SOURCES
    assert struct.unpack_from("<i", sent)[0] == 1


def test_candidate_is_confirmed_by_a_form(page: "sync_api.Page", sky_panel: SkyPanel) -> None:
    page.goto(f"{sky_panel.url}/sources/candidates")
    assert page.locator(".candidate").count() == 2
    assert page.locator(".candidate button:enabled").count() == 0
    page.goto(f"{sky_panel.url}/sign-in")
    page.fill("#name", "Vera")
    page.fill("#token", TOKEN)
    page.click("button.main")
    page.goto(f"{sky_panel.url}/sources/candidates?state=new")
    (candidate,) = sky_panel.store.sky.candidates(source_id=sky_panel.find(FLARE).id)
    card = page.locator(f"#of-candidate-{candidate.id}")
    card.locator("select").select_option("confirmed")
    card.locator("input[name=note]").fill("seen at 3 GHz")
    card.locator("button").click()
    page.wait_for_selector(f"#of-candidate-{candidate.id} .notes-list")
    assert "confirmed" in page.inner_text("#notes")
    changed = sky_panel.store.sky.candidate(candidate.id)
    assert changed
    assert (changed.state, changed.notes[-1].text, "Vera" in (changed.changed_by or "")) == (
        "confirmed", "seen at 3 GHz", True,
    )  # fmt: skip
    forged = page.context.request.post(
        f"{sky_panel.url}/sources/candidates/{candidate.id}", form={"state": "dismissed"}
    )
    assert forged.status == 403
    assert page.goto(f"{sky_panel.url}/sources/{candidate.source_id}")
    assert page.locator(".candidate .pill.confirmed").count() == 2


@pytest.mark.long
@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_pages_of_sources_fit_and_are_accessible(page: "sync_api.Page", sky_panel: SkyPanel, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    violations: dict[str, str] = {}
    for path, ready in (
        ("/sources?eta_min=0.5", "#planes[data-selected]"),
        (f"/sources/{sky_panel.find(FLARE).id}", "#curve[data-drawn]"),
        ("/sources/candidates", ".candidate"),
    ):  # fmt: skip
        page.goto(f"{sky_panel.url}{path}")
        page.wait_for_selector(ready)
        assert_nothing_sticks_out(page)
        violations |= dict.fromkeys((f"{path} {fault}" for fault in scan_columns(page)), "columns")
        for scheme in ("light", "dark") if width != 1024 else ("light",):
            page.emulate_media(color_scheme=scheme)
            results = axe_playwright.Axe().run(page)
            violations |= {f"{path} {scheme} {row['id']} {row['nodes'][0]['target']}": row["help"]
                           for row in results.response["violations"]}  # fmt: skip
        if width == 1440:
            violations |= dict.fromkeys((f"{path} {fault}" for fault in scan_page(page)), "units")
            stops, hidden = page.evaluate(FOCUS_STOPS)
            assert hidden == [], path
            assert stops > 20
    assert violations == {}
