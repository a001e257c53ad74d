"""Products over HTTP: the right bytes, and never a byte from outside the output directory."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from observing_night import Night
from sqlalchemy import update

from contimg.store import Store, StoredImage, tables


@pytest.fixture
def image(night: Night, store: Store) -> StoredImage:
    group = night.tile()
    image = store.products.image_of(group)
    assert image is not None
    return image


def move(store: Store, image: StoredImage, path: Path) -> None:
    """A row that says something else than the pipeline ever would."""
    with store.database.write() as session:
        session.execute(update(tables.Image).where(tables.Image.id == image.id).values(png_path=str(path)))


def test_files_are_sent_unchanged(client: FlaskClient, image: StoredImage) -> None:
    for suffix, path, mimetype in (
        (".png", image.png_path, "image/png"),
        ("/thumbnail", image.thumbnail_path, "image/png"),
        (".fits", image.fits_path, "application/fits"),
    ):
        answer = client.get(f"/api/images/{image.id}{suffix}")
        assert path is not None
        assert (answer.status_code, answer.mimetype) == (200, mimetype)
        assert answer.data == path.read_bytes()
    fits = client.get(f"/api/images/{image.id}.fits")
    assert f"{image.group}.fits" in fits.headers["Content-Disposition"].replace("%3A", ":")


def test_unchanged_file_answers_304(client: FlaskClient, image: StoredImage) -> None:
    first = client.get(f"/api/images/{image.id}.png")
    again = client.get(f"/api/images/{image.id}.png", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("place", ["/etc/passwd", "../../state/contimg.sqlite3", "../secret.png"])
def test_path_outside_output_dir_is_refused(
    client: FlaskClient, store: Store, night: Night, image: StoredImage, place: str
) -> None:
    (night.output.parent / "secret.png").write_bytes(b"secret")
    move(store, image, night.output / place)
    answer = client.get(f"/api/images/{image.id}.png")
    assert answer.status_code == 404
    assert "output_dir" in answer.get_json()["error"]


def test_link_outside_output_dir_is_refused(
    client: FlaskClient, store: Store, night: Night, image: StoredImage, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    link = night.output / "images" / "innocent.png"
    link.symlink_to(secret)
    move(store, image, link)
    assert client.get(f"/api/images/{image.id}.png").status_code == 404


def test_sibling_directory_is_refused(client: FlaskClient, store: Store, night: Night, image: StoredImage) -> None:
    beside = night.output.with_name(night.output.name + "-old") / "a.png"
    beside.parent.mkdir()
    beside.write_bytes(b"old")
    move(store, image, beside)
    assert client.get(f"/api/images/{image.id}.png").status_code == 404


def test_missing_file_answers_404(client: FlaskClient, image: StoredImage) -> None:
    assert image.png_path is not None
    image.png_path.unlink()
    answer = client.get(f"/api/images/{image.id}.png")
    assert answer.status_code == 404
    assert str(image.id) in answer.get_json()["error"] or image.png_path.name in answer.get_json()["error"]


def test_paths_with_dots_are_refused(client: FlaskClient) -> None:
    for path in (
        "/static/../auth.py",
        "/static/%2e%2e/%2e%2e/auth.py",
        "/static/..%2f..%2fauth.py",
        "/static//etc/passwd",
        "/api/images/../../etc/passwd",
        "/api/images/..%2f..%2fetc%2fpasswd.png",
        "/api/images/-1.png",
        "/api/groups/..%2f..%2fetc%2fpasswd",
    ):
        assert client.get(path, follow_redirects=True).status_code == 404, path


def test_image_without_preview(client: FlaskClient, night: Night, store: Store, image: StoredImage) -> None:
    with store.database.write() as session:
        session.execute(update(tables.Image).where(tables.Image.id == image.id).values(png_path=None))
    assert client.get(f"/api/images/{image.id}.png").status_code == 404
    assert client.get(f"/api/images/{image.id}").get_json()["png_url"] is None
