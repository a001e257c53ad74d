"""The image stage with a reference catalogue: header, plots, corrected coordinates, command."""

import json

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner
from point_source_ms import Source, make_ms

from contimg.cli.tile.stages import image as command
from contimg.sky.catalogue import SIMULATED, CatalogueSources, Provenance, write_catalogue
from contimg.tile.image import ImageOptions, image
from contimg.tile.image.sources.forced import compare_fits
from contimg.tile.image.sources.photometry import measure_source

EAST_ARCSEC, NORTH_ARCSEC, SCALE = 1.2, -1.6, 1.05  # of the image against the catalogue
SIDE = np.linspace(-0.32, 0.32, 5)
SOURCES = tuple(
    Source(east + 0.02 * np.sin(9 * north), north + 0.02 * np.cos(7 * east), 0.2 + 0.1 * number)
    for number, (east, north) in enumerate((east, north) for east in SIDE for north in SIDE)
)
OPTIONS = ImageOptions(size=512, pixel_arcsec=6.0, padding=1.0, smearing_percent=0.2)


@pytest.fixture(scope="module")
def crowded_ms(tmp_path_factory):
    path = tmp_path_factory.mktemp("crowded") / "2026-02-22T23:17:51.ms"
    return make_ms(path, SOURCES, antennas=32, times=4, spacing=4.0, channels=16, sefd_jy=650.0, corrected={"set": "a"})


@pytest.fixture(scope="module")
def catalogue(crowded_ms):
    ra_deg, dec_deg = np.array([source.direction() for source in SOURCES]).T
    flux_jy = np.array([source.flux_jy for source in SOURCES]) / SCALE
    provenance = Provenance(
        name="listed", kind=SIMULATED, frequency_hz=1.4e9, beam_deg=0.004, flux_limit_jy=0.01, spectral_index=0.0
    )
    sources = CatalogueSources.of(
        1.4e9, [f"s{number}" for number in range(len(SOURCES))],
        ra_deg - EAST_ARCSEC / 3600 / np.cos(np.deg2rad(dec_deg)), dec_deg - NORTH_ARCSEC / 3600, flux_jy,
    )  # fmt: skip
    return write_catalogue(crowded_ms.parent / "listed.catalogue", sources, provenance).path


@pytest.fixture(scope="module")
def compared(crowded_ms, catalogue):
    return image(crowded_ms, crowded_ms.parent / "images", OPTIONS, reference_catalogue=catalogue)


def test_stage_measures_scale_and_offset(compared):
    assert compared.catalogue_matches >= 20
    assert compared.catalogue_flux_ratio == pytest.approx(SCALE, abs=0.01)
    offset = compared.catalogue_offset_east_arcsec, compared.catalogue_offset_north_arcsec
    assert offset == pytest.approx((EAST_ARCSEC, NORTH_ARCSEC), abs=0.3)
    header = fits.getheader(compared.products.fits)
    assert (header["CATNAME"], header["CATKIND"], header["CATMATCH"]) == (
        "listed", "simulated", compared.catalogue_matches
    )  # fmt: skip
    assert header["CATFLUX"] == pytest.approx(compared.catalogue_flux_ratio)
    assert header["CATFLUXE"] == pytest.approx(compared.catalogue_flux_error)
    last = len(compared.catalogue_flux_by_snr)
    assert header[f"FSNRAT{last}"] == pytest.approx(compared.catalogue_flux_by_snr[-1]["flux_ratio"])
    assert f"FSNRAT{last + 1}" not in header
    assert {"CPLFRAC1", "FRDRAT1"} <= set(header)
    assert compared.products.comparison.read_bytes().startswith(b"\x89PNG")


def test_coordinates_are_corrected_in_all_files(compared, catalogue):
    for path in (compared.products.fits, compared.products.primary_beam, compared.products.corrected):
        header = fits.getheader(path)
        assert header["ASTSHFTE"] == pytest.approx(-EAST_ARCSEC, abs=0.3)
        assert header["ASTSHFTN"] == pytest.approx(-NORTH_ARCSEC, abs=0.3)
    ra_deg, dec_deg = SOURCES[12].direction()
    listed = ra_deg - EAST_ARCSEC / 3600 / np.cos(np.deg2rad(dec_deg)), dec_deg - NORTH_ARCSEC / 3600
    assert measure_source(compared.products.fits, *listed).offset_arcsec < 0.3
    again, _ = compare_fits(compared.products.fits, catalogue)
    assert again.catalogue_offset_arcsec < 0.1


def test_command_compares_and_leaves_coordinates(crowded_ms, catalogue, tmp_path):
    arguments = [
        *(str(crowded_ms), "--directory", str(tmp_path), "--reference-catalogue", str(catalogue), "--json"),
        *("--size", "512", "--pixel-arcsec", "6", "--iterations", "0", "--no-correct-positions"),
    ]  # fmt: skip
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["catalogue_name"], record["shift_east_arcsec"]) == ("listed", None)
    assert record["catalogue_matches"] >= 5  # the sidelobes of a dirty image hide the others
    assert record["catalogue_offset_arcsec"] == pytest.approx(2.0, abs=0.6)
    assert "ASTSHFTE" not in fits.getheader(tmp_path / "2026-02-22T23:17:51.fits")
