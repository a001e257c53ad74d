"""The gridder's orientation and scale against a direct Fourier transform."""

import numpy as np
import pytest

from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.gridding.gridder import ACCURACY, Gridder
from contimg.tile.image.gridding.visibilities import Visibilities

SIZE, PIXEL_RAD = 64, np.deg2rad(60 / 3600)


def cosines(east, north):
    """l, m, n - 1 of an offset in pixels."""
    east, north = east * PIXEL_RAD, north * PIXEL_RAD
    return np.array([east, north, np.sqrt(1 - east**2 - north**2) - 1])


@pytest.fixture
def gridder():
    rng = np.random.default_rng(5)
    rows, freqs = 200, np.array([1.35e9, 1.45e9])
    uvw = rng.normal(0, 1, (rows, 3)) * [120, 120, 60]
    weights = rng.uniform(0.5, 2, (rows, 2)).astype(np.float32)
    # One source to the east and north, at x = 32 - 12, y = 32 + 7.
    delay = (uvw @ cosines(12, 7))[:, None] * freqs / C_M_S
    vis = (2.5 * np.exp(2j * np.pi * delay)).astype(np.complex64)
    data = Visibilities(
        uvw,
        freqs,
        vis,
        weights,
        weights[:, 0],
        np.zeros(rows, int),
        1,
        2 * rows,
        2 * rows,
        ("I",),
        rows * np.ones(2, int),
    )
    return Gridder(data, weights, SIZE, PIXEL_RAD, 1)


def test_east_is_to_the_left_and_north_up(gridder):
    image = gridder.dirty(gridder.visibilities.stokes_i)
    assert np.unravel_index(image.argmax(), image.shape) == (39, 20)
    assert image.max() == pytest.approx(2.5, rel=1e-3)


def test_dirty_image_is_the_direct_sum(gridder):
    image = gridder.dirty(gridder.visibilities.stokes_i)
    data = gridder.visibilities
    for y, x in ((39, 20), (3, 60), (50, 11), (32, 32)):
        phase = (data.uvw_m @ cosines(32 - x, y - 32))[:, None] * data.freqs_hz / C_M_S
        direct = (gridder.weights * data.stokes_i * np.exp(-2j * np.pi * phase)).sum().real / gridder.weights.sum()
        assert image[y, x] == pytest.approx(direct, abs=1e-3)


def test_residual_of_true_model_is_zero(gridder):
    model = np.zeros((SIZE, SIZE), np.float32)
    model[39, 20] = 2.5
    assert np.abs(gridder.residual(model)).max() < 1e-3


def test_point_spread_peaks_at_one_in_the_middle(gridder):
    spread = gridder.psf()
    assert np.unravel_index(spread.argmax(), spread.shape) == (32, 32)
    assert spread.max() == pytest.approx(1, rel=ACCURACY)
