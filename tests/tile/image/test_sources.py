"""Blind source finding and its tables; PyBDSF itself only where it is installed."""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.wcs import WCS
from point_source_ms import OPTIONS, SOURCES, make_ms, separation_rad
from scipy.signal import fftconvolve
from store_steps import register_file

from contimg.common.errors import Misconfigured
from contimg.store import Stage, Store
from contimg.tile.image import image
from contimg.tile.image.deconvolution.restoring import evaluate_beam
from contimg.tile.image.result import Beam
from contimg.tile.image.sources.finding import find_sources, mark_sources, position_name, write_csv, write_votable
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


def test_edge_and_surroundings_of_strong_sources_are_marked():
    header = fits.Header()
    for axis, kind, value, step in ((1, "RA---SIN", 24.4, -5 / 3600), (2, "DEC--SIN", 33.16, 5 / 3600)):
        header.update({f"CTYPE{axis}": kind, f"CRPIX{axis}": 401.0, f"CRVAL{axis}": value, f"CDELT{axis}": step})
    header["BMAJ"] = 40 / 3600  # 8 pixels
    wcs = WCS(header)
    # x, y, peak and the mark that is expected: 24 pixels from the edge, 80 from the strong source.
    rows = [(400, 400, 1.0, ""), (470, 400, 0.02, ""), (340, 380, 0.009, "near strong"), (400, 490, 0.008, ""),
            (20, 300, 0.007, "edge"), (300, 790, 0.006, "edge"), (760, 760, 0.005, "")]  # fmt: skip
    positions = [wcs.all_pix2world(x, y, 0) for x, y, _, _ in rows]
    sources = [
        replace(ONE, ra_deg=float(ra), dec_deg=float(dec), peak_jy=row[2])
        for (ra, dec), row in zip(positions, rows, strict=True)
    ]
    marked = mark_sources(sources, header, (800, 800))
    assert [source.mark for source in marked] == [row[3] for row in rows]
    assert mark_sources([], header, (800, 800)) == ()


@pytest.mark.long
@pytest.mark.judge("bdsf")
def test_faint_sources_are_found_with_a_long_beam(tmp_path):
    """The beam of +68 degrees, 2.3 times longer than wide: PyBDSF's defaults drop most of these sources."""
    header, size, rms_jy, snr = fits.Header(), 360, 1e-3, 12.0
    for axis, kind, value, step in ((1, "RA---SIN", 24.4, -5 / 3600), (2, "DEC--SIN", 33.16, 5 / 3600)):
        header.update({f"CTYPE{axis}": kind, f"CRPIX{axis}": 181.0, f"CRVAL{axis}": value, f"CDELT{axis}": step})
        header[f"CUNIT{axis}"] = "deg"
    header.update({"CTYPE3": "FREQ", "CRPIX3": 1.0, "CRVAL3": 1.4e9, "CDELT3": 2e8, "CUNIT3": "Hz"})
    header.update({"CTYPE4": "STOKES", "CRPIX4": 1.0, "CRVAL4": 1.0, "CDELT4": 1.0, "BUNIT": "JY/BEAM"})
    header.update({"BMAJ": 47 / 3600, "BMIN": 20.6 / 3600, "BPA": -75.5})
    beam = Beam(47.0, 20.6, -75.5)
    steps = np.arange(-30.0, 31.0)
    kernel = evaluate_beam(beam, 5.0, steps[None, :], steps[:, None])
    # Noise of the beam's shape, and of rms 1 mJy.
    noise = fftconvolve(np.random.default_rng(3).standard_normal((size, size)), kernel, mode="same")
    picture = noise * rms_jy / noise.std()
    pixels = [(x, y) for x in range(60, 320, 60) for y in range(60, 320, 60)]
    for x, y in pixels:
        picture[y - 30 : y + 31, x - 30 : x + 31] += snr * rms_jy * kernel
    sources = find_sources(picture.astype(np.float32), np.ones_like(picture), header, 5.0, tmp_path)
    places = np.stack(WCS(header).celestial.all_world2pix(*np.array([[s.ra_deg, s.dec_deg] for s in sources]).T, 0)).T
    distances = [np.hypot(*(places - pixel).T).min() for pixel in pixels]
    assert sum(distance < 4 for distance in distances) == len(pixels)
    assert len(sources) <= len(pixels) + 2
    pulls = [(source.peak_jy - snr * rms_jy) / source.peak_error_jy for source in sources[: len(pixels)]]
    assert 0.5 < np.std(pulls) < 1.6


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


@pytest.mark.long
@pytest.mark.judge("bdsf")
def test_noise_has_no_sources(tmp_path):
    path = make_ms(tmp_path / "noise.ms", antennas=24, times=3, channels=16, sefd_jy=6500.0)
    tile_image = image(path, tmp_path, OPTIONS.replace(size=512, find_sources=True, source_sigma=6.0))
    assert tile_image.found_sources == ()
    assert len(parse_single_table(tile_image.products.votable).to_table()) == 0
