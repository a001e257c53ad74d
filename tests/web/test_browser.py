"""The pages in Chromium: wide and narrow screens, light and dark."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import erfa
import pytest
from judges import CHROMIUM, require
from observing_night import Night

from contimg.common.units import format_duration
from contimg.instrument.dsa110 import LONGITUDE_DEG
from contimg.store import Store

require("playwright", allow_module_level=True)
sync_api = importlib.import_module("playwright.sync_api")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.judge("chromium"),
]

DESK = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 375, "height": 812}, "color_scheme": "dark", "has_touch": True, "is_mobile": True}
SMALLEST = {"viewport": {"width": 320, "height": 640}, "color_scheme": "light"}


@dataclass
class Visit:
    """A page and the errors on its console."""

    page: "sync_api.Page"
    complaints: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return " ".join(self.page.inner_text(selector).split())

    def note(self, message: "sync_api.ConsoleMessage") -> None:
        self.complaints.append(f"{message.text} at {message.location['url']}")


@pytest.fixture(scope="module")
def chromium() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(request: pytest.FixtureRequest, chromium: "sync_api.Browser", url: str) -> Iterator[Visit]:
    context = chromium.new_context(**getattr(request, "param", DESK))
    visit = Visit(context.new_page())
    visit.page.on("console", lambda message: visit.note(message) if message.type == "error" else None)
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.goto(url)
    visit.page.wait_for_selector("#link[data-link=on]")
    yield visit
    context.close()
    assert visit.complaints == []


def on(*screens: dict[str, Any]) -> pytest.MarkDecorator:
    """Visit with each of these screens; the default is DESK."""
    return pytest.mark.parametrize(
        "visit", screens, indirect=True, ids=[str(screen["viewport"]["width"]) for screen in screens]
    )


def assert_nothing_sticks_out(page: "sync_api.Page") -> None:
    wide = page.evaluate("""() => [...document.querySelectorAll('body *')].filter(element =>
        element.getBoundingClientRect().right > innerWidth + 0.5 &&
        !element.closest('.hidden, .skip, svg, .navigation, .scroll'))
        .map(element => element.tagName + '.' + element.className)""")
    assert wide == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    over = page.evaluate("""() => [...document.querySelectorAll('.card:not(.scroll) table')].filter(table =>
        !table.closest('.scroll') && table.scrollWidth > table.closest('.card').clientWidth)
        .map(table => table.className)""")
    assert over == []


@on(DESK, PHONE, SMALLEST)
@pytest.mark.usefixtures("full_night")
def test_start_page_fits_screen(visit: Visit) -> None:
    page = visit.page
    assert page.locator("#condition.running").is_visible()
    assert page.title().lower().startswith("running")
    assert_nothing_sticks_out(page)
    page.wait_for_function("[...document.querySelectorAll('.wall img')].some(img => img.naturalWidth === 256)")
    page.click(".picture")
    page.wait_for_selector("#viewer")
    assert_nothing_sticks_out(page)


@on(PHONE)
def test_phone_shows_problems_first(visit: Visit, full_night: Night) -> None:
    """Messages lie within the width of the screen, as does the name of the page; what needs attention comes first."""
    page = visit.page
    base = page.url.rstrip("/")
    full_night.store.alerts.update("stall", "stall: nothing moves", level="error")
    page.goto(base)
    assert page.locator("#attention").bounding_box()["y"] < page.locator("#images").bounding_box()["y"]  # type: ignore[index]
    for path, cell in (
        ("/events?level=error", ".message"), ("/alerts", ".message"), ("/groups?state=failed", "td.why"),
        ("/configuration", "h1"),
    ):  # fmt: skip
        page.goto(base + path)
        for selector in (cell, ".navigation [aria-current]"):
            box = page.locator(selector).first.bounding_box()
            assert box, (path, selector)
            assert box["x"] >= 0, (path, selector)
            assert box["x"] + box["width"] <= 375, (path, selector)
    page.goto(f"{base}/events?level=error")
    assert page.get_by_role("cell", name="stall: nothing moves").is_visible()
    assert page.get_by_role("row").count() > 1


@on(DESK, PHONE)
def test_page_updates_without_reload(visit: Visit, night: Night) -> None:
    page = visit.page
    page.evaluate("window.untouched = true")
    assert page.locator("#images img").count() == 0
    night.store.activity.beat("producer.scan")
    night.store.events.add("a <b>storm</b> is coming", level="warning")
    page.wait_for_selector("#event-list >> text=a <b>storm</b> is coming", timeout=60_000)
    night.tile()
    page.wait_for_selector(".wall img", timeout=60_000)
    page.wait_for_function("document.querySelector('#queue-completed .number').textContent === '1'")
    assert page.locator("#images .badge.uncalibrated").is_visible()
    assert page.evaluate("window.untouched")
    listed = page.locator("#event-list li")
    ids = [row.get_attribute("id") for row in listed.all()]
    assert len(ids) == len(set(ids))
    assert ids == sorted(ids, key=lambda row_id: -int(str(row_id).split("-")[1]))
    assert_nothing_sticks_out(page)


def test_pause_updates_open_page(visit: Visit, store: Store, full_night: Night) -> None:
    store.jobs.pause("a colleague")
    visit.page.wait_for_selector("#condition.paused", timeout=60_000)
    assert visit.page.title().lower().startswith("paused")


def test_sidereal_time(visit: Visit) -> None:
    page = visit.page
    got = page.evaluate(
        """async (longitude) => {
          const { siderealTime } = await import("/static/times.js");
          return siderealTime(new Date("2026-02-22T03:04:05Z"), longitude);
        }""",
        LONGITUDE_DEG,
    )
    at = datetime(2026, 2, 22, 3, 4, 5, tzinfo=UTC)
    jd = at.timestamp() / 86400 + 2440587.5
    turns = (erfa.gmst06(jd, 0.0, jd + 69.2 / 86400, 0.0) / (2 * 3.141592653589793) + LONGITUDE_DEG / 360) % 1.0
    hours, minutes, seconds = (int(part) for part in got.split(":"))
    assert hours * 3600 + minutes * 60 + seconds == pytest.approx(turns * 86400, abs=1.5)


def test_script_formats_durations_as_server(visit: Visit) -> None:
    for seconds in (0.3, 9.9, 42.4, 99.6, 5969, 5971, 36000, 172000, 400000):
        script = "async (s) => (await import('/static/times.js')).duration(s)"
        assert visit.page.evaluate(script, seconds) == format_duration(seconds)


def test_keyboard_reaches_every_link(visit: Visit, full_night: Night) -> None:
    page = visit.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.className || document.activeElement.id"))
    assert {"brand", "picture", "fits", "lines"} <= reached


def test_keyboard_alone_is_enough(visit: Visit, full_night: Night) -> None:
    """The first stop skips to the content, every stop shows its focus, and the stops follow the order of the page."""
    page = visit.page
    base = page.url.rstrip("/")
    for path in ("/", "/groups", "/images", "/alerts", "/history", "/configuration"):
        page.goto(base + path)
        page.keyboard.press("Tab")
        assert page.locator(".skip").bounding_box()["y"] >= 0, path  # type: ignore[index]
        page.keyboard.press("Enter")
        assert page.url.endswith("#main")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('#main, footer') !== null"), path
        stops, hidden = page.evaluate(FOCUS_STOPS)
        assert hidden == [], path
        assert stops > 3


def test_update_keeps_focus(visit: Visit, full_night: Night) -> None:
    page = visit.page
    page.focus("#images li:nth-child(2) .picture")
    link = page.evaluate("document.activeElement.href")
    full_night.store.events.add("something")
    page.wait_for_selector("#event-list >> text=something", timeout=60_000)
    page.wait_for_timeout(1500)
    assert page.evaluate("document.activeElement.href") == link


def test_lost_connection_is_shown(visit: Visit) -> None:
    page = visit.page
    live = visit.text("#link")
    page.route("**/*", lambda route: route.abort())
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_selector("#link[data-link=lost]")
    assert visit.text("#link") not in ("", live)
    visit.complaints.clear()  # the browser reports the connection that was refused


@on(DESK, PHONE)
@pytest.mark.usefixtures("full_night")
def test_text_contrast(visit: Visit) -> None:
    """WCAG AA: 4.5 to 1 for text against what is really behind it."""
    poor = visit.page.evaluate(CONTRAST)
    assert poor == []


CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((part) => part / 255).map((c) =>
      c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = rgb(getComputedStyle(element).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll('body *')) {
    if (element.closest('.chain .busy') || !element.checkVisibility()) continue;
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim());
    if (!own) continue;
    const [a, b] = [light(rgb(getComputedStyle(element).color).slice(0, 3)), light(behind(element).slice(0, 3))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${element.className}: ${element.textContent.trim()} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


# Focus each element that a keyboard reaches: the number of elements, and those that show no focus or have a tabindex.
FOCUS_STOPS = """() => {
  const all = document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]');
  const stops = [...all].filter((element) => !element.disabled && element.tabIndex >= 0 && element.checkVisibility() &&
      element.type !== 'hidden' &&
      !element.closest('dialog:not([open])'));
  const hidden = stops.filter((element) => {
    element.focus({ focusVisible: true });
    const style = getComputedStyle(element);
    const target = element.querySelector('ellipse, circle') ?? element;
    const isShown = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
    return element.tabIndex > 0 || !(isShown || getComputedStyle(target).strokeWidth === '2px');
  });
  return [stops.length, hidden.map((element) => `${element.tagName}.${element.getAttribute('class')}`)];
}"""
