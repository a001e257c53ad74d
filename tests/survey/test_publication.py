"""A published survey: what is in it, read by astropy, pyarrow and mocpy; made again bit for bit; a flipped byte."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits, votable
from astropy.table import Table
from click.testing import CliRunner
from mocpy import MOC
from published_survey import EPOCHS, Survey, add_epoch, build_survey
from pyarrow import parquet

from contimg.cli import contimg
from contimg.common.errors import BadInput
from contimg.survey.publication import PublicationSelection, preview, publish, republish, verify

NOW_S = 1_795_000_000.0


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survey]:
    """A store with three good mosaics, a suspect one, and the measurements in them."""
    survey = build_survey(tmp_path_factory.mktemp("survey"))
    yield survey
    survey.store.close()


@pytest.fixture(scope="module")
def published(survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("published") / "out"
    result = publish(survey.store, directory, PublicationSelection(), clock=lambda: NOW_S, part_rows=30)
    assert (result.is_changed, result.mosaics) == (True, EPOCHS)
    return directory


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }


def test_manifest_names_every_file(survey: Survey, published: Path) -> None:
    manifest = json.loads((published / "manifest.json").read_text())
    listed = {entry["path"]: entry for entry in manifest["files"]}
    assert set(listed) == set(files_of(published)) - {"manifest.json", "SHA256SUMS"}
    assert (manifest["mosaics"], manifest["selection"]["grades"]) == (EPOCHS, ["good"])
    checked = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=published, check=False)
    assert checked.returncode == 0
    mosaic = listed[f"mosaics/{survey.good[1]}.fits"]
    assert mosaic["media_type"] == "application/fits"
    assert mosaic["provenance"]["members"] == ["a.fits"]
    assert all(entry["description"] for entry in listed.values())


def test_mosaics_are_those_of_the_grade(survey: Survey, published: Path) -> None:
    names = sorted(path.name for path in (published / "mosaics").iterdir())
    assert names == sorted(f"{key}{end}" for key in survey.good for end in (".fits", ".rms.fits", ".weight.fits"))
    for key in survey.good:
        path = published / "mosaics" / f"{key}.fits"
        assert path.samefile(survey.products / f"{key}.fits"), "linked, not copied"
        assert np.isfinite(fits.getdata(path)).any()
    assert preview(survey.store, PublicationSelection()).mosaics == EPOCHS
    assert preview(survey.store, PublicationSelection(grades=("good", "suspect"))).mosaics == EPOCHS + 1
    assert preview(survey.store, PublicationSelection(declination_deg=40.0)).mosaics == 0


def test_tables_agree_with_the_store(survey: Survey, published: Path) -> None:
    parts = sorted((published / "measurements/parquet").glob("*.parquet"))
    assert len(parts) > 1
    rows = [row for path in parts for row in parquet.read_table(path).to_pylist()]
    assert {row["epoch"] for row in rows} == set(survey.good)
    numbers = [row["source_id"] for row in rows]
    assert numbers == sorted(numbers)
    for path in parts:  # a part has whole sources
        further = [part for part in parts if part != path]
        own = set(parquet.read_table(path)["source_id"].to_pylist())
        assert not any(own & set(parquet.read_table(part)["source_id"].to_pylist()) for part in further)
    curve = survey.store.sky.light_curve(rows[0]["source_id"])
    stored = {point.epoch: point.flux_jy for point in curve.measurements}
    published_flux = {row["epoch"]: row["flux_jy"] for row in rows if row["source_id"] == rows[0]["source_id"]}
    assert published_flux == {key: pytest.approx(stored[key], rel=1e-12) for key in published_flux}
    sources = parquet.read_table(published / "tables/sources.parquet")
    assert sources.num_rows == len(set(numbers))
    assert sources.schema.field("ra_deg").metadata[b"ucd"] == b"pos.eq.ra;meta.main"
    for row in sources.to_pylist()[:5]:
        points = [
            (p["flux_jy"], p["flux_error_jy"]) for p in rows if p["source_id"] == row["source_id"] and p["is_counted"]
        ]
        flux, error = np.array(points).T
        assert row["n"] == len(points)
        assert row["weighted_mean_jy"] == pytest.approx(np.average(flux, weights=error**-2), rel=1e-9)
        chi2 = np.sum((flux - row["weighted_mean_jy"]) ** 2 / error**2) / (len(flux) - 1)
        assert row["eta"] == pytest.approx(chi2, rel=1e-6)


def test_votables_are_valid_and_equal_the_parquet(published: Path) -> None:
    for path in [*published.rglob("*.vot")][:12]:
        document = votable.parse(path, verify="exception")
        assert document.version == "1.4"
    table = Table.read(published / "tables/sources.vot", format="votable")
    expected = parquet.read_table(published / "tables/sources.parquet")
    assert list(table["name"]) == expected["name"].to_pylist()
    np.testing.assert_array_equal(table["ra_deg"], expected["ra_deg"].to_numpy())
    assert str(table["weighted_mean_jy"].unit) == "Jy"
    curves = [*(published / "light_curves").rglob("*.vot")]
    assert len(curves) == len(table)
    document = votable.parse(curves[0])
    (resource,) = document.resources
    assert (resource.time_systems[0].timescale, resource.time_systems[0].timeorigin) == ("UTC", 2400000.5)
    curve = resource.tables[0].to_table()
    assert len(curve) == EPOCHS
    assert (np.diff(curve["mjd"]) > 0).all()


def test_sky_covers_the_mosaics(published: Path) -> None:
    moc = MOC.from_fits(published / "coverage.moc.fits")
    assert MOC.from_string((published / "coverage.moc.txt").read_text(), "ascii") == moc
    assert 0 < moc.sky_fraction < 0.01
    properties = (published / "hips/properties").read_text()
    assert "hips_release_date    = 2026-11-18T" in properties
    assert not (published / "hips/members").exists()
    tiles = [*(published / "hips").glob("Norder3/Dir0/Npix*.fits")]
    assert any(np.nanmax(fits.getdata(path)) > 0.05 for path in tiles)


def test_manifest_reproduces_the_publication(survey: Survey, published: Path, tmp_path: Path) -> None:
    again = republish(published / "manifest.json", tmp_path / "again", survey.store)
    assert files_of(tmp_path / "again") == files_of(published)
    assert set(again.from_manifest) == {path for path in again.from_manifest if path.startswith("measurements/")}
    copy = republish(published / "manifest.json", tmp_path / "copy", None)
    assert files_of(tmp_path / "copy") == files_of(published)
    assert len(copy.from_manifest) > 3 * EPOCHS
    with pytest.raises(BadInput, match="exists"):
        republish(published / "manifest.json", tmp_path / "copy", None)


def test_flipped_byte_is_named(published: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(published, copy)
    assert verify(copy) == ()
    path = next((copy / "mosaics").glob("*.weight.fits"))
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    (copy / "README.txt").unlink()
    (copy / "tables/extra.txt").write_text("further")
    faults = {fault.path for fault in verify(copy)}
    assert faults == {f"mosaics/{path.name}", "README.txt", "tables/extra.txt"}
    with pytest.raises(BadInput, match=path.name.replace("+", r"\+")):
        republish(copy / "manifest.json", tmp_path / "again", None)
    assert not list(tmp_path.glob("again*"))
    (copy / "SHA256SUMS").write_text("")
    assert "SHA256SUMS" in {fault.path for fault in verify(copy)}


def test_update_is_incremental(tmp_path: Path) -> None:
    """Nothing changed: nothing is written. A further mosaic: the rest is linked, and the HiPS has the same bits."""
    survey = build_survey(tmp_path / "survey", 1)
    out = tmp_path / "out"
    selection = PublicationSelection()
    publish(survey.store, out, selection, clock=lambda: NOW_S)
    before = {path: path.stat().st_ino for path in out.rglob("*") if path.is_file()}
    assert publish(survey.store, out, selection, clock=lambda: NOW_S + 9).is_changed is False
    assert before == {path: path.stat().st_ino for path in out.rglob("*") if path.is_file()}
    key = add_epoch(survey, 3, "good")
    updated = publish(survey.store, out, selection, clock=lambda: NOW_S + 9)
    assert (updated.is_changed, updated.mosaics) == (True, 2)
    same = [path for path, number in before.items() if path.exists() and path.stat().st_ino == number]
    assert any("Norder" in str(path) for path in same)
    publish(survey.store, tmp_path / "fresh", selection, clock=lambda: NOW_S + 9)
    assert files_of(out) == files_of(tmp_path / "fresh")
    assert verify(out) == ()
    (survey.products / f"{key}.weight.fits").unlink()
    with pytest.raises(BadInput, match="weight"):
        publish(survey.store, tmp_path / "other", selection, clock=lambda: NOW_S)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "out", "survey"]
    survey.store.close()


def test_command_publishes_and_verifies(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    out = tmp_path / "out"
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(survey.state))

    def run(*words: str) -> str:
        result = CliRunner().invoke(contimg, ["publish", *words], standalone_mode=False)
        if result.exception:
            raise result.exception
        return result.output

    words = ("--dry-run", "--json", "--from", "2020-01-01", "--grade", "good", "--grade", "suspect")
    assert json.loads(run(str(out), *words))["mosaics"] == EPOCHS + 1
    assert not out.exists()
    assert json.loads(run("--no-hips", str(out), "--json"))["mosaics"] == EPOCHS
    assert not (out / "hips").exists()
    assert json.loads(run("verify", str(out), "--json")) == []
    again = json.loads(run("make", "--from-manifest", str(out / "manifest.json"), str(tmp_path / "again"), "--json"))
    assert (again["is_changed"], again["from_manifest"]) == (True, [])
    page = out / "index.html"
    page.write_bytes(page.read_bytes().replace(b"survey", b"Survey", 1))
    with pytest.raises(BadInput, match="1 file"):
        run("verify", str(out))
    with pytest.raises(BadInput, match="has not written"):
        run(str(tmp_path))
    with pytest.raises(BadInput, match="no mosaic matches"):
        run(str(tmp_path / "none"), "--from", "2031-01-01")
