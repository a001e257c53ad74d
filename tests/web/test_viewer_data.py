"""What the viewer fetches: means over pixels of the screen, values, description; and what is refused."""

import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from observing_night import Night

from contimg.common.errors import BadInput
from contimg.store import Store, StoredImage
from web.http.errors import RequestError
from web.tiles.pixels import Region, encode_bfloat16, open_plane


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.float32]]:
    data = np.random.default_rng(1).standard_normal((60, 80)).astype(np.float32)
    path = tmp_path_factory.mktemp("plane") / "a.fits"
    fits.PrimaryHDU(data[None, None], fits.Header({"CRPIX1": 41.0})).writeto(path)
    return path, data


def mean_over_area(data: NDArray[np.float32], x0: float, x1: float, y0: float, y1: float) -> float:
    """Sum of the pixels times the area of each that lies inside, over the area."""
    width = np.clip(np.minimum(np.arange(data.shape[1]) + 1, x1) - np.maximum(np.arange(data.shape[1]), x0), 0, None)
    height = np.clip(np.minimum(np.arange(data.shape[0]) + 1, y1) - np.maximum(np.arange(data.shape[0]), y0), 0, None)
    return float(height @ data @ width / ((x1 - x0) * (y1 - y0)))


@given(st.floats(0, 40), st.floats(0, 20), st.floats(10, 40), st.floats(10, 40), st.integers(1, 10), st.integers(1, 10))
def test_average_over_area(
    pixels: tuple[Path, NDArray[np.float32]], x: float, y: float, width: float, height: float, columns: int, rows: int
) -> None:
    path, data = pixels
    average = open_plane(path).average(Region(x, y, width, height, columns, rows))
    assert average.shape == (rows, columns)
    for row in range(rows):
        for column in range(columns):
            left, top = x + column * width / columns, y + height - row * height / rows
            expected = mean_over_area(data, left, left + width / columns, top - height / rows, top)
            assert average[row, column] == pytest.approx(expected, abs=1e-5)


def test_pixels_themselves_and_blank_ones(tmp_path: Path) -> None:
    data = np.arange(48, dtype=np.float32).reshape(6, 8)
    data[3, 4] = np.nan
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(data).writeto(path)
    plane = open_plane(path)
    assert np.array_equal(plane.average(Region(2, 1, 5, 4, 5, 4)), data[1:5, 2:7][::-1], equal_nan=True)
    halves = plane.average(Region(0, 0, 8, 6, 4, 3))
    assert np.argwhere(np.isnan(halves)).tolist() == [[1, 2]], "a blank pixel blanks only the mean that it is in"
    assert plane.value(5, 3) == data[3, 5]
    assert plane.value(4, 3) is None
    assert plane.value(8, 3) is None


def test_new_version_of_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    for value, side in ((1.0, 4), (2.0, 6)):
        fits.PrimaryHDU(np.full((side, side), value, np.float32)).writeto(path, overwrite=True)
        assert open_plane(path).value(0, 0) == value


@pytest.mark.filterwarnings("ignore:File may have been truncated")
def test_region_outside_and_wrong_files_are_refused(pixels: tuple[Path, NDArray[np.float32]], tmp_path: Path) -> None:
    plane = open_plane(pixels[0])
    for region in (Region(1, 0, 80, 60, 8, 6), Region(0, 0, 80, 60, 81, 6), Region(0, 30, 10, 31, 1, 1)):
        with pytest.raises(RequestError):
            plane.average(region)
    path = tmp_path / "b.fits"
    for content in (b"no image", pixels[0].read_bytes()[:5760]):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"b\.fits"):
            open_plane(path)
    fits.PrimaryHDU(np.zeros((3, 3), np.int16)).writeto(path, overwrite=True)
    with pytest.raises(BadInput, match="BITPIX 16"):
        open_plane(path)


@given(st.floats(width=32))
def test_bfloat16_is_exact_to_its_eight_bits(value: float) -> None:
    code = np.frombuffer(encode_bfloat16(np.array([value], np.float32)), "<u2").astype(np.uint32) << 16
    decoded = float(code.view(np.float32)[0])
    assert (
        np.isnan(decoded)
        if np.isnan(value)
        else decoded == pytest.approx(value, rel=2**-8, abs=1e-37) or abs(value) > 3.3e38
    )


@pytest.mark.parametrize("word", [0xFFFFFFFF, 0x7FFFFFFF, 0x7F800001, 0xFFC00000])
def test_bfloat16_keeps_every_nan(word: int) -> None:
    code = np.frombuffer(encode_bfloat16(np.array([word], np.uint32).view(np.float32)), "<u2").astype(np.uint32) << 16
    assert np.isnan(code.view(np.float32)[0])


