"""Pages of groups, images, sky, calibration, history, logs: they show what the store holds and the address selects."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from observing_night import Night, samples
from signing_in import csrf_of, sign_in
from store_steps import metric_values

from contimg.settings import Settings
from contimg.store import Stage, State, Store
from web.http.parameters import parse_time_span
from web.pages.filters import percent, position, size
from web.tiles.timeline import Timeline

PAGES = (
    "/groups",
    "/images",
    "/sky",
    "/sky?view=all",
    "/calibration",
    "/history",
    "/logs",
    "/events",
    "/alerts",
    "/configuration",
)


@pytest.mark.parametrize("path", PAGES)
def test_pages_of_empty_store(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.text.count("<h1") == 1
    assert 'aria-current="page"' in answer.text
    assert "style=" not in answer.text


def listed(html: str) -> list[str]:
    return re.findall(r'<tr [^>]*id="group-([^"]+)"', html)


def test_group_table_is_paged_filtered_and_sorted(client: FlaskClient, full_night: Night, store: Store) -> None:
    every = [group.id for group in store.files.groups(limit=500)]
    assert len(every) == 17
    shown, path = [], "/groups?limit=5"
    for _ in range(4):
        html = client.get(path).text
        shown += listed(html)
        following = re.search(r'rel="next" href="([^"]+)"', html)
        if not following:
            break
        path = following[1].replace("&amp;", "&")
    assert shown == every
    assert listed(client.get("/groups?ascending=true").text) == every[::-1]
    changed = listed(client.get("/groups?order=updated&limit=500").text)
    times = [next(group.updated_at for group in store.files.groups(limit=500) if group.id == name) for name in changed]
    assert times == sorted(times, reverse=True)
    assert len(listed(client.get("/groups?state=failed").text)) == 1
    hour = every[3][:13]
    assert listed(client.get(f"/groups?observed={hour}").text) == [group for group in every if group.startswith(hour)]
    assert listed(client.get("/groups?partial=true").text) == []


@pytest.mark.parametrize(
    "query", ["observed=soon", "observed=2026-13", "after=x", "after=nan~a", "limit=0", "state=x", "q=1"]
)
def test_wrong_table_parameters_are_refused(client: FlaskClient, query: str) -> None:
    assert client.get(f"/groups?{query}").status_code == 400


def test_group_page(client: FlaskClient, full_night: Night, store: Store) -> None:
    (failed,) = store.files.groups(State.FAILED)
    html = client.get(f"/groups/{failed.id}").text
    assert "declination differs between subbands" in html
    assert html.count('<li class="present"') == 16
    assert "lwacalim07" in html
    done = next(group for group in store.files.groups(limit=500) if group.state == State.COMPLETED)
    html = client.get(f"/groups/{done.id}").text
    for words in ("6.4 s", "31 s", "9.7 s", "1.60 GB", "8.3 %", "145 MB"):
        assert words in html
    assert client.get("/groups/nothing").status_code == 404


def test_group_page_retries_and_discards(client: FlaskClient, full_night: Night, store: Store) -> None:
    (failed,) = store.files.groups(State.FAILED)
    path = f"/groups/{failed.id}"
    assert client.post(f"{path}/retry", data={"confirmed": "1"}).status_code == 401
    sign_in(client)
    data = {"csrf": csrf_of(client), "stage": "convert"}
    assert 'name="confirmed" value="1"' in client.post(f"{path}/retry", data=data).text
    assert store.files.group(failed.id).state == State.FAILED  # type: ignore[union-attr]
    client.post(f"{path}/retry", data={**data, "confirmed": "1"})
    assert store.files.group(failed.id).state == State.PENDING  # type: ignore[union-attr]
    client.post(f"{path}/discard", data={**data, "confirmed": "1"})
    assert store.files.group(failed.id).state == State.DISCARDED  # type: ignore[union-attr]
    texts = [event.text for event in store.events.last(4, group=failed.id) if "Vera" in event.text]
    assert len(texts) == 2
    assert re.search(r"(?i)discard.*127\.0\.0\.1", texts[0])
    assert re.search(r"(?i)retry.*127\.0\.0\.1", texts[1])


def test_timeline_is_to_scale(full_night: Night, store: Store) -> None:
    done = next(group for group in store.files.groups(limit=500) if group.state == State.COMPLETED)
    timeline = Timeline.draw(done, store.jobs.runs(done.id), store.files.of_group(done.id), full_night.at)
    widths = {stage: bars[0].width for stage, bars in timeline.bars}
    assert widths[Stage.CALIBRATE] / widths[Stage.CONVERT] == pytest.approx(31.0 / 6.4, rel=1e-3)
    last = timeline.bars[-1][1][-1]
    assert last.x + last.width == pytest.approx(1000)
    assert timeline.bars[1][1][0].waited_s == pytest.approx(0, abs=1e-3)


def test_gallery_pages_and_neighbours(client: FlaskClient, full_night: Night, store: Store) -> None:
    first = client.get("/images?limit=5").text
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = client.get(following[1].replace("&amp;", "&")).text
    ids = [int(image_id) for image_id in re.findall(r'<li id="image-(\d+)-', first + second)]
    assert ids[:10] == [image.id for image in store.products.images(10)]
    suspect = re.findall(r'<li id="image-(\d+)-', client.get("/images?verdict=suspect").text)
    assert len(suspect) == 2
    newest, older = store.products.images(2)
    html = client.get(f"/images/{newest.id}").text
    assert f'rel="prev" href="/images/{older.id}"' in html
    assert 'rel="next"' not in html
    assert "3C48_2026-02-22" in html
    assert client.get(f"/images/{older.id}.pb.fits").status_code == 404
    assert client.get("/images/99999").status_code == 404


def test_set_is_retired_with_reason(client: FlaskClient, full_night: Night, store: Store) -> None:
    name = "3C48_2026-02-22"
    home = store.registry.set_named(name).tables[0].path.parent  # type: ignore[union-attr]
    home.mkdir(parents=True, exist_ok=True)
    store.products.images(1)[0].png_path.rename(home / "phase.png")  # type: ignore[union-attr]
    try:
        assert client.get(f"/api/calibrations/{name}/phase.png").data.startswith(b"\x89PNG")
        assert f"/api/calibrations/{name}/phase.png" in client.get("/calibration").text
    finally:
        (home / "phase.png").rename(store.products.images(1)[0].png_path)  # type: ignore[arg-type]
    assert client.get(f"/api/calibrations/{name}/amplitude.png").status_code == 404
    assert client.get(f"/api/calibrations/{name}/set.png").status_code == 404
    sign_in(client)
    data = {"csrf": csrf_of(client), "reason": "antenna 103 was off"}
    assert 'name="confirmed" value="1"' in client.post(f"/calibration/{name}/retire", data=data).text
    client.post(f"/calibration/{name}/retire", data={**data, "confirmed": "1"})
    retired = store.registry.set_named(name)
    assert retired is not None
    assert re.search(r"^antenna 103 was off.*\bVera\b.*127\.0\.0\.1", retired.retired)
    assert not retired.in_force


@pytest.mark.parametrize("path", ["/etc", "/etc/passwd", "products/../../etc", "../..", "--help"])
def test_import_only_from_output_and_scratch(client: FlaskClient, operator: dict[str, str], path: str) -> None:
    answer = client.post("/api/calibrations/import", json={"tables": [path]}, headers=operator)
    assert answer.status_code == 400
    assert all(key in answer.get_json()["error"] for key in ("output_dir", "scratch_dir"))


def test_chart_values_agree_with_store(client: FlaskClient, night: Night, store: Store) -> None:
    end = night.at
    samples(night, hours=2, step_s=60)
    query = f"since={end - 7200}&until={end}&points=12"
    chart = client.get(f"/api/history/cpu?{query}").get_json()
    assert [line["name"] for line in chart["lines"]] == ["stream", "machine"]
    points = chart["lines"][0]["points"]
    assert len(points) == 12
    raw = metric_values(store, "service.cpu_percent")
    assert points[0][1] == pytest.approx(np.mean(raw[:10]))
    assert points[0][2:] == pytest.approx([min(raw[:10]), max(raw[:10])])
    assert points[0][0] == pytest.approx(end - 7200 + 300)
    assert client.get("/api/history/tides?since=0&until=1").status_code == 404
    for wrong in ("since=5&until=5", "since=-1&until=5", "since=0&until=inf", "since=0", "since=0&until=9&points=1e9"):
        assert client.get(f"/api/history/cpu?{wrong}").status_code == 400


@pytest.fixture
def logs(settings: Settings) -> Path:
    directory = settings.state_dir / "logs"
    directory.mkdir()
    group = "2026-02-22T03:04:05"
    (directory / "convert.log").write_text(
        f"2026-02-22T03:05:00.000Z INFO workers.execution.attempt [{group} convert] began\n"
        f"2026-02-22T03:05:09.000Z ERROR workers.execution.attempt [{group} convert] broke\n"
        "Traceback (most recent call last):\n"
        '  File "x.py", line 1\nValueError: no\n'
    )
    line = {"time": "2026-02-22T03:05:05.000Z", "level": "WARNING", "logger": "a.b", "message": "<b>slow</b>",
            "group": group, "stage": "image", "task": "t-1"}  # fmt: skip
    (directory / "image.log").write_text(json.dumps(line) + "\nsomething else\n")
    (directory / "secret.txt").write_text("no log")
    return directory


def test_logs_are_merged_and_filtered(client: FlaskClient, logs: Path) -> None:
    def lines(query: str = "") -> list[str]:
        return [line["message"].splitlines()[0] for line in client.get(f"/api/logs{query}").get_json()["lines"]]

    everything = lines()
    assert set(everything) == {"broke", "<b>slow</b>", "began", "something else"}
    assert [message for message in everything if message in ("broke", "<b>slow</b>", "began")] == [
        "broke",
        "<b>slow</b>",
        "began",
    ]
    whole = client.get("/api/logs?level=ERROR").get_json()["lines"][0]["message"]
    assert whole.endswith('File "x.py", line 1\nValueError: no')
    assert lines("?level=WARNING") == ["broke", "<b>slow</b>"]
    assert lines("?stage=image&level=INFO") == ["<b>slow</b>"]
    assert lines("?task=t-1") == ["<b>slow</b>"]
    assert lines("?group=2026-02-22T03:04:05&process=convert") == ["broke", "began"]
    assert lines("?text=SLOW") == ["<b>slow</b>"]
    assert lines("?host=elsewhere") == []
    assert len(lines("?limit=2")) == 2
    html = client.get("/logs").text
    assert "<b>slow" not in html
    assert "&lt;b&gt;slow" in html
    assert client.get("/api/logs/convert.log").data == (logs / "convert.log").read_bytes()
    for path in ("/api/logs/secret.txt", "/api/logs/secret.log", "/api/logs/..%2fcontimg.log", "/api/logs/%2e%2e.log"):
        assert client.get(path).status_code == 404
    assert client.get("/api/logs?process=../../etc/passwd").status_code == 400


def test_long_log_is_read_from_end(client: FlaskClient, logs: Path) -> None:
    text = "".join(
        f"2026-02-22T04:{n // 600 % 60:02d}:{n // 10 % 60:02d}.{n % 10}00Z INFO a line {n}\n" for n in range(36000)
    )
    (logs / "convert.log").write_text(text)
    newest = client.get("/api/logs?process=convert&limit=2000").get_json()["lines"]
    assert [line["message"] for line in newest] == [f"line {n}" for n in range(35999, 33999, -1)]


def test_events_are_paged_by_level(client: FlaskClient, store: Store) -> None:
    for n in range(30):
        store.events.add(f"thing {n}", level="warning" if n % 3 == 0 else "info")
    html = client.get("/events?level=warning&limit=4").text
    assert re.findall(r"thing (\d+)", html) == ["27", "24", "21", "18"]
    following = re.search(r'rel="next" href="([^"]+)"', html)
    assert following
    assert re.findall(r"thing (\d+)", client.get(following[1].replace("&amp;", "&")).text)[0] == "15"


def test_formats_of_sizes_directions_and_times() -> None:
    assert (size(None), size(512), size(144_973_824), size(2.3e9)) == ("–", "512 B", "145 MB", "2.30 GB")
    assert percent(0.0834) == "8.3 %"
    assert position(24.422080962, 33.159759164) == "01h37m41.3s +33°09′35″"
    assert position(359.99999, -0.5) == "00h00m00.0s −00°30′00″"
    assert parse_time_span("2026-12") == (1796083200.0, 1798761600.0)
    assert parse_time_span("2026-02-22T03") == (1771729200.0, 1771732800.0)
