"""The charts in Chromium: dragged, zoomed by wheel, keys, buttons and two fingers, all of them together."""

from typing import Any

import pytest
from observing_night import Night, samples
from test_browser import DESK, PHONE, Visit, chromium, on, pytestmark, visit

__all__ = ["chromium", "pytestmark", "visit"]
Spans = list[tuple[float, float]]
PLOT_MARGIN = 60  # labels of the axes and borders, pixels


@pytest.fixture
def spans(visit: Visit, full_night: Night) -> Spans:
    """Open the page of charts; every span (since, until) for which the CPU's chart reads the API."""
    samples(full_night, hours=30, step_s=600)
    spans: Spans = []

    def note(request: Any) -> None:
        if "/api/history/cpu?" in request.url:
            query = dict(parameter.split("=") for parameter in request.url.split("?")[1].split("&"))
            spans.append((float(query["since"]), float(query["until"])))

    visit.page.on("request", note)
    visit.page.goto(f"{visit.page.url.rstrip('/')}/history")
    visit.page.wait_for_selector("#chart-cpu[data-points]")
    visit.page.wait_for_selector("#chart-cpu canvas")
    visit.page.wait_for_timeout(300)  # until Bokeh has laid out the plots
    return spans


def next_span(visit: Visit, spans: Spans, before: int) -> tuple[float, float]:
    for _ in range(100):
        if len(spans) > before:
            visit.page.wait_for_timeout(400)  # until the movement has settled
            return spans[-1]
        visit.page.wait_for_timeout(50)
    raise AssertionError("the API was not read")


def plot_box(visit: Visit) -> dict[str, float]:
    visit.page.locator("#chart-cpu .plot").scroll_into_view_if_needed()
    box = visit.page.locator("#chart-cpu .plot").bounding_box()
    assert box
    return box


def middle(visit: Visit) -> tuple[float, float]:
    box = plot_box(visit)
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_drag_moves_time_axis(visit: Visit, spans: Spans) -> None:
    page, first, count = visit.page, spans[0], len(spans)
    assert first[1] - first[0] == pytest.approx(86400)
    x, y = middle(visit)
    width = plot_box(visit)["width"] - PLOT_MARGIN
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + width / 4, y, steps=8)
    page.mouse.up()
    moved = next_span(visit, spans, count)
    assert moved[1] - moved[0] == pytest.approx(86400)
    assert first[1] - moved[1] == pytest.approx(21600, rel=0.1)
    assert visit.text("#span").endswith("UTC")


@pytest.mark.long
def test_wheel_zooms_at_pointer(visit: Visit, spans: Spans) -> None:
    page, first, count = visit.page, spans[0], len(spans)
    x, y = middle(visit)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -200)
    near = next_span(visit, spans, count)
    assert 0.4 * 86400 < near[1] - near[0] < 0.95 * 86400
    assert sum(near) / 2 == pytest.approx(sum(first) / 2, abs=0.05 * 86400)
    count = len(spans)
    page.mouse.wheel(0, 200)
    far = next_span(visit, spans, count)
    assert far[1] - far[0] > near[1] - near[0]
    assert far[1] <= first[1] + 60, "the future is not shown"


@pytest.mark.long
def test_keys_and_buttons_move_charts(visit: Visit, spans: Spans) -> None:
    page, requests = visit.page, []
    page.focus("#chart-memory .plot")
    count = len(spans)
    page.keyboard.press("+")
    near = next_span(visit, spans, count)
    assert near[1] - near[0] == pytest.approx(43200)
    count = len(spans)
    page.keyboard.press("ArrowLeft")
    assert next_span(visit, spans, count)[1] == pytest.approx(near[1] - 10800)
    page.on("request", lambda request: requests.append(request.url.partition("/api/history/")[2]))
    count = len(spans)
    page.click("button[data-span='604800']")
    week = next_span(visit, spans, count)
    assert week[1] - week[0] == pytest.approx(604800)
    assert page.get_attribute("button[data-span='604800']", "aria-pressed") == "true"
    names = {query.partition("?")[0] for query in requests if query} - {"alerts"}
    assert len(names) == page.locator(".chart").count()
    assert len({query.partition("?")[2] for query in requests if query and not query.startswith("alerts?")}) == 1


@pytest.mark.long
def test_hover_shows_time_value_and_unit(visit: Visit, spans: Spans) -> None:
    x, y = middle(visit)
    visit.page.mouse.move(x - 20, y)
    visit.page.mouse.move(x, y, steps=3)
    tooltip = visit.page.locator(".bk-tooltip-row-value")
    tooltip.first.wait_for()
    text = " ".join(tooltip.all_inner_texts())
    assert "% of a core" in text
    assert "stream" in text
    assert visit.page.evaluate("new Date().toISOString().slice(0, 4)") in text


@pytest.mark.long
@on(PHONE)
def test_pinch_zooms_and_one_finger_scrolls(visit: Visit, spans: Spans) -> None:
    page = visit.page
    touch_action = page.locator("#chart-cpu .bk-events").evaluate("element => getComputedStyle(element).touchAction")
    assert touch_action == "pan-x pan-y"
    x, y = middle(visit)
    count, client = len(spans), page.context.new_cdp_session(page)
    for apart, kind in ((30, "touchStart"), (60, "touchMove"), (90, "touchMove"), (120, "touchMove")):
        points = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    near = next_span(visit, spans, count)
    assert near[1] - near[0] < 0.97 * 86400


@pytest.mark.long
@on(DESK)
def test_double_click_shows_last_day(visit: Visit, spans: Spans) -> None:
    count = len(spans)
    visit.page.click("button[data-span='3600']")
    next_span(visit, spans, count)
    count = len(spans)
    visit.page.mouse.dblclick(*middle(visit))
    day = next_span(visit, spans, count)
    assert day[1] - day[0] == pytest.approx(86400)


@on(DESK)
def test_bokeh_is_loaded_once(visit: Visit, spans: Spans) -> None:
    sources = visit.page.locator("script[src*='/bokeh/']").evaluate_all("scripts => scripts.map(script => script.src)")
    assert len(sources) == 2
    for source in sources:
        answer = visit.page.request.get(source)
        assert answer.ok
        assert "max-age=31536000" in answer.headers["cache-control"]
    assert visit.page.locator("#chart-cpu canvas").count() > 0
