"""The antennas in pages, API and commands, over the nights of the survey."""

import importlib
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from judges import require
from page_scans import scan_columns, scan_page
from survey import Survey
from test_browser import assert_nothing_sticks_out, chromium

from contimg.cli import contimg

if TYPE_CHECKING:
    from playwright import sync_api

require("axe", allow_module_level=True)
axe_playwright = importlib.import_module("axe_playwright_python.sync_playwright")
__all__ = ["chromium"]


def test_antennas_page_answers_which_died_and_for_how_long(survey: Survey) -> None:
    html = survey.client.get("/antennas").text
    rows = re.findall(r'<tr role="row">.*?</tr>', html, re.DOTALL)
    (dead,) = (row for row in rows if "/antennas/23" in row)
    (outage,) = survey.store.antennas.outages(0, 1e6, "23")
    assert "dead" in dead
    assert dead.count("2026-02-22") + dead.count("2026-02-23") == 2
    assert outage.ended_at is not None
    assert outage.ended_at - outage.began_at == pytest.approx(6 * 309, abs=2)
    assert "31 min" in dead
    (crossed,) = (row for row in rows if "/antennas/71" in row)
    assert "lasts" in crossed


def test_antennas_page_draws_the_worst_state_of_each_step(survey: Survey) -> None:
    html = survey.client.get("/antennas?days=1").text
    titles = re.findall(r"<title>antenna (\w+): ([\w ]+), ([\d.]+) % flagged", html)
    assert {("23", "dead"), ("71", "crossed"), ("38", "unsolved"), ("1", "flagged")} <= {row[:2] for row in titles}
    assert {state for name, state, _ in titles if name == "103"} == {"good"}  # on the maps alone
    assert len(re.findall(r'<circle class="crossed', html)) == 2


def test_antennas_page_shows_the_days_that_have_tiles(survey: Survey) -> None:
    """Three hours of tiles in the week are shown as 24 h; other numbers of days are a link."""
    current = re.findall(r'<a href="([^"]+)" aria-current="true">([^<]+)', survey.client.get("/antennas").text)
    assert ("/antennas?days=1", "24 h") in current
    page = survey.client.get("/antennas?days=30").text
    assert '<a href="/antennas?days=30" aria-current="true">' in page
    assert "/antennas/23?days=30" in page
    assert re.findall(r'<text class="name"[^>]+>(71)</text></a>', page) == ["71", "71"], "labels on both maps"


def test_night_limits_the_antennas(survey: Survey) -> None:
    first, second = (survey.client.get(f"/antennas?night=2026-02-{day}").text for day in (22, 23))
    assert "/antennas/71?night" not in re.search(r"<tbody.*?</tbody>", first, re.DOTALL)[0]
    assert "/antennas/71?night" in re.search(r"<tbody.*?</tbody>", second, re.DOTALL)[0]
    assert "No calibrated tile" in survey.client.get("/antennas?night=2025-01-01").text


def test_antenna_page_shows_flagged_fractions(survey: Survey) -> None:
    html = survey.client.get("/antennas/1").text
    paths = re.findall(r'<path class="pol-(\w)" d="([^"]+)"', html)
    assert [letter for letter, _ in paths] == ["X", "Y"]
    assert {point.split()[1] for point in re.findall(r"M([\d. ]+)h0", paths[0][1])} == {"60.0"}
    assert survey.client.get("/antennas/999").status_code == 404


def test_api_lists_antennas_and_outages(survey: Survey) -> None:
    answer = survey.client.get("/api/antennas").get_json()
    states = {row["antenna"]: row["polarisations"] for row in answer["antennas"]}
    assert states == {
        "1": {"X": "good", "Y": "good"}, "23": {"X": "good", "Y": "good"}, "38": {"X": "good", "Y": "unsolved"},
        "71": {"X": "crossed", "Y": "crossed"}, "103": {"X": "good", "Y": "good"},
    }  # fmt: skip
    assert [(row["antenna"], row["state"], row["ended_at"] is None) for row in answer["outages"]] == [
        ("71", "crossed", True), ("23", "dead", False),
    ]  # fmt: skip
    history = survey.client.get("/api/antennas/23").get_json()
    assert [row["state"] for row in history["measurements"] if row["polarisation"] == "X"].count("dead") == 6
    assert survey.client.get("/api/antennas/23?until=2020-01-01").get_json()["measurements"] == []
    assert survey.client.get("/api/antennas/999").status_code == 404


def test_commands_print_what_the_api_answers(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    state_dir = survey.client.application.extensions["contimg"].settings.state_dir
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(state_dir))

    def run(*words: str) -> str:
        result = CliRunner().invoke(contimg, words, standalone_mode=False)
        if result.exception:
            raise result.exception
        return result.output

    assert json.loads(run("antennas", "list", "--json")) == survey.client.get("/api/antennas").get_json()
    assert json.loads(run("antennas", "show", "23", "--json")) == survey.client.get("/api/antennas/23").get_json()
    assert re.search(r"^23 +dead +2026-02-22 22:50 to 2026-02-22 23:21 +31 min", run("antennas", "list"), re.MULTILINE)
    assert len(re.findall("tile X +dead", run("antennas", "show", "23"))) == 6


@pytest.fixture(scope="module")
def page(chromium: "sync_api.Browser") -> Iterator["sync_api.Page"]:
    page = chromium.new_page()
    yield page
    page.close()


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_antenna_pages_fit_and_are_accessible(page: "sync_api.Page", survey: Survey, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    violations: dict[str, str] = {}
    for path in ("/antennas", "/antennas/23"):
        page.goto(survey.url + path, wait_until="domcontentloaded")
        assert_nothing_sticks_out(page)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            results = axe_playwright.Axe().run(page)
            violations |= {f"{path} {scheme} {row['id']}": row["help"] for row in results.response["violations"]}
        violations |= dict.fromkeys((f"{path} {fault}" for fault in scan_columns(page)), "columns")
        if width == 1440:
            violations |= dict.fromkeys((f"{path} {fault}" for fault in scan_page(page)), "units")
    assert violations == {}
