"""Another telescope's dishes, names and frequencies: right numbers, or absent ones, in image and calibration."""

import logging
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from casacore.tables import table

sys.path.append(str(Path(__file__).parents[2] / "tile" / "image"))

from point_source_ms import Source, make_ms

from contimg.formats.ms.info import read_ms_info
from contimg.formats.uvh5.header import read_header
from contimg.instrument.calibrators import find_calibrator
from contimg.tile.calibrate.selection import select_calibrators
from contimg.tile.convert import ConvertOptions, convert
from contimg.tile.image import ImageOptions, image
from contimg.tile.image.sources.catalogue import read_catalogue

C_M_S = 299_792_458.0
OPTIONS = ImageOptions(size=384, pixel_arcsec=6.0, iterations=50, plots=True)


def make_array(path, name, diameters_m):
    """A Measurement Set of one source, whose dishes follow the sky, of a telescope with a name and diameters."""
    make_ms(path, (Source(0.0, 0.0, 1.0),), antennas=12, times=2, channels=8, airy=False, drift=False)
    with table(f"{path}::ANTENNA", ack=False, readonly=False) as antenna:
        antenna.putcol("DISH_DIAMETER", np.resize(np.asarray(diameters_m, dtype=float), antenna.nrows()))
    with table(f"{path}::OBSERVATION", ack=False, readonly=False) as observation:
        observation.putcell("TELESCOPE_NAME", 0, name)
    return path


@pytest.mark.parametrize(
    ("name", "diameters_m", "expected_m", "has_sefd"),
    [
        ("OVRO_MMA", [4.65], 4.65, True),
        ("DSA-110", [4.7], 4.65, True),
        ("OVRO_MMA", [5.0], 4.65, True),
        ("OVRO_MMA", [4.65, 5.1], 4.65, True),
        ("OVRO_MMA", [5.2], 5.2, False),
        ("OVRO_MMA", [0.0], 4.65, True),
        ("OVRO_MMA", [4.65, 0.0, np.nan], 4.65, True),
        ("OVRO_MMA", [25.0], 25.0, False),
        ("VLA", [25.0], 25.0, False),
        ("VLA", [4.65], 4.65, False),
        ("VLA", [25.0, 25.2], 25.1, False),
        ("VLA", [0.0], None, False),
        ("VLA", [25.0, 0.0], None, False),
        ("ALMA", [7.0, 12.0], None, False),
        ("", [25.0], 25.0, False),
    ],
)
def test_diameter_and_sefd_by_telescope(tmp_path, name, diameters_m, expected_m, has_sefd):
    ms = read_ms_info(make_array(tmp_path / "array.ms", name, diameters_m))
    assert ms.dish_diameter_m == pytest.approx(np.nan if expected_m is None else expected_m, nan_ok=True)
    assert (ms.sefd_jy is not None) == has_sefd


def test_primary_beam_of_25_m_dishes(tmp_path, caplog):
    path = make_array(tmp_path / "2026-01-01T00:00:00.ms", "VLA", [25.0])
    with caplog.at_level(logging.WARNING):
        tile_image = image(path, tmp_path / "images", OPTIONS)
    assert "VLA" in caplog.text
    assert "25 m" in caplog.text
    assert tile_image.expected_rms_jy is None
    assert not any("expected" in reason for reason in tile_image.verdict_reasons)
    header = fits.getheader(tile_image.products.fits)
    assert (header["TELESCOP"], header["DISHDIAM"]) == ("VLA", 25.0)
    assert header["RMSTHERM"] is None
    pb = fits.getdata(tile_image.products.primary_beam)[0, 0]
    # An Airy disk has half its power at 0.5145 lambda/D.
    half_rad = 0.5145 * C_M_S / tile_image.freq_hz / 25.0
    half_pixels = np.rad2deg(half_rad) * 3600 / tile_image.cell_arcsec
    middle = tile_image.pixels // 2
    assert pb[middle, middle] == pytest.approx(1.0, abs=1e-4)
    assert np.interp(half_pixels, np.arange(middle), pb[middle, middle:]) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("diameters_m", [[0.0], [7.0, 12.0]])
