"""The charts under an operator's hands: dragged, zoomed by wheel, keys and two fingers, all of them together."""

from typing import Any

import pytest
from observing_night import Night, samples
from test_browser import DESK, PHONE, Visit, chromium, on, pytestmark, visit

__all__ = ["chromium", "pytestmark", "visit"]


@pytest.fixture
def asked(visit: Visit, full_night: Night) -> list[tuple[float, float]]:
    """The page of charts, and every span (since, until) that the CPU's chart asks for."""
    samples(full_night, hours=30, step_s=600)
    spans: list[tuple[float, float]] = []

    def note(request: Any) -> None:
        if "/api/history/cpu?" in request.url:
            given = dict(one.split("=") for one in request.url.split("?")[1].split("&"))
            spans.append((float(given["since"]), float(given["until"])))

    visit.page.on("request", note)
    visit.page.goto(f"{visit.page.url.rstrip('/')}/history")
    visit.page.wait_for_selector("#chart-cpu path.stroke")
    return spans


def next_span(visit: Visit, asked: list[tuple[float, float]], before: int) -> tuple[float, float]:
    for _ in range(100):
        if len(asked) > before:
            visit.page.wait_for_timeout(250)  # until the movement has settled
            return asked[-1]
        visit.page.wait_for_timeout(50)
    raise AssertionError("nothing was asked for")


def middle(visit: Visit) -> tuple[float, float]:
    visit.page.locator("#chart-cpu svg").scroll_into_view_if_needed()
    box = visit.page.locator("#chart-cpu svg").bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_drag_goes_back_in_time_by_as_much(visit: Visit, asked: list[tuple[float, float]]) -> None:
    page, first, count = visit.page, asked[0], len(asked)
    assert first[1] - first[0] == pytest.approx(86400)
    x, y = middle(visit)
    width = page.locator("#chart-cpu svg").bounding_box()["width"]  # type: ignore[index]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + width / 4, y, steps=8)
    page.mouse.up()
    moved = next_span(visit, asked, count)
    assert moved[1] - moved[0] == pytest.approx(86400)
    assert first[1] - moved[1] == pytest.approx(21600, rel=0.03)
    assert visit.text("#span").endswith("UTC")


def test_the_wheel_zooms_on_what_is_under_it(visit: Visit, asked: list[tuple[float, float]]) -> None:
    page, first, count = visit.page, asked[0], len(asked)
    x, y = middle(visit)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    near = next_span(visit, asked, count)
    assert near[1] - near[0] == pytest.approx(86400 / 2.718, rel=0.01)
    assert sum(near) / 2 == pytest.approx(sum(first) / 2, abs=0.05 * 86400)
    count = len(asked)
    page.mouse.wheel(0, 400)
    far = next_span(visit, asked, count)
    assert far[1] - far[0] == pytest.approx(86400, rel=0.01)


def test_keys_and_buttons_do_the_same_and_all_charts_follow(visit: Visit, asked: list[tuple[float, float]]) -> None:
    page = visit.page
    page.focus("#chart-memory svg")
    count = len(asked)
    page.keyboard.press("+")
    near = next_span(visit, asked, count)
    assert near[1] - near[0] == pytest.approx(43200)
    count = len(asked)
    page.keyboard.press("ArrowLeft")
    assert next_span(visit, asked, count)[1] == pytest.approx(near[1] - 10800)
    count = len(asked)
    page.click("button[data-span='604800']")
    week = next_span(visit, asked, count)
    assert week[1] - week[0] == pytest.approx(604800)
    assert page.get_attribute("button[data-span='604800']", "aria-pressed") == "true"
    marks = {page.locator(f"#chart-{one} text.mark:not(.value)").first.text_content() for one in ("cpu", "memory")}
    assert len(marks) == 1


@on(PHONE)
def test_two_fingers_zoom_and_one_scrolls_the_page(visit: Visit, asked: list[tuple[float, float]]) -> None:
    page = visit.page
    assert page.evaluate("getComputedStyle(document.querySelector('#chart-cpu svg')).touchAction") == "pan-y"
    x, y = middle(visit)
    count, client = len(asked), page.context.new_cdp_session(page)
    for apart, kind in ((40, "touchStart"), (60, "touchMove"), (80, "touchMove")):
        points = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    near = next_span(visit, asked, count)
    assert near[1] - near[0] == pytest.approx(43200, rel=0.1)


@on(DESK)
def test_a_double_click_comes_back_to_the_day(visit: Visit, asked: list[tuple[float, float]]) -> None:
    count = len(asked)
    visit.page.click("button[data-span='3600']")
    next_span(visit, asked, count)
    count = len(asked)
    visit.page.locator("#chart-cpu svg").dblclick()
    day = next_span(visit, asked, count)
    assert day[1] - day[0] == pytest.approx(86400)
