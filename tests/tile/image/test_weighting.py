"""Imaging weights against a plain loop over the whole uv plane."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image import ImageOptions
from contimg.tile.image.gridding.weighting import compute_imaging_weights

SIZE, CELLS, PIXEL_RAD = 64, 80, 2e-4  # 1.2 × 64 = 76.8, the next multiple of four is 80


def make_options(weighting, robust=0.5, min_uv_klambda=0.0, taper_arcsec=0.0):
    return ImageOptions(
        size=SIZE, weighting=weighting, robust=robust, min_uv_klambda=min_uv_klambda, taper_arcsec=taper_arcsec
    )


def plain(uvw, freqs, weights, options):
    """The half plane in a dictionary; Briggs' thesis eq. 3.18 ff."""
    taper_rad = np.deg2rad(options.taper_arcsec / 3600)
    step = 1 / (CELLS * PIXEL_RAD)
    cells = {}

    def cell(row, channel):
        u, v = uvw[row, :2] * freqs[channel] / C_M_S / step
        u, v = (-u, -v) if v < 0 else (u, v)
        return int(np.floor(u)), int(np.floor(v))

    def inside(row, channel):
        u, v = cell(row, channel)
        return -CELLS // 2 <= u < CELLS // 2 and v < CELLS // 2

    every = [(r, c) for r in range(len(uvw)) for c in range(freqs.size) if inside(r, c)]
    for sample in every:
        cells[cell(*sample)] = cells.get(cell(*sample), 0.0) + weights[sample]
    f2 = (5 * 10**-options.robust) ** 2 * sum(weights[sample] for sample in every) / sum(w * w for w in cells.values())
    imaging_weights = np.zeros(weights.shape)
    for sample in every:
        u, v = np.array(cell(*sample)) * step
        held = cells[cell(*sample)]
        factor = {"natural": 1.0, "uniform": 1 / held if held else 0.0, "briggs": 1 / (1 + held * f2)}
        if np.hypot(u, v) >= 1000 * options.min_uv_klambda:
            imaging_weights[sample] = weights[sample] * factor[options.weighting]
        if taper_rad:
            # Half the flux at half the full width: the transform of the beam that the taper is meant to make.
            imaging_weights[sample] *= np.exp(-((np.pi * taper_rad) ** 2) * (u * u + v * v) / (4 * np.log(2)))
    return imaging_weights


def draw(seed):
    rng = np.random.default_rng(seed)
    uvw = np.concatenate([rng.normal(0, 150, (60, 3)), rng.normal(0, 600, (20, 3))])
    uvw[::9, 1] = 0
    weights = rng.uniform(0, 3, (80, 3)).astype(np.float32)
    weights[rng.random(weights.shape) < 0.2] = 0
    return uvw, np.array([1.3e9, 1.4e9, 1.5e9]), weights


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    scheme=st.sampled_from(["natural", "uniform", "briggs"]),
    robust=st.floats(-2, 2),
    min_uv_klambda=st.sampled_from([0.0, 0.3]),
    taper_arcsec=st.sampled_from([0.0, 200.0]),
)
def test_weights_match_plain_loop(seed, scheme, robust, min_uv_klambda, taper_arcsec):
    uvw, freqs, weights = draw(seed)
    options = make_options(scheme, robust, min_uv_klambda, taper_arcsec)
    fast = compute_imaging_weights(uvw, freqs, weights, PIXEL_RAD, options)
    assert fast == pytest.approx(plain(uvw, freqs, weights, options), rel=1e-5, abs=1e-9)


def test_uniform_weights_are_equal_in_every_cell():
    crowd, lone = np.tile([[100.0, 50.0, 0.0]], (10, 1)), np.array([[-80.0, 90.0, 0.0]])
    uvw, natural = np.concatenate([crowd, lone]), np.ones((11, 1), np.float32)
    imaging_weights = compute_imaging_weights(uvw, np.array([1.3e9]), natural, PIXEL_RAD, make_options("uniform"))
    assert imaging_weights[:10].sum() == pytest.approx(imaging_weights[10, 0])


def test_robust_weights_lie_between_natural_and_uniform():
    uvw, freqs, weights = draw(3)

    def shape(*weighting):
        imaging_weights = compute_imaging_weights(uvw, freqs, weights, PIXEL_RAD, make_options(*weighting))
        return imaging_weights / imaging_weights.sum()

    natural, uniform = shape("natural"), shape("uniform")
    distances = [np.abs(shape("briggs", robust) - natural).sum() for robust in (2.0, 0.5, -0.5, -2.0)]
    assert distances == sorted(distances)
    assert distances[-1] == pytest.approx(np.abs(uniform - natural).sum(), rel=0.02)


def test_weights_of_flagged_data_are_zero():
    uvw, freqs, weights = draw(4)
    assert not compute_imaging_weights(uvw, freqs, 0 * weights, PIXEL_RAD, make_options("briggs")).any()
