"""Lists of the API: their filters, their one style of paging, and their one style of time."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from observing_night import Night

from contimg.formats.records import to_plain
from contimg.instrument.time import mjd_to_unix
from contimg.settings import Settings
from contimg.settings.changes import change
from contimg.store import GroupFilter, ImageFilter, State, Store
from workers.scheduling.calibrator_tiles import CalibratorTiles

LISTS = {
    "/api/groups": "groups", "/api/queue": "groups", "/api/images": "images", "/api/calibrations": "calibrations",
    "/api/events/list": "events", "/api/alerts": "alerts", "/api/streaming/config/changes": "changes",
    "/api/maintenance": "silences",
}  # fmt: skip
Get = Callable[..., Any]


@pytest.fixture
def get(client: FlaskClient, full_night: Night) -> Get:
    return lambda path, **query: client.get(path, query_string=query).get_json()


def pages(get: Get, path: str, limit: int, **query: Any) -> Iterator[dict[str, Any]]:
    cursor: dict[str, str] = {}
    while True:
        page = get(path, limit=limit, **query, **cursor)
        yield page
        if page["next"] is None:
            return
        cursor = {"cursor": page["next"]}


def test_pages_hold_every_entry_once(get: Get, settings: Settings, store: Store) -> None:
    for number in range(8):
        change(settings, {"max_workers": number + 1}, "operator")
        store.alerts.update(f"rule {number}", "broken")
        store.silences.add(f"rule {number}", until=4e9, reason="test", by="operator")
    for path, name in LISTS.items():
        whole = get(path, limit=500)
        assert whole["next"] is None
        assert whole["total"] == len(whole[name])
        listed = list(pages(get, path, 7))
        assert [entry for page in listed for entry in page[name]] == whole[name]
        assert {page["total"] for page in listed} == {whole["total"]}
        assert all(len(page[name]) == 7 for page in listed[:-1])


def test_log_lines_of_one_time_are_on_one_page_each(get: Get, settings: Settings) -> None:
    directory = settings.state_dir / "logs"
    directory.mkdir(exist_ok=True)
    times = ["2026-02-22T03:04:05.000Z"] * 3 + ["2026-02-22T03:04:06.000Z"] * 2
    text = "".join(f"{time} INFO a.b line {number}\n" for number, time in enumerate(times))
    (directory / "producer.log").write_text(text, encoding="utf-8")
    messages = [line["message"] for page in pages(get, "/api/logs", 2, process="producer") for line in page["lines"]]
    assert sorted(messages) == [f"line {number}" for number in range(5)]


def test_wrong_cursor_is_refused(client: FlaskClient, full_night: Night) -> None:
    for path in (*LISTS, "/api/logs"):
        answer = client.get(path, query_string={"cursor": "yesterday"})
        assert answer.status_code == 400, path
        assert "cursor" in answer.get_json()["error"]


def test_groups_filter_by_state_and_time(get: Get, store: Store) -> None:
    groups = store.files.groups(limit=500)
    assert get("/api/groups", limit=500)["total"] == len(groups) == 17
    (failed,) = get("/api/groups", state="failed")["groups"]
    assert failed["id"] == next(group.id for group in groups if group.state == State.FAILED)
    since, until = groups[9].id, groups[3].id
    selected = get("/api/groups", since=f"{since}Z", until=f"{until}Z")
    assert [group["id"] for group in selected["groups"]] == [group.id for group in groups[4:10]]
    assert selected["total"] == 6
    assert get("/api/groups", since=groups[9].reference_s)["total"] == 10  # epoch seconds are a time, too


def test_groups_filter_incomplete_ones(get: Get, store: Store) -> None:
    incomplete = {group["id"] for group in get("/api/groups", limit=500, incomplete="true")["groups"]}
    complete = {group["id"] for group in get("/api/groups", limit=500, incomplete="false")["groups"]}
    groups = store.files.groups(limit=500)
    assert incomplete == {group.id for group in groups if group.partial or len(group.subbands) < 16}
    assert incomplete
    assert complete == {group.id for group in groups} - incomplete
    assert store.files.count_groups(GroupFilter(incomplete=True)) == len(incomplete)


@pytest.mark.parametrize("has_calibrator", [True, False])
def test_groups_filter_by_calibrator(
    get: Get, store: Store, has_calibrator: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third tile stands for one with a calibrator: where these are on the sky depends on the time of the test."""
    monkeypatch.setattr(
        CalibratorTiles,
        "have_calibrator",
        lambda _tiles, starts_s: [int(start_s) // 309 % 3 == 0 for start_s in starts_s],
    )
    listed = [
        group
        for page in pages(get, "/api/groups", 3, has_calibrator=str(has_calibrator).lower())
        for group in page["groups"]
    ]
    expected = [
        group.id
        for group in store.files.groups(limit=500)
        if (int(group.reference_s) // 309 % 3 == 0) == has_calibrator
    ]
    assert [group["id"] for group in listed] == expected
    assert {group["has_calibrator"] for group in listed} == {has_calibrator}
    assert get("/api/groups", has_calibrator=str(has_calibrator).lower())["total"] == len(expected)


def test_images_filter_by_grade_and_calibration(get: Get, store: Store) -> None:
    images = store.products.images(500)
    for grade in ("good", "suspect", "bad"):
        page = get("/api/images", grade=grade, limit=500)
        assert [image["id"] for image in page["images"]] == [image.id for image in images if image.verdict == grade]
        assert page["total"] == len(page["images"])
    plain = get("/api/images", calibrated="false")["images"]
    assert len(plain) == 2
    assert {image["calibration_set"] for image in plain} == {None}


def test_images_filter_by_time(get: Get, store: Store) -> None:
    images = store.products.images(500)
    since = datetime.fromtimestamp(mjd_to_unix(images[4].mjd) - 1).astimezone().isoformat()
    page = get("/api/images", since=since, limit=2)
    assert page["total"] == 5
    assert [image["id"] for image in page["images"]] == [images[0].id, images[1].id]
    assert get("/api/images", since=since[:4])["total"] == len(images)
    assert get("/api/images", until=since)["total"] == len(images) - 5


def test_images_filter_by_circle(get: Get, store: Store) -> None:
    images = store.products.images(500)
    ra_deg, dec_deg = images[0].ra_deg, images[0].dec_deg
    everywhere = get("/api/images", ra=ra_deg, dec=dec_deg, radius=180, limit=500)
    assert everywhere["total"] == len(images)
    near = get("/api/images", ra=ra_deg, dec=dec_deg, radius=0.01)
    assert images[0].id in {image["id"] for image in near["images"]}
    assert (
        near["total"] == store.products.list_images(ImageFilter(ra_deg=ra_deg, dec_deg=dec_deg, radius_deg=0.01)).total
    )


WRONG_FILTERS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"ra": 10}, "dec"),
    ({"ra": 10, "dec": 10, "radius": 200}, "radius"),
    ({"ra": 400, "dec": 1, "radius": 1}, "ra"),
    ({"grade": "best"}, "grade"),
    ({"since": "soon"}, "since"),
    ({"until": "2026-13-01"}, "until"),
    ({"calibrated": "perhaps"}, "calibrated"),
)


