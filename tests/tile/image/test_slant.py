"""Slanted coordinates against direct sums and against Gaussians of known position."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.gridding.gridder import Gridder
from contimg.tile.image.gridding.slant import LEVEL, Slant
from contimg.tile.image.gridding.visibilities import Visibilities

PIXEL_RAD = np.deg2rad(60 / 3600)
SLANT = Slant(0.5, -0.3)


@given(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(-0.08, 0.08), st.floats(-0.08, 0.08))
def test_cosines_come_back(a, b, l, m):  # noqa: E741
    slant = Slant(a, b)
    again = slant.to_cosines(*slant.to_slanted(np.array(l), np.array(m)))
    assert np.allclose(again, (l, m), atol=1e-6)


def test_plane_of_an_array_is_fitted():
    rng = np.random.default_rng(3)
    uvw_m = rng.normal(0, 400, (500, 3))
    uvw_m[:, 2] = 0.4 * uvw_m[:, 0] - 0.2 * uvw_m[:, 1] + rng.normal(0, 2, 500)
    slant = Slant.fit(uvw_m, rng.uniform(0.5, 2, 500))
    assert (slant.a, slant.b) == (pytest.approx(0.4, abs=1e-3), pytest.approx(-0.2, abs=1e-3))
    assert slant.remainder_m(uvw_m).std() == pytest.approx(2, rel=0.1)


def test_source_of_a_tilted_array_has_its_slanted_pixel_and_needs_no_w_term():
    rng = np.random.default_rng(5)
    uvw_m = rng.normal(0, 120, (300, 3))
    uvw_m[:, 2] = SLANT.a * uvw_m[:, 0] + SLANT.b * uvw_m[:, 1]
    freqs_hz = np.array([1.4e9])
    # The slanted coordinates of this pixel: 20 to the east, 24 to the north.
    l, m = SLANT.to_cosines(np.array(20 * PIXEL_RAD), np.array(24 * PIXEL_RAD))  # noqa: E741
    delay_m = uvw_m @ np.array([l, m, np.sqrt(1 - l**2 - m**2) - 1])
    stokes_i = (2.0 * np.exp(2j * np.pi * delay_m[:, None] * freqs_hz / C_M_S)).astype(np.complex64)
    weights = np.ones((300, 1), np.float32)
    data = Visibilities(
        uvw_m, freqs_hz, stokes_i, weights, weights[:, 0], np.zeros(300, int), 1, 300, 300, ("I",), np.array([300])
    )
    gridder = Gridder(data, weights, 128, PIXEL_RAD, 1, SLANT)
    assert gridder.is_flat
    for exact in (True, False):
        image = gridder.dirty(stokes_i, exact)
        assert np.unravel_index(image.argmax(), image.shape) == (64 + 24, 64 - 20)
        assert image.max() == pytest.approx(2.0, rel=2e-3)
    assert not Gridder(data, weights, 512, PIXEL_RAD, 1, LEVEL).is_flat


def test_resampling_moves_a_beam_to_its_cosines():
    size, field = 400, 512
    l, m = np.array(150.3 * PIXEL_RAD), np.array(-121.7 * PIXEL_RAD)  # noqa: E741
    slanted_l, slanted_m = SLANT.to_slanted(l, m)
    image = gaussian(field, field // 2 - slanted_l / PIXEL_RAD, field // 2 + slanted_m / PIXEL_RAD)
    resampled = SLANT.resample(image, size, PIXEL_RAD, 2)
    x, y = size // 2 - 150.3, size // 2 - 121.7
    rows, columns = slice(int(y) - 6, int(y) + 8), slice(int(x) - 6, int(x) + 8)
    expected = gaussian(size, x, y)
    # The grid of l' is finer or coarser than that of l by a l: the beam changes by so much, its peak does not.
    assert np.abs(resampled - expected)[rows, columns].max() < 0.03
    assert resampled.max() == pytest.approx(expected.max(), abs=5e-3)
    assert np.array_equal(LEVEL.resample(image, size, PIXEL_RAD, 2), image[56:456, 56:456])


def gaussian(size, x, y, fwhm=4.0):
    rows, columns = np.indices((size, size))
    return np.exp(-4 * np.log(2) * ((columns - x) ** 2 + (rows - y) ** 2) / fwhm**2).astype(np.float32)
