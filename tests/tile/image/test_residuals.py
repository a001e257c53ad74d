"""Residuals that are predicted by increments, against those of the whole model."""

import os
import resource
from dataclasses import replace

import numpy as np
import pytest

from contimg.tile.image.deconvolution.memory import retain_freed_memory
from contimg.tile.image.deconvolution.residuals import Residuals
from contimg.tile.image.gridding.gridder import BandParts, Gridder
from contimg.tile.image.gridding.modes import Mode
from contimg.tile.image.gridding.visibilities import Visibilities

SIZE, PIXEL_RAD, ROWS = 256, np.deg2rad(12 / 3600), 400
FREQS_HZ = np.linspace(1.35e9, 1.45e9, 4)


@pytest.fixture(scope="module")
def gridder():
    """Random baselines with a small w, and a change with the time."""
    rng = np.random.default_rng(4)
    uvw_m = rng.normal(0, 300, (ROWS, 3)) * [1, 1, 0.05]
    shape = (ROWS, FREQS_HZ.size)
    data = Visibilities(
        uvw_m, FREQS_HZ, rng.normal(0, 0.02, (*shape, 2)).astype(np.float32).view(np.complex64)[..., 0],
        np.ones(shape, np.float32), np.ones(ROWS, np.float32), np.zeros(ROWS, np.int64), 1, 1, 1, ("XX", "YY"),
        np.ones(FREQS_HZ.size, np.int64),
    )  # fmt: skip
    factor = np.broadcast_to(np.linspace(-1, 1, SIZE, dtype=np.float32), (SIZE, SIZE)).copy()
    change = Mode(factor, rng.normal(0, 0.3, (ROWS, 1)).astype(np.float32), np.ones((1, FREQS_HZ.size), np.float32))
    return replace(Gridder(data, data.weights, SIZE, PIXEL_RAD, 1), modes=(change,))


def make_models(*fluxes_jy):
    models = np.zeros((1, SIZE, SIZE), np.float32)
    for i, flux_jy in enumerate(fluxes_jy):
        models[0, 20 + 50 * i, 200 - 30 * i] = flux_jy
    return models


def test_increments_leave_residual_of_whole_model(gridder):
    residuals = Residuals(BandParts((gridder,)))
    residuals.image(make_models(5.0), with_w=True, with_changes=True)
    residuals.image(make_models(5.0, 0.3), with_w=False, with_changes=False)
    residuals.image(make_models(5.0, 0.5, 0.1), with_w=True, with_changes=True)
    assert np.abs(residuals.exact_image()[0] - gridder.residual(make_models(5.0, 0.5, 0.1)[0])).max() < 1e-3 * 5
    assert residuals.pending_fraction(make_models(5.0, 0.5, 0.1)) == 0


def test_shortcut_costs_a_part_of_the_increment(gridder):
    models = make_models(5.0, 0.02)
    residuals = Residuals(BandParts((gridder,)))
    residuals.image(make_models(5.0), with_w=True, with_changes=True)
    images = residuals.image(models, with_w=False, with_changes=False)
    assert residuals.pending_fraction(models) == pytest.approx(0.02 / 5.02)
    complete = residuals.image(models, with_w=True, with_changes=True)
    assert 0 < np.abs(images - complete).max() < 0.5 * 0.02


def test_undone_components_come_back(gridder):
    residuals = Residuals(BandParts((gridder,)))
    before = residuals.image(make_models(5.0), with_w=True, with_changes=True)
    residuals.image(make_models(5.0, 3.0), with_w=True, with_changes=True)
    assert residuals.image(make_models(5.0), with_w=True, with_changes=True) == pytest.approx(before, abs=1e-3 * 5)


def test_freed_memory_is_retained_and_then_returned():
    def count_faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(5):
            np.empty(8_000_000, np.float64)[::512] = 1.0
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    if "glibc" not in os.confstr("CS_GNU_LIBC_VERSION"):
        pytest.skip("another C library")
    usual = count_faults()
    with retain_freed_memory():
        count_faults()
        assert count_faults() < 0.2 * usual
    assert count_faults() > 0.5 * usual
