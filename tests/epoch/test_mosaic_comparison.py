"""A mosaic across right ascension 0h against catalogues with other fluxes and positions, and with sources too many."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import test_pipeline_catalogue as drawn
from astropy.io import fits

from contimg.epoch.mosaic import make_mosaic
from contimg.quality.comparison import describe_comparison
from contimg.sky.catalogue import SIMULATED, CatalogueSources, Provenance, open_catalogue, write_catalogue
from contimg.sky.comparison.astrometry import shift_header
from contimg.tile.image.sources.forced import compare_fits

LATTICE = [
    ((359.75 + 0.07 * column + 0.01 * (row % 3)) % 360, 32.78 + 0.07 * row, 0.05 + 0.01 * ((7 * row + column) % 20))
    for row in range(7)
    for column in range(8)
]


EAST_ARCSEC, NORTH_ARCSEC = 2.0, -1.5


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """Two overlapping tile images of the lattice."""
    paths = [tmp_path_factory.mktemp("tiles") / f"{name}.fits" for name in ("first", "second")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn, "SOURCES", LATTICE)
        for seed, path in enumerate(paths):
            drawn.write_image(path, 0.05 if seed else 359.95, seed, pb_width_deg=1.2)
            fits.setval(path, "CDELT3", value=1e6)
    return paths


def write_list(path, scale, extra=0, offset_arcsec=(0.0, 0.0)):
    """The lattice with fluxes over a scale, less an offset, and sources between that the image does not show."""
    between = [((ra_deg + 0.035) % 360, dec_deg + 0.035, flux_jy) for ra_deg, dec_deg, flux_jy in LATTICE[:extra]]
    ra_deg, dec_deg, flux_jy = np.array([*LATTICE, *between]).T
    dec_deg = dec_deg - offset_arcsec[1] / 3600
    ra_deg = ra_deg - offset_arcsec[0] / 3600 / np.cos(np.deg2rad(dec_deg))
    names = [f"s{number}" for number in range(len(ra_deg))]
    provenance = Provenance(
        name=path.stem, kind=SIMULATED, frequency_hz=1.405e9, beam_deg=0.004, flux_limit_jy=0.005
    )  # fmt: skip
    sources = CatalogueSources.of(1.405e9, names, ra_deg, dec_deg, flux_jy / scale)
    return write_catalogue(path, sources, provenance).path


@pytest.mark.long
def test_mosaic_has_flux_ratio_and_completeness(tiles, tmp_path):
    scaled = write_list(tmp_path / "scaled.catalogue", 1.05)
    mosaic = make_mosaic(tiles, tmp_path / "mosaic.fits", reference_catalogue=scaled)
    assert mosaic.catalogue_flux_ratio == pytest.approx(1.05, abs=0.01)
    assert (mosaic.catalogue_name, mosaic.catalogue_kind) == ("scaled", "simulated")
    assert mosaic.catalogue_completeness == 1.0
    header = fits.getheader(mosaic.fits_path)
    assert (header["CATNAME"], header["CATMATCH"]) == ("scaled", mosaic.catalogue_matches)
    assert header["CATFLUX"] == pytest.approx(mosaic.catalogue_flux_ratio)
    assert {"FSNRAT1", "FRDRAT1", "CPLFRAC1", "OFSE1"} <= set(header)
    assert mosaic.catalogue_flux_by_snr[-1]["flux_ratio"] == pytest.approx(1.05, abs=0.02)
    assert mosaic.comparison_png_path.read_bytes().startswith(b"\x89PNG")
    assert mosaic.shift_east_arcsec is None
    fuller = write_list(tmp_path / "fuller.catalogue", 1.0, extra=28)
    mosaic = make_mosaic(tiles, tmp_path / "mosaic.fits", reference_catalogue=fuller)
    assert mosaic.catalogue_completeness == pytest.approx(2 / 3, abs=0.1)
    assert any("sources that the catalogue predicts" in reason for reason in mosaic.verdict_reasons)
    alone = make_mosaic(tiles, tmp_path / "alone.fits")
    assert (alone.catalogue_name, alone.comparison_png_path, alone.catalogue_completeness) == (None, None, None)
    assert describe_comparison(alone) == "not compared"


@pytest.mark.long
def test_offset_is_corrected_once(tiles, tmp_path):
    """Of tile images without a correction by the mosaic; of corrected ones not again."""
    reference = write_list(tmp_path / "moved.catalogue", 1.0, offset_arcsec=(EAST_ARCSEC, NORTH_ARCSEC))
    mosaic = make_mosaic(tiles, tmp_path / "first.fits", reference_catalogue=reference)
    measured = mosaic.catalogue_offset_east_arcsec, mosaic.catalogue_offset_north_arcsec
    assert measured == pytest.approx((EAST_ARCSEC, NORTH_ARCSEC), abs=0.3)
    assert (mosaic.shift_east_arcsec, mosaic.shift_north_arcsec) == pytest.approx((-measured[0], -measured[1]))
    for path in (mosaic.fits_path, mosaic.weight_fits_path, mosaic.rms_fits_path):
        assert fits.getheader(path)["ASTSHFTE"] == pytest.approx(-EAST_ARCSEC, abs=0.3)
    assert compare_fits(mosaic.fits_path, reference)[0].catalogue_offset_arcsec < 0.1
    brightest = mosaic.sources[0]
    nearest = open_catalogue(reference).cone(brightest["ra_deg"], brightest["dec_deg"], 1.5 / 3600)
    assert len(nearest) == 1
    corrected = [Path(shutil.copy(path, tmp_path)) for path in tiles]
    for path, copied in zip(tiles, corrected, strict=True):
        shutil.copy(path.with_suffix(".pb.fits"), tmp_path)
        for name in (copied, copied.with_suffix(".pb.fits")):
            with fits.open(name, mode="update") as file:
                assert shift_header(file[0].header, -EAST_ARCSEC, -NORTH_ARCSEC)
    again = make_mosaic(corrected, tmp_path / "again.fits", reference_catalogue=reference)
    assert again.catalogue_offset_arcsec < 0.3
    assert again.shift_east_arcsec is None
    assert "ASTSHFTE" not in fits.getheader(again.fits_path)