@pytest.fixture
def image(night: Night, store: Store) -> StoredImage:
    image = store.products.image_of(night.tile(calibrated="set"))
    assert image is not None
    return image


PART = "x=10&y=20&width=100&height=50&columns=50&rows=25"


def test_pixels_are_sent_and_cached_by_version(client: FlaskClient, image: StoredImage) -> None:
    path = f"/images/{image.id}/pixels?{PART}"
    answer = client.get(path)
    assert (answer.status_code, answer.mimetype, len(answer.data)) == (200, "application/octet-stream", 2 * 50 * 25)
    data = fits.getdata(image.fits_path)[0, 0, 20:70, 10:110]
    expected = data.reshape(25, 2, 50, 2).mean(axis=(1, 3))[::-1].ravel()
    values = (np.frombuffer(answer.data, "<u2").astype(np.uint32) << 16).view(np.float32)
    assert np.allclose(values, expected, rtol=2**-8)
    headers = {"If-None-Match": answer.headers["ETag"]}
    assert client.get(path, headers=headers).status_code == 304
    time.sleep(0.01)
    image.fits_path.touch()
    assert client.get(path, headers=headers).status_code == 200


def test_description_and_values(client: FlaskClient, image: StoredImage) -> None:
    description = client.get(f"/images/{image.id}/viewer.json").get_json()
    assert (description["columns"], description["rows"]) == (512, 512)
    assert list(description["layers"]) == ["image"]
    assert [source["flux_jy"] for source in description["sources"]] == [image.peak_jy]
    calibrator = next(entry for entry in description["calibrators"] if entry["name"] == "3C48")
    assert calibrator["flux_jy"] == pytest.approx(16.2, abs=0.3)
    values = client.get(f"/images/{image.id}/value.json?x=256&y=256").get_json()
    assert values == {"image": 1.0, "pbcor": None, "beam": None, "residual": None}


def test_neighbours_and_another_day(client: FlaskClient, night: Night, store: Store) -> None:
    """The image of another day is the latest one of the same part of the sky before that day, or the next one after."""
    images, now_s = [], night.at
    for days in (3.0, 1.997, 1.0, 0.0036, 0.0):
        night.at = now_s - 86400 * days
        images.append(store.products.image_of(night.tile()))
    before, after, another = [], [], []
    for image in images:
        assert image is not None
        description = client.get(f"/images/{image.id}/viewer.json").get_json()
        for name, ids in (("earlier", before), ("later", after), ("another", another)):
            ids.append(description[name] and int(description[name].split("/")[2]))
    ids = [image.id for image in images if image]
    assert before == [None, *ids[:-1]]
    assert after == [*ids[1:], None]
    assert another == [ids[4], *ids[:2], ids[2], ids[2]]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (f"{PART}&layer=beam", 404), (f"{PART}&layer=../../secret", 404),
        ("x=500&y=0&width=20&height=9&columns=2&rows=2", 400),
        ("x=0&y=0&width=nan&height=9&columns=2&rows=2", 400),
        ("x=0&y=0&width=512&height=512&columns=9999&rows=2", 400),
        ("width=9", 400),
    ],
)  # fmt: skip
def test_wrong_requests_of_pixels(client: FlaskClient, image: StoredImage, query: str, status: int) -> None:
    answer = client.get(f"/images/{image.id}/pixels?{query}", headers={"Accept": "application/json"})
    assert answer.status_code == status
    assert answer.get_json()["error"]


def test_image_without_coordinates(client: FlaskClient, image: StoredImage) -> None:
    fits.PrimaryHDU(np.ones((512, 512), np.float32)).writeto(image.fits_path, overwrite=True)
    answer = client.get(f"/images/{image.id}/viewer.json", headers={"Accept": "application/json"})
    assert answer.status_code == 409
    assert image.fits_path.name in answer.get_json()["error"]


def test_layer_outside_output_dir_is_none(client: FlaskClient, image: StoredImage, tmp_path: Path) -> None:
    fits.PrimaryHDU(np.ones((512, 512), np.float32)).writeto(tmp_path / "secret.fits")
    link = image.fits_path.with_name(f"{image.group}.pbcor.fits")
    link.symlink_to(tmp_path / "secret.fits")
    assert "pbcor" not in client.get(f"/images/{image.id}/viewer.json").get_json()["layers"]
    assert client.get(f"/images/{image.id}/value.json?x=1&y=1").get_json()["pbcor"] is None
