"""Campaigns on the pages of the panel and in its API."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign_steps import create_campaign, image_campaign, image_tiles
from flask.testing import FlaskClient
from store_play import RULES, Clock, Telescope

from contimg.settings import Settings
from contimg.store import Store
from web import create_app

TOKEN = "a token of the tests"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store.sqlite3", RULES, clock=Clock())
    yield opened
    opened.close()


@pytest.fixture
def client(tmp_path: Path, store: Store) -> FlaskClient:
    return create_app(Settings(state_dir=tmp_path / "state", token=TOKEN), store).test_client()


@pytest.fixture
def groups(store: Store) -> list[str]:
    """Three tiles and a campaign of them, of which one is imaged."""
    tiles = image_tiles(Telescope(store), 3)
    create_campaign(store)
    image_campaign(store, limit=1)
    return tiles


def test_api_has_progress_and_comparison(client: FlaskClient, groups: list[str]) -> None:
    (campaign,) = client.get("/api/campaigns").json["campaigns"]
    assert (campaign["name"], campaign["state"], campaign["tiles"], campaign["done"]) == ("deep", "running", 3, 1)
    assert client.get("/api/campaigns/deep").json["preset"] == {"CONTIMG_IMAGE_SIZE": "3000"}
    comparison = client.get("/api/campaigns/deep/comparison").json
    assert comparison["noise_ratio"] == 0.5
    assert [tile["group"] for tile in comparison["tiles"]] == groups
    assert [tile["grade_change"] for tile in comparison["tiles"]] == ["", "", "better"]
    assert client.get("/api/campaigns/none").status_code == 404
    assert [preset["name"] for preset in client.get("/api/campaigns/presets").json["presets"]] == [
        "quick", "survey", "deep",
    ]  # fmt: skip
    assert len(client.get("/api/images?processing=deep").json["images"]) == 1
    assert len(client.get("/api/images").json["images"]) == 3


def test_commands_need_a_token(client: FlaskClient, store: Store, groups: list[str]) -> None:
    assert client.post("/api/campaigns/deep/pause").status_code == 401
    assert client.post("/api/campaigns/deep/pause", headers=OPERATOR).json["state"] == "paused"
    assert client.post("/api/campaigns/deep/pause", headers=OPERATOR).status_code == 409
    assert client.post("/api/campaigns/deep/promote", headers=OPERATOR).status_code == 409
    assert client.post("/api/campaigns/deep/cancel", headers=OPERATOR).json["state"] == "cancelled"
    assert client.post("/api/campaigns/deep/promote", headers=OPERATOR).json["state"] == "promoted"
    assert client.post("/api/campaigns/before-deep/drop", headers=OPERATOR).status_code == 200
    assert [campaign.name for campaign in store.campaigns.campaigns().campaigns] == ["deep"]


def test_pages_show_campaigns(client: FlaskClient, groups: list[str]) -> None:
    table = client.get("/campaigns", headers=OPERATOR).text
    assert 'href="/campaigns/deep"' in table
    page = client.get("/campaigns/deep", headers=OPERATOR).text
    for text in (*groups, "2.000", "1.000", "0.500", "CONTIMG_IMAGE_SIZE=3000"):
        assert text in page
    assert 'action="/campaigns/deep/pause"' in page
    assert client.get("/campaigns/none", headers=OPERATOR).status_code == 404
