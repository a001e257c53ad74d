"""WSClean is the judge of the imager and a backend of it: same options, same picture."""

import stat

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from casacore.tables import table
from point_source_ms import SOURCES, Source, make_ms

from contimg.common.errors import BadInput, Misconfigured, Transient
from contimg.formats.ms.info import read_ms_info
from contimg.tile.image import ImageOptions, image
from contimg.tile.image.deconvolution.restoring import evaluate_beam, fit_beam
from contimg.tile.image.deconvolution.wsclean import run_wsclean
from contimg.tile.image.gridding.gridder import Gridder
from contimg.tile.image.gridding.visibilities import read_visibilities, select_rows
from contimg.tile.image.gridding.weighting import compute_imaging_weights
from contimg.tile.image.result import Beam
from contimg.tile.image.sources.photometry import measure_source

CALIBRATED = {"set": "2026-02-22T20:00:00_3C48", "calibrator": "3C48", "mjd": 61093.83, "tables": ["a.b"]}
PIXEL_ARCSEC, SIZE = 6.0, 1280
# One stopping rule and one model for both, and nothing averaged by one of them alone.
SAME = ImageOptions(
    size=SIZE, pixel_arcsec=PIXEL_ARCSEC, mask_sigma=5.0, threshold_sigma=1.0, iterations=5000, smearing_percent=0.5,
    padding=1.0, changing_sky=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A tile with the telescope's thermal noise by this imager and by WSClean."""
    path = tmp_path_factory.mktemp("judged") / "2026-02-22T23:17:51.ms"
    make_ms(path, SOURCES, antennas=32, times=6, spacing=3.0, channels=48, sefd_jy=6500.0, corrected=CALIBRATED)
    wsclean = SAME.replace(imager="wsclean")
    return image(path, path.parent / "ducc", SAME), image(path, path.parent / "wsclean", wsclean)


def integrated_jy(tile_image, ra_deg, dec_deg):
    """Flux of a source in a box of three beams, in terms of the image's own beam."""
    with fits.open(tile_image.products.fits) as units:
        picture, wcs = units[0].data[0, 0].astype(float), WCS(units[0].header).celestial
    x, y = (round(float(place)) for place in wcs.all_world2pix(ra_deg, dec_deg, 0))
    reach = round(1.5 * tile_image.beam_major_arcsec / tile_image.cell_arcsec)
    steps = np.arange(-reach, reach + 1)
    beam = Beam(tile_image.beam_major_arcsec, tile_image.beam_minor_arcsec, tile_image.beam_angle_deg)
    shape = evaluate_beam(beam, tile_image.cell_arcsec, steps[None, :], steps[:, None])
    return picture[y - reach : y + reach + 1, x - reach : x + reach + 1].sum() / shape.sum()


@pytest.mark.judge("wsclean")
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: f"{source.flux_jy}Jy")
def test_sources_agree(judged, source):
    place = source.direction()
    ducc, wsclean = (measure_source(tile_image.products.fits, *place) for tile_image in judged)
    noise = 0.5 * judged[0].rms_jy / ducc.apparent_jy  # each stops at its own place within the noise
    assert ducc.apparent_jy == pytest.approx(wsclean.apparent_jy, rel=0.01 + noise)
    assert integrated_jy(judged[0], *place) == pytest.approx(integrated_jy(judged[1], *place), rel=0.01 + 3 * noise)
    apart = np.hypot((ducc.ra_deg - wsclean.ra_deg) * np.cos(np.deg2rad(place[1])), ducc.dec_deg - wsclean.dec_deg)
    assert apart * 3600 < 0.1 * judged[1].beam_minor_arcsec


@pytest.mark.judge("wsclean")
def test_noise_agrees(judged):
    ducc, wsclean = judged
    assert ducc.rms_jy == pytest.approx(wsclean.rms_jy, rel=0.05)