def test_wrong_filters_are_refused(client: FlaskClient, full_night: Night) -> None:
    for query, name in WRONG_FILTERS:
        answer = client.get("/api/images", query_string=query)
        assert answer.status_code == 400, query
        assert name in answer.get_json()["error"]


ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


TIME_NAME = re.compile(r"at|.*_(at|since)|not_before|last_heartbeat|last_update|valid_(from|until)")


def test_times_are_iso_in_utc(get: Get, store: Store) -> None:
    store.alerts.update("rule", "broken")
    store.silences.add(None, until=4e9, reason="test", by="operator")
    for path in (*LISTS, "/api/status", "/api/streaming/metrics"):
        times = [value for name, value in walk(get(path)) if TIME_NAME.fullmatch(name)]
        assert all(value is None or ISO_TIME.fullmatch(value) for value in times), path
        assert path.endswith("changes") or any(times), path


def test_chart_takes_and_answers_iso_times(get: Get, full_night: Night) -> None:
    chart = get("/api/history/noise", since="2026-01-01", until="2100-01-01T00:00:00Z")
    (line,) = chart["lines"]
    assert line["steps"]
    for step, point in zip(line["steps"], line["points"], strict=True):
        assert datetime.fromisoformat(step["at"]).timestamp() == pytest.approx(point[0], abs=1e-3)
        assert [step["mean"], step["minimum"], step["maximum"]] == point[1:]


def test_one_model_for_api_and_command_line(get: Get, store: Store) -> None:
    image = store.products.images(1)[0]
    assert to_plain(image) == get(f"/api/images/{image.id}")
    assert to_plain([image]) == get("/api/images", limit=1)["images"]
    caltable_set = store.registry.sets(1)[0]
    assert to_plain(caltable_set) == get(f"/api/calibrations/{caltable_set.name}")


def test_single_caltable_set(client: FlaskClient, full_night: Night, store: Store) -> None:
    (stored,) = store.registry.sets()
    answer = client.get(f"/api/calibrations/{stored.name}").get_json()
    assert [table["path"] for table in answer["tables"]] == [str(table.path) for table in stored.tables]
    assert answer["in_force"] is True
    assert datetime.fromisoformat(answer["observed_at"]).timestamp() == pytest.approx(mjd_to_unix(stored.mjd), abs=1e-3)
    assert client.get("/api/calibrations/none-of-this-name").status_code == 404


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield name, member
            yield from walk(member)
    elif isinstance(value, list):
        for member in value:
            yield from walk(member)
