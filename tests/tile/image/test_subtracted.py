"""Sources outside the image that its cleaning subtracts: the list, its table and numbers."""

import csv
from functools import cache

import numpy as np
import pytest
from astropy.io import fits
from point_source_ms import Source, make_ms, separation_rad

from contimg.formats.ms.info import read_ms_info
from contimg.instrument.dsa110 import primary_beam
from contimg.sky.catalogue import CatalogueSources, Provenance, write_catalogue
from contimg.tile.image import ImageOptions, image
from contimg.tile.image.gridding.gridder import Gridder
from contimg.tile.image.gridding.slant import Slant
from contimg.tile.image.gridding.visibilities import ARCSEC_RAD, read_visibilities, select_rows
from contimg.tile.image.sources.subtracted import list_subtracted, write_subtracted

INSIDE, OUTSIDE = Source(-0.1, 0.15, 1.0), (Source(0.36, 0.1, 2.0), Source(-0.1, -0.38, 1.2))
OPTIONS = ImageOptions(size=400, pixel_arcsec=5.0, padding=1.8, smearing_percent=0.2, spectral_index=0.0)


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    directory = tmp_path_factory.mktemp("outside")
    ms = make_ms(
        directory / "outside.ms", (INSIDE, *OUTSIDE), antennas=36, times=3, spacing=3.0, channels=24, sefd_jy=3000.0
    )
    return image(ms, directory / "images", OPTIONS)


def test_table_lists_sources_outside_the_image(tile):
    ms = read_ms_info(tile.ms)
    with tile.products.subtracted.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == tile.subtracted_count >= 2
    for row, source in zip(rows, OUTSIDE, strict=False):
        position = float(row["ra_deg"]), float(row["dec_deg"])
        assert np.rad2deg(separation_rad(position, source.direction())) * 3600 < 1.0
        assert float(row["distance_deg"]) == pytest.approx(np.hypot(source.east_deg, source.north_deg), abs=1e-3)
        separations_rad = [separation_rad(source.direction(), np.rad2deg(pointing)) for pointing in ms.pointing_rad]
        response = np.mean([primary_beam(separation_rad, ms.freqs_hz) for separation_rad in separations_rad])
        assert float(row["flux_jy"]) == pytest.approx(source.flux_jy * response, rel=0.02)
        assert row["name"].startswith("J01")


def test_number_and_flux_are_in_header_and_record(tile):
    header = fits.getheader(tile.products.fits)
    assert (header["SUBTRNUM"], header["SUBTRJY"]) == (tile.subtracted_count, pytest.approx(tile.subtracted_jy))
    assert tile.subtracted_jy == pytest.approx(sum(source.flux_jy for source in tile.subtracted))
    assert [row["name"] for row in tile.subtracted_sources] == [source.name for source in tile.subtracted][:20]


def test_components_are_joined_and_coordinates_shifted(tile):
    ms = read_ms_info(tile.ms)
    data = read_visibilities(ms, select_rows(ms), "DATA", 1)
    gridder = Gridder(data, data.weights, 400, 6.0 * ARCSEC_RAD, 1, Slant(0.3, -0.2))
    model = np.zeros((400, 400), np.float32)
    model[200, 200], model[310, 350], model[312, 350], model[40, 90], model[380, 380] = 5.0, 1.0, 1.0, 0.5, -0.1
    header = fits.getheader(tile.products.fits)
    header.update({"CRPIX1": 101.0, "CRPIX2": 101.0, "BMAJ": 40 / 3600})
    first, second = list_subtracted(model, gridder, header, 200)
    assert [(source.flux_jy, source.components) for source in (first, second)] == [(2.0, 2), (0.5, 1)]
    assert first.distance_deg == pytest.approx(np.hypot(150, 111) * 6 / 3600, abs=0.002)
    header["CRPIX1"] -= 3 / 3600 / header["CDELT1"]
    shifted = list_subtracted(model, gridder, header, 200)[0]
    east_arcsec = (shifted.ra_deg - first.ra_deg) * np.cos(np.deg2rad(first.dec_deg)) * 3600
    assert east_arcsec == pytest.approx(3.0, abs=0.05)