@pytest.mark.judge("wsclean")
@pytest.mark.parametrize(
    ("weighting", "robust", "taper"),
    [("natural", 0.0, 0.0), ("uniform", 0.0, 0.0), ("briggs", 0.5, 0.0), ("briggs", -0.5, 0.0), ("briggs", 0.5, 60.0)],
)
def test_synthesized_beam_agrees(tile_ms, tmp_path, weighting, robust, taper):
    options = ImageOptions(
        size=SIZE, pixel_arcsec=PIXEL_ARCSEC, weighting=weighting, robust=robust, taper_arcsec=taper, iterations=0
    )
    run_wsclean(tile_ms, "CORRECTED_DATA", tmp_path, PIXEL_ARCSEC, options)
    wsclean = fits.getdata(tmp_path / "wsclean-psf.fits")[0, 0]
    ducc = psf_of(tile_ms, options)
    middle = slice(SIZE // 4, 3 * SIZE // 4)
    assert np.abs(ducc - wsclean)[middle, middle].max() < 0.01
    ducc_beam, wsclean_beam = fit_beam(ducc, PIXEL_ARCSEC), fit_beam(wsclean, PIXEL_ARCSEC)
    assert (ducc_beam.major_arcsec, ducc_beam.minor_arcsec) == pytest.approx(
        (wsclean_beam.major_arcsec, wsclean_beam.minor_arcsec), rel=0.02
    )


def psf_of(ms, options):
    ms, pixel_rad = read_ms_info(ms), np.deg2rad(PIXEL_ARCSEC / 3600)
    data = read_visibilities(ms, select_rows(ms), "DATA", 1)
    weights = compute_imaging_weights(data.uvw_m, data.freqs_hz, data.weights, pixel_rad, options)
    return Gridder(data, weights, SIZE, pixel_rad, 2).psf()


@pytest.mark.judge("wsclean")
def test_wsclean_backend_writes_same_products(judged):
    ducc, wsclean = judged
    assert [path.exists() for path in vars(wsclean.products).values()] == [
        path.exists() for path in vars(ducc.products).values()
    ]
    # The made-up sky lacks 3C48, which the catalogue has there: both verdicts say so.
    assert wsclean.verdict == ducc.verdict == "suspect"
    # The sparse array's beam is 2.7 pixels wide.
    reasons = (*ducc.verdict_reasons, *wsclean.verdict_reasons)
    assert all("catalogue" in reason or "pixels wide" in reason for reason in reasons)
    assert wsclean.iterations > 0
    assert wsclean.beam_major_arcsec >= wsclean.beam_minor_arcsec > 0
    assert fits.getheader(wsclean.products.fits)["IMAGER"].startswith("WSClean 3")
    assert not list(wsclean.products.fits.parent.glob("*wsclean-*"))


def test_missing_wsclean_is_misconfigured(tile_ms, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Misconfigured, match=r"wsclean\b.*\bPATH\b"):
        image(tile_ms, tmp_path, ImageOptions(size=256, imager="wsclean"))


@pytest.mark.parametrize(
    ("script", "error", "says"),
    [
        ("exit 0", BadInput, r"a\.ms\b"),
        ("echo 'out of luck' ; exit 3", BadInput, r"\b3\b.*out of luck"),
        ("kill -9 $$", Transient, "SIGKILL"),
    ],
)
def test_wsclean_output_is_checked(tmp_path, monkeypatch, script, error, says):
    program = tmp_path / "bin" / "wsclean"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    with pytest.raises(error, match=says):
        run_wsclean(tmp_path / "a.ms", "DATA", tmp_path, 6.0, ImageOptions(size=256))


@pytest.mark.judge("wsclean")
def test_wsclean_without_data_is_bad_input(tmp_path):
    path = make_ms(tmp_path / "flagged.ms", (Source(0, 0, 1.0),), antennas=8, times=2, channels=8)
    with table(str(path), ack=False, readonly=False) as main:
        main.putcol("FLAG", np.ones_like(main.getcol("FLAG")))
    with pytest.raises(BadInput, match=r"flagged\.ms\b"):
        run_wsclean(path, "DATA", tmp_path, 6.0, ImageOptions(size=256))