def test_unknown_primary_beam_is_blank(tmp_path, caplog, diameters_m):
    path = make_array(tmp_path / "2026-01-01T00:00:00.ms", "ALMA", diameters_m)
    tile_image = image(path, tmp_path / "images", OPTIONS)
    assert "DISH_DIAMETER" in caplog.text
    assert tile_image.peak_jy == pytest.approx(1.0, rel=0.01)
    assert tile_image.dish_diameter_m is None
    assert tile_image.matches == ()
    for path in (tile_image.products.primary_beam, tile_image.products.corrected):
        assert np.isnan(fits.getdata(path)).all()
    assert fits.getheader(tile_image.products.fits)["DISHDIAM"] is None


def test_own_telescope_keeps_its_numbers(tmp_path):
    path = make_array(tmp_path / "2026-01-01T00:00:00.ms", "OVRO_MMA", [4.65])
    tile_image = image(path, tmp_path / "images", OPTIONS)
    header = fits.getheader(tile_image.products.fits)
    assert header["TELESCOP"] == "OVRO_MMA"
    assert header["RMSTHERM"] == tile_image.expected_rms_jy > 0


def test_file_without_diameters_has_none_in_ms(tmp_path, drift_sim_files):
    paths = {}
    for subband, path in drift_sim_files.items():
        paths[subband] = tmp_path / path.name
        paths[subband].write_bytes(path.read_bytes())
        with h5py.File(paths[subband], "a") as file:
            file["Header"].pop("antenna_diameters", None)
            del file["Header/telescope_name"]
            file["Header/telescope_name"] = "elsewhere"
    converted = convert(paths, tmp_path / "other.ms", ConvertOptions(telescope="any"))
    ms = read_ms_info(converted.path)
    assert ms.telescope == "elsewhere"
    assert np.isnan(ms.dish_diameter_m)
    assert ms.sefd_jy is None


@pytest.mark.parametrize(("given_m", "expected_m"), [(5.0, 5.0), (5.2, 4.65), (np.nan, 4.65), (0.0, 4.65)])
def test_own_dishes_of_a_file(given_m, expected_m, changed_files):
    files = changed_files(lambda file: file["Header/antenna_diameters"].write_direct(np.full(117, given_m)), [5])
    assert read_header(files[5]).array.diameters_m == pytest.approx(expected_m)


@pytest.mark.parametrize(("freq_hz", "is_compared"), [(0.1e9, False), (1.4e9, True), (5e9, True), (90e9, False)])
def test_catalogue_is_compared_within_its_spectra(freq_hz, is_compared):
    assert bool(read_catalogue(ImageOptions(), freq_hz)) == is_compared


def test_calibrators_through_25_m_dishes(tmp_path):
    """3C48 lies 0.1 deg from the centre of the field: 4.65 m lose 0.4 %, 25 m lose 11 %."""
    calibrator = find_calibrator("3C48")
    path = make_array(tmp_path / "vla.ms", "VLA", [25.0])
    with table(f"{path}::FIELD", ack=False, readonly=False) as field:
        for column in ("PHASE_DIR", "DELAY_DIR", "REFERENCE_DIR"):
            field.putcell(column, 0, np.array([[calibrator.ra_rad, calibrator.dec_rad + np.deg2rad(0.1)]]))
    with table(f"{path}::POINTING", ack=False, readonly=False) as pointing:
        pointing.removerows(range(pointing.nrows()))
    ms = read_ms_info(path)
    selected = select_calibrators(ms, 0.5, 3.0)[0]
    assert selected.calibrator.alias == "3C48"
    # A Gaussian of the Airy disk's width is within 1 % of it at this distance.
    fwhm_rad = 1.029 * C_M_S / ms.freqs_hz.mean() / 25.0
    assert selected.pb_response == pytest.approx(np.exp(-4 * np.log(2) * (np.deg2rad(0.1) / fwhm_rad) ** 2), abs=0.01)