def test_image_without_field_around_it_subtracts_nothing(tile, tmp_path):
    ms = read_ms_info(tile.ms)
    data = read_visibilities(ms, select_rows(ms), "DATA", 1)
    model = np.ones((200, 200), np.float32)
    gridder = Gridder(data, data.weights, 200, 6.0 * ARCSEC_RAD, 1)
    assert list_subtracted(model, gridder, fits.getheader(tile.products.fits), 200) == ()
    write_subtracted(tmp_path / "empty.csv", ())
    assert (tmp_path / "empty.csv").read_text() == "name,ra_deg,dec_deg,flux_jy,distance_deg,components\n"


@pytest.fixture(scope="module")
def beyond(tmp_path_factory):
    """Image a tile with a source of 2 Jy beyond the field, and a catalogue that has it with a wrong flux or not."""
    directory = tmp_path_factory.mktemp("beyond")
    far = Source(0.5, -0.45, 2.0)
    ms = make_ms(
        directory / "beyond.ms", (INSIDE, far), antennas=36, times=3, spacing=3.0, channels=24, sefd_jy=3000.0,
        corrected={
            "set": "s", "grade": "good", "calibration_class": "same day", "bandpass_age_h": 6.1, "gain_age_h": 6.0,
            "gain_snr": 80.0, "phase_residual_deg": 12.0,
        },
    )  # fmt: skip

    @cache
    def make(factor):
        path = directory / f"{factor}.catalogue"
        positions = np.array([source.direction() for source in (INSIDE, far)]).T
        fluxes_jy = [INSIDE.flux_jy, factor * far.flux_jy]
        sources = CatalogueSources.of(1.4e9, ["inside", "far"], *positions, fluxes_jy, spectral_index=0.0)
        write_catalogue(path, sources, Provenance(
            name="sky", kind="survey", frequency_hz=1.4e9, beam_deg=0.005, flux_limit_jy=0.001,
        ))  # fmt: skip
        options = OPTIONS.replace(padding=1.1)
        return image(ms, directory / f"images{factor}", options, reference_catalogue=path if factor else None)

    return far, ms, make


@pytest.mark.long
def test_catalogued_source_beyond_the_field_is_subtracted(beyond):
    far, ms, make = beyond
    without, subtracted, wrong = make(0.0), make(1.2), make(9.0)
    (listed,) = (source for source in subtracted.subtracted if source.components == 0)
    assert np.rad2deg(separation_rad((listed.ra_deg, listed.dec_deg), far.direction())) * 3600 < 1.0
    info = read_ms_info(ms)
    separations_rad = [separation_rad(far.direction(), np.rad2deg(pointing)) for pointing in info.pointing_rad]
    response = np.mean([primary_beam(separation, info.freqs_hz) for separation in separations_rad])
    assert listed.flux_jy == pytest.approx(far.flux_jy * response, rel=0.05)
    assert subtracted.rms_jy < 0.7 * without.rms_jy
    assert fits.getheader(subtracted.products.fits)["SUBTRJY"] >= listed.flux_jy
    assert not [source for source in wrong.subtracted if source.components == 0], "the visibilities contradict it"
    assert wrong.rms_jy == pytest.approx(without.rms_jy, rel=1e-3)


def test_header_and_grade_have_class_and_age_of_calibration(beyond):
    """A phase residual of 12 degrees costs 4.3 % of the flux, which makes the image suspect."""
    tile = beyond[2](0.0)
    header = fits.getheader(tile.products.fits)
    cards = ("CALCLASS", "CALAGE", "GAINAGE", "GAINSNR", "PHASERES")
    assert [header[card] for card in cards] == ["same day", 6.1, 6.0, 80.0, 12.0]
    assert header["FLUXLOSS"] == pytest.approx(1 - np.exp(-(np.deg2rad(12.0) ** 2)))
    assert tile.verdict != "good"
    assert any("12.0 deg rms" in reason and "6.0 h old" in reason for reason in tile.verdict_reasons)
