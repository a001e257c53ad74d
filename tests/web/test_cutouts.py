"""Parts of images, images over the primary beam and flag summaries through the API."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from flask.testing import FlaskClient
from observing_night import Night
from PIL import Image

from contimg.formats.records import to_json
from contimg.store import Store, StoredImage
from contimg.tile.image.cutout import resample_stamp

RA_DEG, DEC_DEG = 24.4, 33.16  # the source of the image, at its phase centre
CELL_DEG = 24 / 3600


@pytest.fixture
def image(night: Night, store: Store) -> StoredImage:
    group = night.tile(calibrated="3C48")
    image = store.products.image_of(group)
    assert image is not None
    return image


def test_cutout_is_a_fits_image_of_its_place_on_the_sky(client: FlaskClient, image: StoredImage) -> None:
    query = {"ra": RA_DEG + 0.1, "dec": DEC_DEG + 0.2, "size": 0.6}
    answer = client.get(f"/api/images/{image.id}/cutout.fits", query_string=query)
    assert (answer.status_code, answer.mimetype) == (200, "application/fits")
    with fits.open(io.BytesIO(answer.data), checksum=True) as hdus:
        header, data = hdus[0].header, hdus[0].data
    assert data.shape == (1, 1, 91, 91)
    wcs = WCS(header).celestial
    x, y = (round(float(value)) for value in wcs.world_to_pixel(SkyCoord(RA_DEG, DEC_DEG, unit="deg")))
    assert data[0, 0, y, x] == pytest.approx(1.0)
    assert np.count_nonzero(data > 0.5) == 1
    centre = wcs.pixel_to_world(45, 45)
    assert centre.separation(SkyCoord(query["ra"], query["dec"], unit="deg")).deg < CELL_DEG


def test_cutout_ends_at_the_edge_of_the_image(client: FlaskClient, image: StoredImage) -> None:
    edge = {"ra": RA_DEG, "dec": DEC_DEG + 250 * CELL_DEG, "size": 0.2}
    answer = client.get(f"/api/images/{image.id}/cutout.fits", query_string=edge)
    with fits.open(io.BytesIO(answer.data)) as hdus:
        assert hdus[0].data.shape == (1, 1, 21, 31)
    for path in ("cutout.fits", "cutout.png"):
        outside = client.get(f"/api/images/{image.id}/{path}", query_string={"ra": 10, "dec": DEC_DEG})
        assert (outside.status_code, outside.get_json()["code"]) == (404, "outside_image")
        assert client.get(f"/api/images/{image.id}/{path}", query_string={"ra": 10}).status_code == 400


def test_cutout_is_a_picture_with_north_up(client: FlaskClient, image: StoredImage) -> None:
    """The source is south of the middle, so that it lies in the lower half of the picture."""
    query = {"ra": RA_DEG, "dec": DEC_DEG + 0.1, "size": 0.4}
    answer = client.get(f"/api/images/{image.id}/cutout.png", query_string=query)
    assert answer.mimetype == "image/png"
    picture = np.asarray(Image.open(io.BytesIO(answer.data)))
    assert picture.shape == (549, 549)  # 61 pixels, each shown as 9 by 9
    rows, columns = np.nonzero(picture == picture.max())
    assert rows.mean() == pytest.approx(549 / 2 + 15 * 9, abs=9)
    assert columns.mean() == pytest.approx(549 / 2, abs=9)


def test_image_over_primary_beam(client: FlaskClient, image: StoredImage) -> None:
    url = client.get(f"/api/images/{image.id}").get_json()["pbcor_fits_url"]
    missing = client.get(url)
    assert (missing.status_code, missing.get_json()["code"]) == (404, "no_such_file")
    shutil.copy(image.fits_path, image.pbcor_path)
    assert client.get(url).data == image.pbcor_path.read_bytes()
    query = {"ra": RA_DEG, "dec": DEC_DEG, "size": 0.1, "pbcor": "true"}
    assert client.get(f"/api/images/{image.id}/cutout.fits", query_string=query).status_code == 200


def test_every_path_of_a_file_has_the_prefix(image: StoredImage) -> None:
    record = json.loads(to_json(image, root="/contimg"))
    names = ("fits_url", "beam_fits_url", "pbcor_fits_url", "png_url", "thumbnail_url")
    assert all(record[name].startswith(f"/contimg/api/images/{image.id}") for name in names), record


def test_flag_summary_of_group(client: FlaskClient, image: StoredImage, night: Night) -> None:
    path = f"/api/groups/{image.group}/flags"
    missing = client.get(path)
    assert (missing.status_code, missing.get_json()["code"]) == (404, "no_such_file")
    summary = {
        "before": 0.02, "after": 0.08, "by_hand": 0.0, "dead": {"17": "no signal"}, "by_antenna": {"103": [0.02, 0.07]},
        "freqs_hz": [1.31e9, 1.32e9], "by_channel": [[0.02, 0.07], [0.0, 1.0]],
    }  # fmt: skip
    directory = night.output / "calibration" / "flags"
    directory.mkdir(parents=True)
    (directory / f"{image.group}.json").write_text(json.dumps(summary), encoding="utf-8")
    shutil.copy(image.png_path or "", directory / f"{image.group}.png")
    assert client.get(path).get_json() == summary
    assert client.get(f"{path}.png").mimetype == "image/png"
    assert client.get("/api/groups/none/flags").get_json()["code"] == "no_such_group"


def test_stamps_of_unlike_images_have_one_grid(image: StoredImage, tmp_path: Path) -> None:
    """A source 4 pixels of 24 arcsec north of the centre is in the same pixel whatever the grid of the image."""
    with fits.open(image.fits_path) as hdus:
        header, data = hdus[0].header.copy(), hdus[0].data.copy()
    header["CRPIX1"] -= 40
    fits.writeto(tmp_path / "cut.fits", data[..., 40:], header)
    north_deg = DEC_DEG - 4 * CELL_DEG
    stamps = [resample_stamp(path, RA_DEG, north_deg, 21 * CELL_DEG, 21) for path in
              (image.fits_path, tmp_path / "cut.fits")]  # fmt: skip
    for stamp in stamps:
        assert stamp.shape == (21, 21)
        assert np.unravel_index(np.nanargmax(stamp), stamp.shape) == (14, 10)
        assert stamp[14, 10] == pytest.approx(1.0, abs=0.02)
    edge = resample_stamp(image.fits_path, RA_DEG, DEC_DEG + 250 * CELL_DEG, 31 * CELL_DEG, 31)
    assert np.isfinite(edge[0]).all()
    assert np.isnan(edge[-1]).all()
