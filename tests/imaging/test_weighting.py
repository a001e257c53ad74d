"""Briggs weights against a plain loop over the whole uv plane."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.imaging.weighting import briggs
from contimg.telescope import C_M_S

SIZE, PIXEL_RAD = 64, 2e-4


def plain(uvw, freqs, weights, robust):
    """Both halves of the plane in a dictionary, Briggs' thesis eq. 3.18 ff."""
    cells = {}
    half = SIZE // 2

    def key(row, channel, sign):
        scale = sign * freqs[channel] / C_M_S * SIZE * PIXEL_RAD
        return tuple(int(k) for k in np.rint(uvw[row, :2] * scale))

    def inside(row, channel):
        return max(abs(k) for k in key(row, channel, 1)) <= half

    every = [(r, c) for r in range(len(uvw)) for c in range(freqs.size) if inside(r, c)]
    for row, channel in every:
        for sign in (1, -1):
            cells[key(row, channel, sign)] = cells.get(key(row, channel, sign), 0.0) + weights[row, channel]
    total = 2 * sum(weights[one] for one in every)
    f2 = (5 * 10**-robust) ** 2 / (sum(w * w for w in cells.values()) / total)
    found = np.zeros(weights.shape)
    for row, channel in every:
        found[row, channel] = weights[row, channel] / (1 + cells[key(row, channel, 1)] * f2)
    return found


def draw(seed):
    rng = np.random.default_rng(seed)
    uvw = np.concatenate([rng.normal(0, 150, (60, 3)), rng.normal(0, 600, (20, 3))])
    uvw[::9, 1] = 0  # on the v = 0 axis, where a sample and its conjugate share a row of cells
    weights = rng.uniform(0, 3, (80, 3)).astype(np.float32)
    weights[rng.random(weights.shape) < 0.2] = 0
    return uvw, np.array([1.3e9, 1.4e9, 1.5e9]), weights


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), robust=st.floats(-2, 2))
def test_equals_the_plain_loop(seed, robust):
    uvw, freqs, weights = draw(seed)
    fast = briggs(uvw, freqs, weights, SIZE, PIXEL_RAD, robust)
    assert fast == pytest.approx(plain(uvw, freqs, weights, robust), rel=1e-5, abs=1e-9)


def test_natural_and_uniform_are_its_limits():
    uvw, freqs, weights = draw(3)
    inside = briggs(uvw, freqs, weights, SIZE, PIXEL_RAD, 2.0) > 0
    natural = briggs(uvw, freqs, weights, SIZE, PIXEL_RAD, 4.0)
    assert natural[inside] == pytest.approx(weights[inside], rel=1e-3)
    crowd = np.tile([[100.0, 50.0, 0.0]], (10, 1))
    lone = np.array([[-80.0, 90.0, 0.0]])
    uniform = briggs(np.concatenate([crowd, lone]), freqs[:1], np.ones((11, 1), np.float32), SIZE, PIXEL_RAD, -3.0)
    assert uniform[:10].sum() == pytest.approx(uniform[10, 0], rel=1e-3)


def test_nothing_weighs_nothing():
    uvw, freqs, weights = draw(4)
    assert not briggs(uvw, freqs, 0 * weights, SIZE, PIXEL_RAD, 0.5).any()
