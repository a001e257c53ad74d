"""History: numbers of images by time of observation, gaps, the time under the pointer, alert marks and ticks."""

import importlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from judges import require
from survey import FIRST_AFTER_GAP, FIRST_S, GAP_TILES, TILES, Survey
from test_browser import DESK, assert_nothing_sticks_out, chromium, pytestmark

from contimg.instrument.dsa110 import CADENCE_S

__all__ = ["chromium", "pytestmark"]
require("playwright", allow_module_level=True)
sync_api = importlib.import_module("playwright.sync_api")
SPAN = f"since={FIRST_S}&until={FIRST_S + (TILES + GAP_TILES) * CADENCE_S}"
# What Bokeh has computed for a chart's plot.
VIEW = "[...Bokeh.index].find((view) => view.model.renderers && view.el.closest('#chart-NAME'))"
SHADED = f"""() => {VIEW}.model.renderers.filter((renderer) => renderer.glyph.type === "Patches")
    .flatMap(({{ data_source: source }}) => source.data.xs.map((xs) => [Math.min(...xs), Math.max(...xs)]))"""
LABELS = f"""() => [...{VIEW}.axis_views].map((axis) => {{
    const {{ major }} = axis.tick_coords;
    return axis.compute_labels(major[axis.dimension]).items.map((label) => label.text);
}})"""


def on_chart(script: str, name: str) -> str:
    return script.replace("NAME", name)


@pytest.fixture(scope="module")
def page(chromium: "sync_api.Browser", survey: Survey) -> Iterator["sync_api.Page"]:
    """The page at the newest image, which is months old; an alert is active."""
    survey.store.alerts.update("stall", "nothing moves for 12 min")
    context = chromium.new_context(**DESK)
    page = context.new_page()
    page.goto(f"{survey.url}/history")
    page.wait_for_selector("#chart-noise[data-runs]")
    page.click("button[data-span='21600']")
    page.click("button[data-newest]")
    page.wait_for_selector("#chart-noise[data-points='24']")
    yield page
    context.close()


def chart(survey: Survey, name: str, query: str = SPAN) -> dict[str, list[list[float]]]:
    answer = survey.client.get(f"/api/history/{name}?{query}").get_json()
    return {line["name"]: line["points"] for line in answer["lines"]}


def test_image_numbers_stand_at_time_of_observation(survey: Survey) -> None:
    points = chart(survey, "noise_ratio")["noise over thermal"]
    tiles = sorted(image.observed_at for image in survey.store.products.images(TILES))
    assert len(points) == TILES
    step_s = (TILES + GAP_TILES) * CADENCE_S / 300
    assert all(abs(at - tile) <= step_s for (at, *_), tile in zip(points, tiles, strict=True))
    assert all(1.3 < mean < 8 and low == mean == high for _, mean, low, high in points)
    grades = chart(survey, "grades", SPAN + "&points=2")
    for step in zip(*grades.values(), strict=True):
        assert sum(mean for _, mean, *_ in step) == pytest.approx(100)


def test_no_line_and_no_shading_across_gaps(page: "sync_api.Page") -> None:
    gap_middle_ms = 1000 * (FIRST_S + (FIRST_AFTER_GAP + GAP_TILES / 2) * CADENCE_S)
    for name in ("noise", "noise_ratio", "flux_ratio", "flagged"):
        assert page.get_attribute(f"#chart-{name}", "data-runs") == "2"
        bands: list[list[float]] = page.evaluate(on_chart(SHADED, name))
        assert len(bands) == 2
        assert not any(begin < gap_middle_ms < end for begin, end in bands)
    means: list[Any] = page.evaluate(on_chart(
        f"() => {VIEW}.model.renderers.find((renderer) => renderer.glyph.type === 'Line').data_source.data.mean"
        ".map((value) => Number.isNaN(value) ? null : value)", "noise"))  # fmt: skip
    assert means.count(None) == 1


def test_pointer_gives_time_on_all_charts(page: "sync_api.Page") -> None:
    plot = page.locator("#chart-noise .plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    last = page.inner_text("#chart-flux_ratio output")
    for x in (0.90, 0.91):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + 90)
    page.wait_for_function("document.querySelector('#chart-cpu .at').textContent")
    times = page.locator(".at").all_inner_texts()
    assert len(times) == page.locator(".chart").count()
    assert len(set(times)) == 1
    assert times[0].startswith("at 2026-02-2")
    assert times[0].endswith("UTC")
    page.mouse.move(2, 2)
    page.wait_for_function("!document.querySelector('#chart-cpu .at').textContent")
    assert page.inner_text("#chart-flux_ratio output") == last


def test_alerts_are_marked_on_time_axis(page: "sync_api.Page", survey: Survey) -> None:
    now_s = time.time()
    (alert,) = survey.client.get(f"/api/history/alerts?since={now_s - 3600}&until={now_s + 60}").get_json()["alerts"]
    assert (alert["rule"], alert["ended_at"]) == ("stall", None)
    assert (
        survey.client.get(f"/api/history/alerts?since={now_s - 7200}&until={now_s - 3600}").get_json()["alerts"] == []
    )
    page.locator("#chart-cpu .plot").dblclick()  # the last 24 h
    page.wait_for_selector(".charts[data-marks='1']")
    marks = page.evaluate(on_chart(
        f"() => {VIEW}.model.renderers.filter((renderer) => ['VStrip', 'Scatter'].includes(renderer.glyph.type))"
        ".filter((renderer) => renderer.data_source.data.rule?.length).length", "cpu"))  # fmt: skip
    assert marks == 2


@pytest.mark.parametrize("span_s", [3600, 21600, 86400, 604800, 2592000, 7776000])
def test_no_axis_label_twice(page: "sync_api.Page", span_s: int) -> None:
    page.click(f"button[data-span='{span_s}']")
    page.wait_for_timeout(400)
    for name in ("noise", "cpu"):
        for labels in page.evaluate(on_chart(LABELS, name)):
            shown = [label for label in labels if label]
            assert len(shown) == len(set(shown)) > 2, (name, shown)


@pytest.mark.parametrize(("width", "scheme"), [(1440, "dark"), (1024, "light"), (390, "light"), (390, "dark")])
def test_history_fits_screen(page: "sync_api.Page", width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.wait_for_timeout(300)
    assert_nothing_sticks_out(page)
