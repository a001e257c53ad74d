"""What clean makes of spectra, of extended sources, and of a point spread function that is wrong."""

import numpy as np
import pytest
from casacore.tables import table
from point_source_ms import Source, make_ms

from contimg.formats.ms.info import read_ms_info
from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image import ImageOptions, image
from contimg.tile.image.deconvolution.clean import clean
from contimg.tile.image.deconvolution.residuals import Residuals
from contimg.tile.image.gridding.averaging import average_in_time
from contimg.tile.image.gridding.gridder import BandParts, Gridder
from contimg.tile.image.gridding.visibilities import read_visibilities, select_rows

POINTS = (Source(0.0, 0.0, 5.0), Source(0.3, -0.2, 0.05))
OPTIONS = ImageOptions(
    size=512, pixel_arcsec=6.0, min_uv_klambda=0.0, iterations=3000, threshold_sigma=1.0, changing_sky=False
)


def reshape_sky(path, factor):
    """Multiply the visibilities by `factor(uvw in metres, frequencies in Hz)`, shape (rows, channels)."""
    freqs = read_ms_info(path).freqs_hz
    with table(str(path), readonly=False, ack=False) as main:
        data = main.getcol("DATA")
        main.putcol("DATA", (data * factor(main.getcol("UVW"), freqs)[..., None]).astype(np.complex64))


@pytest.mark.long
def test_joint_clean_models_steep_spectrum(tmp_path):
    path = make_ms(tmp_path / "steep.ms", POINTS, antennas=24, times=6, channels=48, sefd_jy=300.0, airy=False)
    reshape_sky(path, lambda uvw, freqs: np.ones((len(uvw), 1)) * (freqs / freqs.mean()) ** -3.0)
    whole = image(path, tmp_path / "whole", OPTIONS)
    parts = image(path, tmp_path / "parts", ImageOptions(**{**vars(OPTIONS), "band_parts": 4}))
    assert parts.rms_jy < 0.8 * whole.rms_jy
    assert parts.rms_jy < 1.3 * parts.expected_rms_jy
    assert parts.peak_jy == pytest.approx(5.0, rel=0.01)


@pytest.mark.long
def test_multiscale_cleans_extended_source(tmp_path):
    path = make_ms(tmp_path / "wide.ms", POINTS[:1], antennas=32, times=6, channels=16, sefd_jy=100.0, airy=False)
    sigma_rad = np.deg2rad(50 / 3600)

    def gaussian(uvw, freqs):
        wavelengths = np.hypot(uvw[:, :1], uvw[:, 1:2]) * freqs / C_M_S
        return np.exp(-2 * np.square(np.pi * sigma_rad * wavelengths))

    reshape_sky(path, gaussian)
    point_like = image(path, tmp_path / "one", OPTIONS)
    multiscale = image(path, tmp_path / "several", ImageOptions(**{**vars(OPTIONS), "multiscale": True}))
    assert multiscale.cleaned_jy == pytest.approx(5.0, rel=0.03)
    assert multiscale.iterations < 0.5 * point_like.iterations
    assert multiscale.residual_peak_jy < point_like.residual_peak_jy


@pytest.fixture
def tile(tmp_path):
    """The gridder of a tile of two point sources, and its one part of the band."""
    ms = read_ms_info(make_ms(tmp_path / "a.ms", POINTS, antennas=16, times=3, channels=16, airy=False))
    rows = select_rows(ms)
    data = read_visibilities(ms, rows, "DATA", 1)
    gridder = Gridder(data, data.weights, 256, np.deg2rad(6 / 3600), 1)
    bands = BandParts.of(average_in_time(gridder, np.arange(len(rows.weights))), 1)
    return gridder, bands


def test_diverged_cycle_is_undone(tile, caplog):
    gridder, bands = tile
    dirty = gridder.dirty(bands.gridders[0].visibilities.stokes_i)
    # A fifth of the true one: every component is taken for five times what it is.
    cleaned = clean(Residuals(bands), 0.2 * bands.psf(), 1e-4, 1e-6, ImageOptions(size=256, threads=1))
    assert [record.levelname for record in caplog.records if record.name.startswith("contimg")] == ["WARNING"]
    assert np.array_equal(cleaned.residual, dirty)
    assert not cleaned.model.any()
    assert cleaned.stopped_by == "divergence"
    assert cleaned.iterations < 5000


def test_masked_phase_predicts_everything(tile):
    """Approximated, the masked phase of a tile of 48 antennas diverged."""

    class Recorded(Residuals):
        def image(self, models, with_w, with_changes):
            predictions.append((with_w, with_changes))
            return super().image(models, with_w, with_changes)

    predictions = []
    _, bands = tile
    cleaned = clean(Recorded(bands), bands.psf(), 1e-4, 1e-3, ImageOptions(size=256, threads=1))
    assert cleaned.stopped_by == "noise"
    assert predictions[0] == (False, False)
    assert predictions[-2:] == [(True, True), (True, True)]
