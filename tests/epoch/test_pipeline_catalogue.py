"""A catalogue of the pipeline's own images: sources of overlapping images once, with true fluxes."""

import json

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from click.testing import CliRunner

from contimg.cli import contimg
from contimg.common.errors import BadInput
from contimg.epoch.pipeline_catalogue import best_mosaics, catalogue_from_images

SIZE, CELL_ARCSEC, BEAM_ARCSEC, RMS_JY = 300, 8.0, 32.0, 1e-3
# Right ascension 0 runs through both images.
SOURCES = ((359.95, 33.05, 0.20), (0.10, 32.90, 0.08), (359.80, 33.20, 0.05), (0.02, 33.22, 0.5))


def write_image(path, centre_ra_deg, seed, pb_width_deg=None, verdict="good"):
    """A restored image of the sources with noise of the beam's size, attenuated by a primary beam that is beside it."""
    header = fits.PrimaryHDU(np.zeros((1, 1, SIZE, SIZE), "f4")).header
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---SIN", "DEC--SIN"], [centre_ra_deg, 33.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [SIZE / 2 + 1] * 2, [-CELL_ARCSEC / 3600, CELL_ARCSEC / 3600]
    header.update(wcs.to_header())
    header["CTYPE3"], header["CTYPE4"], header["CRVAL3"], header["CRVAL4"] = "FREQ", "STOKES", 1.405e9, 1.0
    header["BMAJ"] = header["BMIN"] = BEAM_ARCSEC / 3600
    header["VERDICT"] = verdict
    header["BPA"], header["BUNIT"], header["RESTFRQ"] = 0.0, "Jy/beam", 1.405e9
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    sigma = BEAM_ARCSEC / CELL_ARCSEC / 2.3548
    noise = np.random.default_rng(seed).normal(size=(SIZE, SIZE))
    kernel = np.exp(-0.5 * ((x - SIZE / 2) ** 2 + (y - SIZE / 2) ** 2) / sigma**2)
    noise = np.fft.irfft2(np.fft.rfft2(noise) * np.fft.rfft2(np.fft.ifftshift(kernel)), noise.shape)
    pb = np.ones((SIZE, SIZE))
    if pb_width_deg:
        radius_deg = np.hypot(x - SIZE / 2, y - SIZE / 2) * CELL_ARCSEC / 3600
        pb = np.exp(-4 * np.log(2) * (radius_deg / pb_width_deg) ** 2)
        fits.PrimaryHDU(pb.astype("f4"), header).writeto(path.with_name(f"{path.stem}.pb.fits"))
    image = RMS_JY * noise / noise.std()
    for ra_deg, dec_deg, flux_jy in SOURCES:
        px, py = wcs.all_world2pix(ra_deg, dec_deg, 0)
        image += pb * flux_jy * np.exp(-0.5 * ((x - px) ** 2 + (y - py) ** 2) / sigma**2)
    fits.PrimaryHDU(image.astype("f4")[None, None], header).writeto(path)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    directory = tmp_path_factory.mktemp("mosaics")
    write_image(directory / "first.fits", 0.05, 1)
    with fits.open(directory / "first.fits", mode="update") as file:  # two axes, as other programs write
        file[0].data = file[0].data[0, 0]
    write_image(directory / "second.fits", 359.95, 2, pb_width_deg=0.8)
    return sorted(path for path in directory.glob("*.fits") if ".pb." not in path.name)


@pytest.mark.long
def test_sources_come_out_once_with_true_fluxes(tmp_path, images, monkeypatch):
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("CONTIMG_OUTPUT_DIR", str(tmp_path / "products"))
    (tmp_path / "products").mkdir()
    (tmp_path / "products" / "mosaics").symlink_to(images[0].parent)
    words = ["catalogue", "from-mosaics", "own", "--json"]  # all that are graded good
    result = CliRunner().invoke(contimg, words, standalone_mode=False, catch_exceptions=False)
    catalogue = json.loads(result.output)
    assert (catalogue["kind"], catalogue["n_sources"]) == ("pipeline", len(SOURCES))
    assert catalogue["frequency_hz"] == 1.405e9
    assert catalogue["inputs"] == ["first.fits", "second.fits"]
    assert 5 * RMS_JY < catalogue["flux_limit_jy"] < 20 * RMS_JY
    query = CliRunner().invoke(contimg, ["catalogue", "query", "0", "33", "1", "--json"], standalone_mode=False)
    rows = json.loads(query.output)["sources"]
    truth = SkyCoord([s[0] for s in SOURCES], [s[1] for s in SOURCES], unit="deg")
    for row in rows:
        nearest, separation, _ = SkyCoord(row["ra_deg"], row["dec_deg"], unit="deg").match_to_catalog_sky(truth)
        flux_jy = SOURCES[int(nearest)][2]
        assert float(separation.arcsec[0]) < 2.0
        assert row["flux_jy"] == pytest.approx(flux_jy, abs=4 * RMS_JY + 0.03 * flux_jy)
        assert row["position_error_deg"] * 3600 < 2.0
    listed = CliRunner().invoke(contimg, ["catalogue", "list"], standalone_mode=False).output
    assert "pipeline" in listed


def test_images_graded_bad_are_no_reference(tmp_path, images):
    path = tmp_path / "bad.fits"
    write_image(path, 0.0, 3, verdict="bad")
    assert best_mosaics(tmp_path) == []
    assert best_mosaics(tmp_path / "missing") == []
    assert best_mosaics(images[0].parent) == images
    with pytest.raises(BadInput, match="graded bad"):
        catalogue_from_images(tmp_path / "own.catalogue", "own", [path])


def test_an_image_without_beam_is_refused(tmp_path, images):
    stripped = tmp_path / "stripped.fits"
    with fits.open(images[0]) as file:
        header = file[0].header.copy()
        del header["BMAJ"]
        fits.PrimaryHDU(file[0].data, header).writeto(stripped)
    with pytest.raises(BadInput, match="BMAJ"):
        catalogue_from_images(tmp_path / "own.catalogue", "own", [stripped])
    (tmp_path / "text.fits").write_text("no image")
    with pytest.raises(BadInput, match=r"text\.fits"):
        catalogue_from_images(tmp_path / "own.catalogue", "own", [tmp_path / "text.fits"])
    assert not (tmp_path / "own.catalogue").exists()
