"""`contimg images list|show|get` over a store with three images and their files."""

import csv
import hashlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from store_play import RULES, Clock, Telescope
from store_steps import IMAGE, MS, commit

from contimg.cli import contimg
from contimg.common.errors import BadInput
from contimg.store import Stage, Store
from contimg.tile.products import CalibratedMS

NIGHT_MJD = 61094.0


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory whose store has three images: good, suspect and bad, each with a FITS and a pbcor FITS file."""
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    (tmp_path / "products").mkdir()
    store = Store.open(tmp_path / "state" / "contimg.sqlite3", RULES, clock=Clock())
    telescope = Telescope(store)
    for n, grade in enumerate(("good", "suspect", "bad")):
        group = telescope.whole_group(n)
        commit(store, group, Stage.CONVERT, replace(MS, path=Path(f"/p/{n}.ms")))
        commit(store, group, Stage.CALIBRATE, CalibratedMS("s1", "nearest", 0.1))
        fits = tmp_path / "products" / f"{group}.fits"
        fits.write_bytes(f"apparent {n}".encode() * 1000)
        fits.with_name(f"{group}.pbcor.fits").write_bytes(f"corrected {n}".encode() * 1000)
        image = replace(IMAGE, fits_path=fits, mjd=NIGHT_MJD + (n - 0.5) / 24, ra_deg=(359.5 + n) % 360, verdict=grade)
        commit(store, group, Stage.IMAGE, image)
    store.close()
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(contimg, [str(argument) for argument in arguments], catch_exceptions=False)


def ids(result: Result) -> list[int]:
    return [image["id"] for image in json.loads(result.stdout)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [3, 2, 1]),
        (["--since", "2026-02-23"], [3, 2]),
        (["--until", "2026-02-23T00:00:00Z"], [1]),
        (["--grade", "bad"], [3]),
        (["--uncalibrated"], []),
        (["--ra", "0", "--dec", "33.16", "--radius", "0.6"], [2, 1]),
        (["--declination", "33.3"], [3, 2, 1]),
        (["--declination", "54"], []),
    ],
)
def test_images_list_filters(deployment: Path, options: list[str], expected: list[int]) -> None:
    assert ids(run("images", "list", "--json", *options)) == expected


def test_images_list_prints_units_and_number_of_all(deployment: Path) -> None:
    result = run("images", "list", "--limit", "1")
    assert "3.00 mJy/beam" in result.stdout
    assert "1 of 3 images" in result.stderr


@pytest.mark.parametrize("options", [["--since", "yesterday"], ["--grade", "fine"], ["--ra", "x"]])
def test_wrong_option_is_usage_error(deployment: Path, options: list[str]) -> None:
    assert run("images", "list", *options).exit_code == 2


def test_incomplete_circle_is_refused(deployment: Path) -> None:
    with pytest.raises(BadInput, match="radius"):
        run("images", "list", "--ra", "10", "--dec", "33")


def test_images_show_by_number_and_group(deployment: Path) -> None:
    record = json.loads(run("images", "show", "2", "--json").stdout)
    assert (record["verdict"], record["rms_jy"]) == ("suspect", 0.003)
    text = run("images", "show", record["group"]).stdout
    assert IMAGE.verdict_reasons[0] in text
    assert "1405.0 MHz" in text
    with pytest.raises(BadInput, match="99"):
        run("images", "show", "99")


def test_images_get_copies_with_checksums(deployment: Path) -> None:
    target = deployment / "night"
    assert "2 files" in run("images", "get", target, "--since", "2026-02-23", "--safe-names").stdout
    rows = list(csv.DictReader((target / "manifest.csv").open()))
    assert [row["verdict"] for row in rows] == ["bad", "suspect"]
    assert rows[0]["observed_at"] == "2026-02-23T01:30:00Z"
    for row in rows:
        assert ":" not in row["file"]
        assert hashlib.sha256((target / row["file"]).read_bytes()).hexdigest() == row["sha256"]
        assert (target / row["file"]).stat().st_size == int(row["bytes"])
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=target, check=True)
    assert (target / rows[0]["file"]).read_bytes().startswith(b"apparent 2")
    assert {path.name for path in target.iterdir()} == {"manifest.csv", "SHA256SUMS", *(row["file"] for row in rows)}


def test_images_get_links_corrected_images(deployment: Path) -> None:
    target = deployment / "links"
    run("images", "get", target, "--pbcor", "--link", "--image", "1", "--image", "3")
    links = sorted(path for path in target.iterdir() if path.is_symlink())
    assert [link.read_bytes()[:11] for link in links] == [b"corrected 0", b"corrected 2"]
    run("images", "get", target, "--pbcor", "--image", "1")
    assert not links[0].is_symlink()
    assert (deployment / "products" / links[0].name).read_bytes() == links[0].read_bytes()


def test_images_get_reports_missing_files(deployment: Path) -> None:
    next((deployment / "products").glob("*[0-9].fits")).unlink()
    with pytest.raises(BadInput, match="1 files are not on disk"):
        run("images", "get", deployment / "all")
    rows = list(csv.DictReader((deployment / "all" / "manifest.csv").open()))
    assert sorted(bool(row["sha256"]) for row in rows) == [False, True, True]


def test_images_get_refuses_empty_selection_and_products(deployment: Path) -> None:
    with pytest.raises(BadInput, match="no image"):
        run("images", "get", deployment / "none", "--declination", "54")
    assert not (deployment / "none").exists()
    with pytest.raises(BadInput, match="products themselves"):
        run("images", "get", deployment / "products")
