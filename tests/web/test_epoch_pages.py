"""Epochs and mosaics in the API and on the pages."""

from dataclasses import replace

import pytest
from epoch_steps import MOSAIC
from flask.testing import FlaskClient
from observing_night import Night

from contimg.store import EpochMosaic, Lease, Stage, Store


@pytest.fixture
def mosaic_epoch(night: Night, store: Store) -> str:
    """Key of an epoch of two tiles with its mosaic; its files are on disk."""
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
            "thumbnail_path": "thumb.png",
        }.items()
    }  # fmt: skip
    for path in paths.values():
        path.write_bytes(path.name.encode())
    store.leases.commit(lease, [EpochMosaic(replace(MOSAIC, **paths), store.epochs.tiles(job.job_id))])
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


def test_page_without_epoch(client: FlaskClient) -> None:
    assert client.get("/epochs").status_code == 200
