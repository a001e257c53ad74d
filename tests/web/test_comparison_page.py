"""The comparison of an image with the reference catalogue on its page and in the API."""

import json
import re

import pytest
from flask.testing import FlaskClient
from observing_night import COMPARISON, Night
from sqlalchemy import update

from contimg.store import Store, tables


def shown_text(client: FlaskClient, image_id: int) -> str:
    page = client.get(f"/images/{image_id}").get_data(as_text=True)
    section = re.search(r'<section class="card comparison".*?</section>', page, re.DOTALL)
    assert section
    return " ".join(re.sub(r"<[^>]+>", " ", section[0]).split())


def test_comparison_is_in_record_page_and_plots(client: FlaskClient, night: Night, store: Store) -> None:
    image = store.products.image_of(night.tile(calibrated="set"))
    assert image is not None
    record = client.get(f"/api/images/{image.id}").get_json()
    assert {name: record[name] for name in COMPARISON} == json.loads(json.dumps(COMPARISON))
    text = shown_text(client, image.id)
    for part in ("nvss", "+1.30″ east, −0.40″ north, ± 0.15″", "12 to 25 24 0.951 ± 0.021", "60 and more 17",
                 "0.5° to 1° 41 0.957 ± 0.012", "−0.8° E, +0.8° N 6 +1.10″, −0.30″ ± 0.50″", "52"):  # fmt: skip
        assert part in text
    answer = client.get(record["comparison_url"])
    assert (answer.status_code, answer.mimetype) == (200, "image/png")
    assert answer.data == image.fits_path.with_suffix(".comparison.png").read_bytes()


def test_image_without_comparison_says_so(client: FlaskClient, night: Night, store: Store) -> None:
    image = store.products.image_of(night.tile())
    assert image is not None
    assert "not compared" in shown_text(client, image.id)
    record = client.get(f"/api/images/{image.id}").get_json()
    assert (record["catalogue_name"], record["comparison_url"], record["catalogue_offset_field"]) == (None, None, [])
    assert client.get(f"/api/images/{image.id}/comparison.png").status_code == 404


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"catalogue_kind": "pipeline"}, "own images"),
        ({"catalogue_flux_ratio": None, "catalogue_matches": 2}, "2 sources"),
    ],
)
def test_limits_of_a_comparison_are_stated(
    client: FlaskClient, night: Night, store: Store, values: dict[str, object], part: str
) -> None:
    image = store.products.image_of(night.tile(calibrated="set"))
    assert image is not None
    with store.database.write() as session:
        session.execute(update(tables.Image).where(tables.Image.id == image.id).values(**values))
    assert part in shown_text(client, image.id)
