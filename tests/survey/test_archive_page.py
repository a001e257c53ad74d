"""The archive's page and API: the numbers of the store, places that are away, a scan for accessibility."""

import pytest
from archived_night import NIGHT
from flask.testing import FlaskClient

from contimg.survey.archive.places import MARKER
from web import create_app


@pytest.fixture
def client(night) -> FlaskClient:
    app = create_app(night.settings, night.store, fresh_s=0.0)
    return app.test_client()


def test_api_and_page_show_copies_places_and_problems(night, client, flip):
    assert client.get("/api/archive").get_json()["places"][0]["state"] == "not checked yet"
    night.run()
    flip(night.vault / "images" / night.image().name)
    night.clock.advance(31 * 86400)
    night.run(audits=True)
    answer = client.get("/api/archive", query_string={"nights": 1}).get_json()
    vault, attic = answer["places"]
    assert (vault["copies"]["verified"], vault["copies"]["corrupt"], attic["copies"]["verified"]) == (15, 1, 6)
    assert answer["nights"] == [
        {"night": NIGHT, "files": 16, "size_bytes": 78000, "verified": {"attic": 6, "vault": 15},
         "unverified": {"attic": 0, "vault": 1}}
    ]  # fmt: skip
    (problem,) = answer["problems"]
    assert (problem["path"], problem["place"], problem["state"]) == (str(night.image()), "vault", "corrupt")
    page = client.get("/archive").get_data(as_text=True)
    assert str(night.image()) in page
    assert "15, 1 waiting" in page
    (night.vault / MARKER).unlink()
    night.run()
    assert MARKER in client.get("/archive").get_data(as_text=True)
    assert client.get("/api/archive").get_json()["places"][0]["changed_at"].endswith("Z")
    assert client.get("/api/archive", query_string={"nights": 0}).status_code == 400


def test_request_names_the_file_of_places_that_is_wrong(night, client):
    (night.deployment.root / "archive.toml").write_text("place = 1")
    answer = client.get("/api/archive")
    assert (answer.status_code, "archive.toml" in answer.get_json()["detail"]) == (500, True)
