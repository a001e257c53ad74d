"""Blind source finding and its tables; PyBDSF itself only where it is installed."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io.votable import parse_single_table
from point_source_ms import OPTIONS, SOURCES, make_ms, separation_rad
from store_steps import register_file

from contimg.common.errors import Misconfigured
from contimg.store import Stage, Store
from contimg.tile.image import image
from contimg.tile.image.sources.finding import position_name, write_csv, write_votable
from contimg.tile.image.sources.matches import FoundSource

ONE = FoundSource("J013741+330935", 24.42, 33.16, 0.1, 0.2, 1.0, 0.01, 1.1, 0.02, 40.0, 30.0, 12.0, 0.003, 0.9)


def test_tables_hold_every_number_with_its_unit(tmp_path):
    write_votable(tmp_path / "a.vot", [ONE])
    write_csv(tmp_path / "a.csv", [ONE])
    table = parse_single_table(tmp_path / "a.vot").to_table()
    assert (table["name"][0], table["flux_jy"][0], str(table["flux_jy"].unit)) == ("J013741+330935", 1.1, "Jy")
    with (tmp_path / "a.csv").open() as file:
        row = next(csv.DictReader(file))
    assert {name: row[name] for name in ("name", "peak_jy", "local_rms_jy")} == {
        "name": "J013741+330935",
        "peak_jy": "1.0",
        "local_rms_jy": "0.003",
    }


def test_tables_without_sources_are_empty(tmp_path):
    write_votable(tmp_path / "a.vot", [])
    write_csv(tmp_path / "a.csv", [])
    assert len(parse_single_table(tmp_path / "a.vot").to_table()) == 0
    assert (tmp_path / "a.csv").read_text().startswith("name,ra_deg,")


@pytest.mark.parametrize(
    ("ra", "dec", "name"),
    [(24.42208, 33.15976, "J013741+330935"), (0.0, -0.5, "J000000-003000"), (359.9999, 5.0, "J235959+050000")],
)
def test_names_are_truncated_positions(ra, dec, name):
    assert position_name(ra, dec) == name


def test_missing_pybdsf_is_misconfigured(tile_ms, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bdsf", None)
    with pytest.raises(Misconfigured, match="pip install 'contimg"):
        image(tile_ms, tmp_path, OPTIONS.replace(size=256, iterations=10, find_sources=True))
    assert not list(tmp_path.glob("*.fits"))


@pytest.mark.judge("bdsf")
@pytest.mark.long
def test_pybdsf_finds_every_source(tile_ms, tmp_path):
    tile_image = image(tile_ms, tmp_path, OPTIONS.replace(find_sources=True))
    for source in SOURCES:
        place = source.direction()
        offsets_arcsec = [
            np.rad2deg(separation_rad(place, (candidate.ra_deg, candidate.dec_deg))) * 3600
            for candidate in tile_image.found_sources
        ]
        nearest = tile_image.found_sources[int(np.argmin(offsets_arcsec))]
        assert min(offsets_arcsec) < 1.0
        assert nearest.peak_jy / nearest.attenuation == pytest.approx(source.flux_jy, rel=0.03)
        assert nearest.flux_jy / nearest.attenuation == pytest.approx(source.flux_jy, rel=0.05)
    assert tile_image.products.votable.exists()
    with tile_image.products.csv.open() as file:
        assert len(list(csv.DictReader(file))) == len(tile_image.found_sources)


@pytest.mark.judge("bdsf")
def test_found_sources_are_in_store(tile_ms, tmp_path):
    tile_image = image(tile_ms, tmp_path, OPTIONS.replace(size=1280, iterations=300, find_sources=True))
    store = Store.open(tmp_path / "store.sqlite3")
    for subband in range(16):
        path = Path(f"/incoming/{tile_image.group}_sb{subband:02d}.hdf5")
        group = register_file(store, path, 1, 1.0).file.group
    for stage, results in ((Stage.CONVERT, []), (Stage.CALIBRATE, []), (Stage.IMAGE, [tile_image])):
        store.leases.commit(store.leases.claim(group, stage, "a"), results)
    kept = store.products.image_of(group).sources
    store.close()
    assert [source["name"] for source in kept] == [source.name for source in tile_image.found_sources]
    assert kept[0]["flux_jy"] == tile_image.found_sources[0].flux_jy
    assert kept[0]["local_rms_jy"] > 0


@pytest.mark.judge("bdsf")
def test_noise_has_no_sources(tmp_path):
    path = make_ms(tmp_path / "noise.ms", antennas=24, times=3, channels=16, sefd_jy=6500.0)
    tile_image = image(path, tmp_path, OPTIONS.replace(size=512, find_sources=True, source_sigma=6.0))
    assert tile_image.found_sources == ()
    assert len(parse_single_table(tile_image.products.votable).to_table()) == 0
