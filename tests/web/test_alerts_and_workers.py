"""Alerts, workers, the backlog and the disks' watermarks: on the pages, in the API, and what a dead broker costs."""

import re
import threading
import time

import pytest
from celery_words import everybody
from flask import Flask
from flask.testing import FlaskClient
from observing_night import Night
from running_service import RunningService
from test_panel_page import page

from contimg.settings import AlertLimits, DiskLimits, DispatchSettings, Settings
from contimg.settings.alerts import RULE_LEVELS, alert_rules
from contimg.store import Store
from web import create_app
from web.activity.history import check_scan
from web.context import EXTENSION, Panel
from workers.inspection import CeleryInspector, Inspection, Worker

DEAD = "redis://127.0.0.1:1/0"


def panel_with(settings: Settings, store: Store, service: RunningService, inspection: Inspection) -> FlaskClient:
    app = create_app(settings, store, service, inspect=lambda: inspection, fresh_s=0.0)
    panel: Panel = app.extensions[EXTENSION]
    while panel.inspector.latest() is None:
        time.sleep(0.001)
    return app.test_client()


def test_alert_is_shown_on_pages_and_in_api(client: FlaskClient, night: Night) -> None:
    night.store.alerts.update("stall", "stall: 3 groups wait", level="error")
    (alert,) = night.store.alerts.active()
    assert re.search(r"stall .*3 groups wait", page(client).section(f"alert-{alert.id}"))
    html = client.get("/alerts").text
    assert re.search(r'class="on error">.*?stall: 3 groups wait.*?CONTIMG_STALL_S', html, re.DOTALL)
    answer = client.get("/api/alerts").get_json()
    assert [(alert["rule"], alert["ended_at"]) for alert in answer["on"]] == [("stall", None)]
    assert answer["alerts"] == answer["on"]
    night.at += 90
    night.store.alerts.update("stall", None)
    assert "stall" not in page(client).section("attention")
    assert client.get("/api/alerts").get_json()["on"] == []
    assert re.search(r">90 s</td><td[^>]*>stall</td>", client.get("/alerts").text)


def test_alerts_are_paged(client: FlaskClient, night: Night) -> None:
    for number in range(5):
        night.store.alerts.update("disk", f"disk: {number}")
        night.store.alerts.update("disk", None)
    first = client.get("/api/alerts?limit=3").get_json()
    rest = client.get(f"/api/alerts?limit=3&before={first['next_before']}").get_json()
    assert [alert["text"][-1] for alert in first["alerts"] + rest["alerts"]] == ["4", "3", "2", "1", "0"]
    assert rest["next_before"] is None
    following = re.search(r'rel="next" href="([^"]+)"', client.get("/alerts?limit=3").text)
    assert following
    assert "disk: 0" in client.get(following[1].replace("&amp;", "&")).text
    page_of_cursor = client.get(f"/alerts?limit=3&cursor={first['next']}").text
    assert "disk: 0" in page_of_cursor
    assert "disk: 4" not in page_of_cursor


