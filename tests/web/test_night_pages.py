"""Nights in the panel and in the API: a simulated week, its calendar, pages, notes, and two reports in a browser."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from judges import require
from night_steps import FIRST_S, fill_nights
from page_scans import scan_columns
from running_service import TOKEN, RunningService
from served_panel import serving
from test_accessibility import axe_violations
from test_browser import assert_nothing_sticks_out, chromium

from contimg.formats.records import to_plain
from contimg.instrument.time import DAY_S, unix_to_mjd
from contimg.settings import Settings, load
from contimg.store import Store, tables
from contimg.survey.nights import list_sections
from web import create_app
from workers.housekeeping.nights import write_due_reports

require("playwright", allow_module_level=True)
__all__ = ["chromium"]
DAY = "2026-02-25"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
HOSTILE = '<img src="x" onerror="alert(1)">'


@dataclass(frozen=True)
class Week:
    """A panel over a week of nights with their reports, seen some minutes after its end."""

    url: str
    client: FlaskClient
    store: Store
    output: Path


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Week]:
    settings = Settings(state_dir=tmp_path_factory.mktemp("week") / "state", token=TOKEN)
    config = load(settings)
    now_s = [FIRST_S + 3 * DAY_S + 3600]
    store = Store.open(config.queue_db, clock=lambda: now_s[0])
    fill_nights(store, 7)
    store.jobs.pause(HOSTILE)
    store.alerts.update("stall", "nothing moves", level="error")
    began_mjd = unix_to_mjd(FIRST_S + 3.5 * DAY_S)
    outage = {"antenna": "103", "state": "dead", "reason": "no signal", "began_mjd": began_mjd, "ended_mjd": None}
    with store.database.engine.begin() as connection:
        connection.execute(tables.AntennaOutage.__table__.insert(), outage)
    now_s[0] = FIRST_S + 7 * DAY_S + 200
    assert len(write_due_reports(store, config.output_dir)) == 7
    app = create_app(settings, store, RunningService(store), inspect=lambda: None, fresh_s=0.0)  # type: ignore[arg-type, return-value]
    with serving(app) as address:
        yield Week(address, app.test_client(), store, config.output_dir)
    store.close()


def test_calendar_links_every_night(week: Week) -> None:
    page = week.client.get("/nights").text
    for day in range(22, 29):
        assert f'href="/nights/2026-02-{day}"' in page
    assert page.count('class="good') >= 7
    assert "268 of 280 tiles, 251 good of 265 images" in page
    assert "/nights/2026-02-21" not in page
    assert "268 of 280" not in week.client.get("/nights?month=2025-06").text
    assert week.client.get("/nights?month=2026-13").status_code == 400


def test_night_page_has_every_number_of_the_report(week: Week) -> None:
    page, night = week.client.get(f"/nights/{DAY}").text, week.store.nights.night(DAY)
    for section in list_sections(night):
        assert section.title in page
        for name, value in section.facts:
            assert f"<dt>{name}</dt><dd>{value}</dd>" in page
    for link in ("/antennas/103", "/calibration", f"/epochs/{DAY}_L0130_D+163", f"/groups/{DAY}T02:49:57",
                 f"/nights/{DAY}/report.html", "/nights/2026-02-24", "/nights/2026-02-26"):  # fmt: skip
        assert f'href="{link}' in page
    assert HOSTILE not in page
    assert "<textarea" not in page, "only an operator writes notes"
    assert week.client.get("/nights/2026-02-30").status_code == 404


def test_start_page_links_the_newest_night(week: Week) -> None:
    assert 'href="/nights/2026-02-28"' in week.client.get("/").text


def test_api_gives_the_numbers_of_the_store(week: Week) -> None:
    night = json.loads(week.client.get(f"/api/nights/{DAY}").text)
    assert night == to_plain(week.store.nights.night(DAY))
    listed = week.client.get("/api/nights?since=2026-02-22&until=2026-03-01").get_json()["nights"]
    assert listed == to_plain(week.store.nights.summaries(FIRST_S, FIRST_S + 7 * DAY_S))
    newest = week.client.get("/api/nights").get_json()["nights"]
    assert (len(newest), newest[-1]["day"]) == (30, "2026-02-28")
    assert week.client.get("/api/nights/2026-02").status_code == 404
    assert week.client.get("/api/nights?since=2026-03-01&until=2026-02-01").status_code == 400


def test_notes_need_a_token(week: Week) -> None:
    address = "/api/nights/2026-02-23/notes"
    assert week.client.post(address, json={"text": "rain"}).status_code == 401
    assert week.store.nights.night("2026-02-23").notes == ()
    note = week.client.post(address, json={"text": HOSTILE}, headers=OPERATOR)
    assert note.status_code == 200
    assert note.get_json()["text"] == HOSTILE
    assert [row.text for row in week.store.nights.night("2026-02-23").notes] == [HOSTILE]
    assert HOSTILE not in week.client.get("/nights/2026-02-23").text
    for body in ({"text": ""}, {"text": "x" * 2001}, {}, {"text": " "}):
        assert week.client.post(address, json=body, headers=OPERATOR).status_code == 400
    assert week.client.post("/api/nights/x/notes", json={"text": "rain"}, headers=OPERATOR).status_code == 404


def test_report_is_the_file_of_the_products(week: Week) -> None:
    answer = week.client.get(f"/nights/{DAY}/report.html")
    assert answer.data == (week.output / "nights" / DAY / "night.html").read_bytes()
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert week.client.get("/nights/2026-01-01/report.html").status_code == 404


@pytest.mark.long
@pytest.mark.browser
@pytest.mark.judge("chromium", "axe")
def test_two_reports_and_the_pages_in_a_browser(week: Week, chromium: Any) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    page, errors, requests = context.new_page(), [], []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    for day in (DAY, "2026-02-26"):
        path = week.output / "nights" / day / "night.html"
        page.goto(path.as_uri())
        assert page.inner_text("h1") == f"Night {day}"
        assert page.locator("svg.chart").count() == 6
        assert page.locator("#epochs tbody tr").count() == 48
        assert axe_violations(page, f"report {day}", {}) == {}
        assert {url for url in requests if not url.startswith("file:")} == set()
        assert page.pdf()[:4] == b"%PDF"
        requests.clear()
    page.goto(f"{week.url}/nights/{DAY}/report.html")
    assert page.evaluate("getComputedStyle(document.querySelector('dl')).display") == "flex", "its styles are in force"
    page.goto(f"{week.url}/sign-in")
    page.fill("#name", "Vera")
    page.fill("#token", TOKEN)
    page.click("button.main")
    violations = {}
    for width in (1440, 1024, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for path in ("/nights", f"/nights/{DAY}"):
            page.goto(week.url + path)
            assert_nothing_sticks_out(page)
            if width != 1024:
                page.emulate_media(color_scheme="dark" if width == 390 else "light")
                violations |= axe_violations(page, f"{path} {width}", {})
            violations |= dict.fromkeys((f"{path} {fault}" for fault in scan_columns(page)), "columns")
    assert violations == {}
    page.fill("#note-text", "wind above 15 m/s")
    page.click(".note-form button")
    page.wait_for_url(f"**/nights/{DAY}#night-notes")
    assert "wind above 15 m/s" in page.inner_text("#night-notes")
    (note,) = week.store.nights.night(DAY).notes
    assert note.name.startswith("Vera at ")
    assert errors == []
    context.close()
