"""`contimg sources` on a store with light curves: lists, exports, a source measured back, decisions."""

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from click.testing import CliRunner
from light_curve_steps import SCALE, Epoch, commit_epoch, make_photometry
from scipy.ndimage import gaussian_filter

from contimg.cli import contimg
from contimg.common.errors import BadInput
from contimg.instrument.time import mjd_to_unix
from contimg.store import CandidateKind, Selection, Store
from contimg.store.sky import export as store_export

FLUXES = {"a": (0.5, 0.01), "b": (0.02, 0.001), "c": (-0.001, 0.001)}


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "contimg.sqlite3"
    opened = Store.open(path)
    for day in range(4):
        commit_epoch(opened, Epoch(day=day, ra_deg=359.95), FLUXES | {"b": (0.02 + 0.01 * day, 0.001)})
    commit_epoch(opened, Epoch(day=1, window=1, ra_deg=359.95, centre_distance_deg=3.0), FLUXES)
    opened.close()
    return path


@pytest.fixture
def store(filled: Path, tmp_path: Path, monkeypatch) -> Iterator[Store]:
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    opened = Store.open(shutil.copy(filled, tmp_path / "state" / "contimg.sqlite3"))
    yield opened
    opened.close()


@pytest.fixture
def run(store):
    def command(*arguments: object) -> str:
        result = CliRunner().invoke(contimg, ["sources", *map(str, arguments)], standalone_mode=False)
        if result.exception:
            raise result.exception
        return result.output

    return command


def test_sources_are_listed_and_shown(run, store):
    listed = json.loads(run("list", "--json"))
    assert [source["identifiers"]["nvss"] for source in listed] == ["b", "c", "a"]
    assert listed[0]["variability"]["n"] == 4
    assert [row["identifiers"]["nvss"] for row in json.loads(run("list", "--min-eta", 5, "--json"))] == ["b"]
    near = json.loads(run("list", "--cone", 0.05, 16.3, 0.05, "--json"))
    assert [source["identifiers"]["nvss"] for source in near] == ["b"]
    curve = json.loads(run("show", "b", "--all", "--json"))
    assert [point["is_counted"] for point in curve["measurements"]] == [True, True, False, True, True]
    assert len(run("show", listed[0]["name"]).splitlines()) == 7
    with pytest.raises(BadInput, match="sources list"):
        run("show", "nothing")


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_parquet(path: Path) -> list[dict[str, object]]:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    return pandas.read_parquet(path).to_dict("records")


def read_votable(path: Path) -> list[dict[str, object]]:
    table = Table.read(path, format="votable")
    assert str(table["flux_jy"].unit) == "Jy"
    return [dict(zip(table.colnames, row, strict=True)) for row in table.iterrows()]


READERS = {".csv": read_csv, ".parquet": read_parquet, ".vot": read_votable}