def test_alert_rules_show_limits(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTIMG_STALL_S", "777")
    monkeypatch.setenv("CONTIMG_ALERT_FAILURES", "0")
    rules = {rule["name"]: rule for rule in client.get("/api/alerts").get_json()["rules"]}
    assert set(rules) == set(RULE_LEVELS)
    assert "777 s" in rules["stall"]["about"]
    assert rules["failures"]["off"]
    assert not rules["stall"]["off"]
    monkeypatch.setenv("CONTIMG_STALL_S", "soon")
    assert client.get("/api/alerts").get_json()["rules"] == []
    assert client.get("/alerts").status_code == 200


def test_rules_name_existing_settings() -> None:
    named = {rule.setting for rule in alert_rules(DispatchSettings(), DiskLimits(), AlertLimits(), 30.0)}
    sections = (DispatchSettings, DiskLimits, AlertLimits)
    fields = {variable for section in sections for variable in section.variables().values()}
    of_deployment = {
        "CONTIMG_ARCHIVE_PLACES", "CONTIMG_BROKER_URL", "CONTIMG_NOTIFY_URLS", "CONTIMG_REFERENCE_CATALOGUE",
    }  # fmt: skip
    assert named - fields == {"poll_interval", ""} | of_deployment


@pytest.mark.long
@pytest.mark.usefixtures("full_night")
def test_panel_raises_scan_alert(app: Flask, store: Store, night: Night) -> None:
    panel: Panel = app.extensions[EXTENSION]
    check_scan(panel)
    assert store.alerts.active() == ()
    night.at = time.time() - 400
    night.store.activity.beat("producer.scan")
    check_scan(panel)
    (alert,) = store.alerts.active()
    assert (alert.rule, alert.level) == ("scan", "error")
    assert re.search(r"\b7 min\b", alert.text)
    night.at = time.time()
    night.store.activity.beat("producer.scan")
    check_scan(panel)
    assert store.alerts.active() == ()


def test_workers_link_to_flower(settings: Settings, store: Store, service: RunningService) -> None:
    with_flower = Settings(state_dir=settings.state_dir, flower_url="http://tunnel.example/flower/")
    shown = page(panel_with(with_flower, store, service, everybody())).html
    for address in ("/", "/broker", "/worker/image@lwacalim07"):
        assert f'href="http://tunnel.example/flower{address}"' in shown


def test_workers_and_queues_are_listed(client: FlaskClient) -> None:
    words = page(client).section("workers")
    assert re.search(r"\bimage lwacalim07\D*\b1\D+1\D+41\D+0\b", words)
    assert re.search(r"\bconvert lwacalim07\D*\b0\D+1\D+41\D+2\b", words)
    answer = client.get("/api/workers").get_json()
    assert [worker["name"] for worker in answer["workers"]] == [
        "convert@lwacalim07", "calibrate@lwacalim07", "image@lwacalim07",
    ]  # fmt: skip
    assert answer["unserved"] == []


def test_unserved_queue_is_listed(settings: Settings, store: Store, service: RunningService) -> None:
    inspection = Inspection(time.time(), (Worker("convert@a", ("convert",), 2, 2, 0, None),), {})
    client = panel_with(settings, store, service, inspection)
    section = page(client).html.split('id="workers"')[1].split("</section>")[0]
    assert section.count('class="silent"') == 2
    assert client.get("/api/workers").get_json()["unserved"] == ["calibrate", "image"]


def test_pages_do_not_wait_for_dead_broker(settings: Settings, store: Store, service: RunningService) -> None:
    inspector, is_drawn = CeleryInspector(), threading.Event()

    def slowly() -> Inspection:
        # A broker whose machine is off answers nothing at all. A page that waited for it would see its answer.
        is_drawn.wait(60)
        return inspector.inspect(DEAD)

    app = create_app(settings, store, service, inspect=slowly, fresh_s=0.0)
    client = app.test_client()
    for _ in range(5):
        assert client.get("/").status_code == 200
    panel: Panel = app.extensions[EXTENSION]
    assert panel.inspector.latest() is None
    is_drawn.set()
    while panel.inspector.latest() is None:
        time.sleep(0.01)
    assert "127.0.0.1:1" in page(client).section("workers")


def test_backlog_shows_catch_up_time(client: FlaskClient, night: Night) -> None:
    assert "Backlog 0 groups" in page(client).section("rates")
    waiting = []
    night.at -= 1800
    for number in range(6):
        waiting.append(night.files(at=night.at + 309 * number))
    assert "Backlog 6 groups" in page(client).section("rates")
    night.at += 1700
    for group in waiting[:3]:
        night.finish(group)
    night.at = time.time()
    assert re.search(r"\bBacklog 3 groups\b.*\b15 min\b", page(client).section("rates"))
    metrics = client.get("/api/streaming/metrics").get_json()
    assert (metrics["backlog"], metrics["catch_up_s"]) == (3, pytest.approx(900))


def test_disk_bars_show_limits(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTIMG_DISK_HIGH_PERCENT", "80")
    monkeypatch.setenv("CONTIMG_DISK_LOW_PERCENT", "0")
    shown = page(client)
    assert re.search(r"\b80 %.*\b0 %", shown.section("machine"))
    marks = [attributes["x"] for tag, attributes in shown.tags if attributes.get("class") == "watermark"]
    assert set(marks) == {"-0.4", "79.6"}
    assert re.search(r'class="part (high|over)"', shown.html)  # every disk is fuller than 0 %
