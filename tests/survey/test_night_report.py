"""The report of a night: the same numbers in every form, escaped texts, nothing from outside, charts."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from night_steps import FIRST_S, fill_nights
from store_play import Clock

from contimg.formats.records import to_plain
from contimg.instrument.time import DAY_S
from contimg.store import QueueRules, Store
from contimg.store.survey.nights.records import Night
from contimg.survey.nights import list_sections, render_markdown, render_page, render_text, summarise, write_report
from contimg.survey.nights.charts import axis_of

DAY = "2026-02-23"
HOSTILE = '<script>alert("1")</script> | *wind* `04:00`'


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two nights with a note, actions and an alert in the second."""
    clock = Clock(FIRST_S + 1.5 * DAY_S)
    opened = Store.open(tmp_path_factory.mktemp("nights") / "store.sqlite3", QueueRules(), clock=clock)
    fill_nights(opened, 2)
    opened.alerts.update("stall", HOSTILE, level="error")
    opened.jobs.pause(HOSTILE)
    opened.nights.add_note(DAY, HOSTILE, "ana")
    clock.now = FIRST_S + 2 * DAY_S + 600
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def night(store: Store) -> Night:
    return store.nights.night(DAY)


class Tags(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, text: str) -> None:
        self.text += f" {text}"


def test_facts_are_the_numbers_of_the_night(night: Night) -> None:
    sections = {section.key: section for section in list_sections(night)}
    tiles = dict(sections["tiles"].facts)
    assert (tiles["expected"], tiles["arrived"], tiles["partial"]) == ("280", "268", "6")
    assert dict(sections["images"].facts)["suspect"] == str(night.grades["suspect"]) == "10"
    assert dict(sections["latency"].facts)["95 %"] == f"{night.latency.p95_s:.0f} s"
    quality = {row[0]: row for row in sections["quality"].tables[0].rows}
    name = "noise over thermal noise"
    assert quality[name][2] == f"{night.noise_ratios.median:.3g}"
    assert quality[name][5] == f"{night.nights_before[-1].noise_ratio:.3g}"
    assert len(sections["epochs"].tables[0].rows) == 48
    assert [row[1] for row in sections["actions"].tables[0].rows] == [HOSTILE]


def test_every_form_has_every_section_and_fact(night: Night) -> None:
    page, markdown, plain = Tags(render_page(night)).text, render_markdown(night), render_text(night)
    for section in list_sections(night):
        assert section.title in page
        assert f"## {section.title}" in markdown
        assert section.title.upper() in plain
        for name, value in section.facts:
            assert f"{name}: {value}" in markdown
            assert f"{name} {value}" in plain
            assert name in page
            assert value in page
    assert summarise(night) in plain


def test_texts_are_escaped(night: Night) -> None:
    page = Tags(render_page(night))
    assert HOSTILE in page.text
    assert not [tag for tag, _ in page.elements if tag == "script"]
    rows = [line for line in render_markdown(night).splitlines() if "wind" in line]
    assert rows
    assert not any("<script" in line or "*wind*" in line.replace("\\*", "") for line in rows)
    assert all(len(re.findall(r"(?<!\\)\|", line)) in (4, 5, 6) for line in rows)


def test_page_needs_nothing_from_outside(night: Night) -> None:
    page = Tags(render_page(night))
    assert not [
        (tag, attributes)
        for tag, attributes in page.elements
        if {"src", "href", "srcset", "data", "action"} & attributes.keys() or tag in ("link", "iframe", "object")
    ]
    assert "url(" not in render_page(night)
    assert "@media print" in render_page(night)
    charts = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert len(charts) == 6
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    points = [attributes for tag, attributes in page.elements if tag == "circle"]
    assert len(points) == night.imaged_tiles + night.flux_ratios.tiles + night.offsets_east_arcsec.tiles + 3 * 2


def test_files_hold_the_report(night: Night, tmp_path: Path) -> None:
    path = write_report(night, tmp_path)
    assert path == tmp_path / "nights" / DAY / "night.html"
    assert path.read_text("utf-8") == render_page(night)
    assert path.with_suffix(".md").read_text("utf-8") == render_markdown(night)
    assert json.loads(path.with_suffix(".json").read_text("utf-8")) == to_plain(night)
    assert write_report(night, tmp_path) == path
    assert {file.name for file in path.parent.iterdir()} == {"night.html", "night.md", "night.json"}


def test_day_without_tiles_has_a_report(store: Store) -> None:
    night = store.nights.night("2026-02-20")
    assert "No image." in render_markdown(night)
    assert [tag for tag, _ in Tags(render_page(night)).elements if tag == "svg"] == []


@pytest.mark.parametrize(
    ("values", "reference", "floor"), [((1.0, 1.0), None, None), ((-3.2, 7.9), 1.0, None), ((0.0, 0.02), None, 0.0)]
)
def test_axis_holds_all_values(values: tuple[float, ...], reference: float | None, floor: float | None) -> None:
    axis = axis_of(values, reference, floor=floor)
    assert axis.low <= min(values) <= max(values) <= axis.high
    assert reference is None or axis.low <= reference <= axis.high
    assert 2 <= len(axis.ticks) <= 8