@pytest.mark.parametrize("suffix", READERS)
def test_export_is_read_by_others(run, store, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(store_export, "BATCH_SOURCES", 2)
    path = tmp_path / f"all{suffix}"
    assert "15 rows" in run("export", path)
    rows = READERS[suffix](path)
    assert [int(row["source_id"]) for row in rows] == [1] * 5 + [2] * 5 + [3] * 5
    points = store.sky.light_curve(2).measurements
    np.testing.assert_array_equal([float(row["flux_jy"]) for row in rows[5:10]], [point.flux_jy for point in points])
    np.testing.assert_array_equal([float(row["mjd"]) for row in rows[5:10]], [point.mjd for point in points])
    assert [str(row["is_counted"]) for row in rows[:5]] == ["True", "True", "False", "True", "True"]
    assert {str(row["calibration_class"]) for row in rows} == {"same transit"}


def test_export_of_a_cone_and_a_span(run, store, tmp_path):
    path = tmp_path / "some.csv"
    times = [np.datetime_as_string(np.datetime64(int(mjd_to_unix(Epoch(day=day, ra_deg=359.95).mjd) - 7200), "s"))
             for day in (1, 3)]  # fmt: skip
    span = ("--from", times[0], "--to", times[1])
    run("export", path, "--cone", 359.95, 16.3, 0.15, *span, "--counted")
    rows = read_csv(path)
    assert [(row["source_id"], row["flux_jy"]) for row in rows] == [
        ("1", "0.5"), ("1", "0.5"), ("2", "0.03"), ("2", "0.04"),
    ]  # fmt: skip
    run("export", path, "--cone", 100, 16.3, 0.1)
    assert read_csv(path) == []


def test_export_of_statistics(run, store, tmp_path):
    path = tmp_path / "statistics.csv"
    assert "3 rows" in run("export", path, "--statistics")
    row = read_csv(path)[1]
    assert (row["n"], float(row["eta"])) == ("4", store.sky.source(2).variability.eta)


def test_export_refuses_formats_without_batches(run, tmp_path):
    for suffix in (".fits", ".txt"):
        with pytest.raises(BadInput, match=r"\.parquet"):
            run("export", tmp_path / f"all{suffix}")
    assert list(tmp_path.glob("all*")) == []


def write_image(path: Path, flux_jy: float) -> tuple[float, float]:
    """An image of noise with a point source; returns its position."""
    sigma = 24 / 6 / np.sqrt(8 * np.log(2))  # pixels
    y, x = np.mgrid[:300, :400]
    noise = gaussian_filter(np.random.default_rng(1).standard_normal((300, 400)), sigma / np.sqrt(2), mode="wrap")
    image = noise / noise.std() * 1e-3 + flux_jy * np.exp(-0.5 * ((x - 250) ** 2 + (y - 120) ** 2) / sigma**2)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ("RA---SIN", "DEC--SIN"), (150.0, 30.0), (200, 150)
    wcs.wcs.cdelt = -6 / 3600, 6 / 3600
    header = wcs.to_header()
    header.update({"BUNIT": "JY/BEAM", "BMAJ": 24 / 3600, "BMIN": 24 / 3600, "BPA": 0.0, "RESTFRQ": 1.4e9})
    fits.writeto(path, image.astype(">f4"), header)
    ra_deg, dec_deg = wcs.all_pix2world([[250, 120]], 0)[0]
    return float(ra_deg), float(dec_deg)


def test_added_source_is_measured_in_mosaics_on_disk(run, store, tmp_path):
    image, flux_jy = tmp_path / "mosaic.fits", 0.03
    ra_deg, dec_deg = write_image(image, flux_jy)
    epoch = Epoch(day=9, ra_deg=ra_deg)
    photometry = replace(make_photometry(epoch, {"a": (0.5, 0.01)}), fits_path=image)
    store.sky.commit_measurements(epoch.key, None, photometry, SCALE, catalogue="nvss")
    added = json.loads(run("add", ra_deg, dec_deg, "--name", "target", "--json"))
    assert added["epochs"] == {"measured": 1, "outside": 0, "missing": 5}
    (point,) = store.sky.light_curve(added["source"]["id"]).measurements
    assert point.measured_jy == pytest.approx(flux_jy, abs=5 * point.flux_error_jy)
    assert point.is_counted
    again = json.loads(run("add", ra_deg, dec_deg, "--json"))
    assert again["source"]["id"] == added["source"]["id"]
    assert again["source"]["variability"] == added["source"]["variability"]
    with pytest.raises(BadInput, match="target"):
        run("add", ra_deg, dec_deg, "--name", "another")


def test_candidates_are_listed_and_decided(run, store):
    selection = Selection(2, CandidateKind.VARIABLE, "η 9.1 (limit 4.0)", {"eta": 9.1}, 61093.0, "epoch")
    (number,) = store.sky.record_candidates([selection])
    assert store.sky.record_candidates([selection]) == ()
    (listed,) = json.loads(run("candidates", "--json"))
    assert (listed["id"], listed["state"], listed["statistics"]) == (number, "new", {"eta": 9.1})
    decided = json.loads(run("decide", number, "watching", "--note", "rises", "--by", "ops", "--json"))
    assert (decided["state"], decided["changed_by"]) == ("watching", "ops")
    assert [(note["state"], note["text"], note["name"]) for note in decided["notes"]] == [("watching", "rises", "ops")]
    assert json.loads(run("candidates", "--state", "new", "--json")) == []
    assert next(event.text for event in store.events.last(2) if event.rule == "candidate").endswith("by ops")
    run("decide", number, "dismissed", "--by", "ops")
    assert store.sky.record_candidates([selection]) == (), "a dismissed candidate is not selected again"
    with pytest.raises(BadInput, match="sources candidates"):
        run("decide", 99, "new")
