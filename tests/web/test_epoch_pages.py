"""Epochs and mosaics in the API and on the pages."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from epoch_steps import MOSAIC
from flask.testing import FlaskClient
from observing_night import COMPARISON, Night
from store_steps import commit

from contimg.store import EpochMosaic, Lease, Stage, State, Store
from contimg.store.epochs.mosaics import CalendarEpoch
from web.streaming.epoch_calendar import arrange_epochs


@pytest.fixture
def mosaic_epoch(night: Night, store: Store) -> str:
    """Key of an epoch of two tiles with its mosaic, which is not compared; its files are on disk."""
    return make_epoch(night, store)


@pytest.fixture
def compared_epoch(night: Night, store: Store) -> str:
    """Key of an epoch whose mosaic is compared with a catalogue."""
    return make_epoch(night, store, **COMPARISON, catalogue_flux_ratio=0.957)


def make_epoch(night: Night, store: Store, **numbers: Any) -> str:
    """Make an epoch of two tiles and its mosaic with some numbers."""
    for _ in range(2):
        night.tile(calibrated="3C48")
        night.at += 309
    job = next(
        epoch for epoch in store.epochs.list_epochs().epochs if epoch.tile_count == 2
    )  # both are in at least one of the windows that half overlap
    store.jobs.discard(job.job_id)
    store.jobs.retry(job.job_id)
    lease = store.leases.claim(job.job_id, Stage.MOSAIC, "worker")
    assert isinstance(lease, Lease)
    directory = night.output / "mosaics"
    directory.mkdir()
    paths = {
        name: directory / f"{job.id}.{end}"
        for name, end in {
            "fits_path": "fits", "weight_fits_path": "weight.fits", "rms_fits_path": "rms.fits", "png_path": "png",
            "thumbnail_path": "thumb.png", "comparison_png_path": "comparison.png",
        }.items()
        if numbers or name != "comparison_png_path"
    }  # fmt: skip
    for path in paths.values():
        path.write_bytes(path.name.encode())
    store.leases.commit(lease, [EpochMosaic(replace(MOSAIC, **paths, **numbers), store.epochs.tiles(job.job_id))])
    commit(store, job.job_id, Stage.MEASURE)
    return job.id


def test_api_lists_epochs_and_mosaics(client: FlaskClient, mosaic_epoch: str, operator: dict[str, str]) -> None:
    listed = {epoch["id"]: epoch for epoch in client.get("/api/epochs").get_json()["epochs"]}
    assert (listed[mosaic_epoch]["state"], listed[mosaic_epoch]["tile_count"]) == ("completed", 2)
    mosaic = client.get("/api/mosaics").get_json()["mosaics"][0]
    assert (mosaic["epoch"], mosaic["rms_jy"], mosaic["verdict"]) == (mosaic_epoch, 0.0002, "good")
    assert client.get(f"/api/mosaics/{mosaic['id']}").get_json() == mosaic
    for url in (mosaic["fits_url"], mosaic["weight_fits_url"], mosaic["rms_fits_url"], mosaic["png_url"]):
        answer = client.get(url)
        assert (answer.status_code, answer.data.startswith(mosaic_epoch.encode())) == (200, True)
    assert client.get(f"/api/mosaics/{mosaic['id']}.qa.png").status_code == 404
    assert client.get("/api/mosaics/99").status_code == 404
    queue = client.get("/api/streaming/mosaic-queue").get_json()
    assert queue["collecting"] == len(queue["epochs"]) == len(listed) - 1
    assert client.post(f"/api/epochs/{mosaic_epoch}/retry").status_code == 401
    assert client.post(f"/api/epochs/{mosaic_epoch}/retry", headers=operator).get_json()["state"] == "pending"
    assert client.post(f"/api/epochs/{mosaic_epoch}/retry", headers=operator).status_code == 409
    assert client.get("/api/epochs/2026-02-22_L0130_D+163").status_code == 404


def test_pages_lead_from_images_to_mosaics_and_between_epochs(client: FlaskClient, mosaic_epoch: str) -> None:
    groups = client.get("/api/groups").get_json()["groups"]
    image = client.get(f"/api/groups/{groups[0]['id']}").get_json()["image"]["id"]
    listed = client.get(f"/api/mosaics?image={image}").get_json()
    assert ([mosaic["epoch"] for mosaic in listed["mosaics"]], listed["total"]) == ([mosaic_epoch], 1)
    assert client.get("/api/mosaics?image=99").get_json()["mosaics"] == []
    address = f'href="/epochs/{mosaic_epoch}"'
    for page in (f"/images/{image}", f"/groups/{groups[0]['id']}"):
        assert address in client.get(page).text.replace("%2B", "+")
    keys = sorted(epoch["id"] for epoch in client.get("/api/epochs").get_json()["epochs"])
    assert len(keys) > 1
    texts = [client.get(f"/epochs/{key}").text.replace("%2B", "+") for key in keys]
    for number, text in enumerate(texts):
        links = [re.search(rf'rel="{relation}"[^>]* href="/epochs/([^"]+)"', text) for relation in ("prev", "next")]
        beside = [match[1] if match else None for match in links]
        assert beside == [keys[number - 1] if number else None, keys[number + 1] if number + 1 < len(keys) else None]


def test_epoch_leads_to_its_window_on_other_days(client: FlaskClient, night: Night, store: Store) -> None:
    """Two tiles a sidereal day apart are in the same windows; a tile of another time is in others."""
    for elapsed_s in (0.0, 86164.1 - 309.0, 7200.0):
        night.at += elapsed_s
        night.tile()
    keys = [epoch.id for epoch in reversed(store.epochs.list_epochs().epochs)]
    first = keys[0]
    (second,) = [key for key in keys[1:] if key.split("_")[1:] == first.split("_")[1:]]
    assert f'href="/epochs/{second}">Same window, day after' in client.get(f"/epochs/{first}").text.replace("%2B", "+")
    assert f'href="/epochs/{first}">← Same window' in client.get(f"/epochs/{second}").text.replace("%2B", "+")


def test_pages_show_epochs(client: FlaskClient, mosaic_epoch: str) -> None:
    calendar = client.get("/epochs")
    assert calendar.status_code == 200
    assert f"/epochs/{mosaic_epoch}" in calendar.text.replace("%2B", "+")
    page = client.get(f"/epochs/{mosaic_epoch}")
    assert page.status_code == 200
    assert "a.fits" in page.text
    assert client.get("/epochs/2026-02-22_L0130_D+163").status_code == 404
    assert client.get("/events").status_code == 200
    assert client.get("/").status_code == 200


def shown_comparison(client: FlaskClient, epoch: str) -> str:
    section = re.search(
        r'<section class="card comparison".*?</section>', client.get(f"/epochs/{epoch}").text, re.DOTALL
    )
    assert section
    return " ".join(re.sub(r"<[^>]+>", " ", section[0]).split())


def test_comparison_of_a_mosaic_is_in_api_page_and_plots(client: FlaskClient, compared_epoch: str) -> None:
    mosaic = client.get("/api/mosaics").get_json()["mosaics"][0]
    assert {name: mosaic[name] for name in COMPARISON} == json.loads(json.dumps(COMPARISON))
    text = shown_comparison(client, compared_epoch)
    for part in ("nvss", "0.957 ± 0.008", "+1.30″ east, −0.40″ north, ± 0.15″", "12 to 25 24 0.951 ± 0.021", "52 96"):
        assert part in text
    answer = client.get(f"/api/mosaics/{mosaic['id']}.comparison.png")
    assert (answer.status_code, answer.mimetype) == (200, "image/png")
    assert f"/api/mosaics/{mosaic['id']}.comparison.png" in client.get(f"/epochs/{compared_epoch}").text


def test_mosaic_without_comparison_is_named_so(client: FlaskClient, mosaic_epoch: str) -> None:
    assert "not compared" in shown_comparison(client, mosaic_epoch)
    mosaic = client.get("/api/mosaics").get_json()["mosaics"][0]
    assert (mosaic["catalogue_name"], mosaic["comparison_png_path"]) == (None, None)
    assert client.get(f"/api/mosaics/{mosaic['id']}.comparison.png").status_code == 404


def test_calendar_has_windows_by_days() -> None:
    """Rows by sidereal time, columns by day, the latest first, also without an epoch; strips where they differ."""
    day_s = 20506 * 86400.0  # 2026-02-22
    epochs = [
        CalendarEpoch("2026-02-20_L0130_D+163", day_s - 2 * 86400 + 60, State.COMPLETED, "suspect", 12),
        CalendarEpoch("2026-02-22_L0030_D+163", day_s + 60, State.COLLECTING, "good", 11),  # reopened
        CalendarEpoch("2026-02-22_L0130_D-021", day_s + 7200, State.IN_PROGRESS, None, 0),
        CalendarEpoch("2026-02-22b_L0030_D+163", day_s + 86200, State.FAILED, None, 0),
    ]
    calendar = arrange_epochs(epochs, day_s + 86400)
    days = [(day.date, day.weekday, day.completed, day.total) for day in calendar.days]
    assert days == [("2026-02-22", "Sun", 1, 3), ("2026-02-21", "Sat", 0, 0), ("2026-02-20", "Fri", 1, 1)]
    cells = {
        row.lst: [[(entry.text, entry.strip, entry.tile_count) for entry in cell] for cell in row.cells]
        for row in calendar.rows
    }
    assert cells == {
        "00:30": [[("collecting", "", 11), ("failed", "", 0)], [], []],
        "01:30": [[("in progress", "−2.1°", 0)], [], [("suspect", "", 12)]],
    }
    assert calendar.strip == "+16.3°"
    assert arrange_epochs([], day_s).rows == ()


def test_calendar_of_the_store_counts_tiles(client: FlaskClient, store: Store, mosaic_epoch: str) -> None:
    listed = {epoch.id: epoch for epoch in store.mosaics.calendar(0.0, 4e9)}
    epoch = listed.pop(mosaic_epoch)
    assert (epoch.state, epoch.grade, epoch.tile_count) == (State.COMPLETED, "good", 2)
    assert all((epoch.state, epoch.grade, epoch.tile_count) == (State.COLLECTING, None, 0) for epoch in listed.values())
    assert listed
    html = client.get("/epochs").text
    assert re.search(
        r'<a class="good" href="[^"]+"[^>]*><b>good</b>\s*<span>2<span class="hidden"> tiles</span></span>', html
    )
    assert "collecting</span> <b>" in html


def test_page_without_epoch(client: FlaskClient) -> None:
    assert client.get("/epochs").status_code == 200
