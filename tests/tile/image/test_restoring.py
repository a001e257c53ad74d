"""The fitted beam against beams of known shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.common.errors import BadInput
from contimg.tile.image.deconvolution.restoring import evaluate_beam, fit_beam, restore
from contimg.tile.image.result import Beam

PIXEL_ARCSEC = 6.0


def picture_of(beam, size=128):
    offsets = np.arange(size) - size // 2.0
    return evaluate_beam(beam, PIXEL_ARCSEC, offsets[None, :], offsets[:, None]).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(minor=st.floats(15, 40), ratio=st.floats(1.05, 3), angle=st.floats(-89, 89))
def test_fit_beam_recovers_gaussian(minor, ratio, angle):
    beam = fit_beam(picture_of(Beam(minor * ratio, minor, angle)), PIXEL_ARCSEC)
    assert (beam.major_arcsec, beam.minor_arcsec) == pytest.approx((minor * ratio, minor), rel=0.01)
    assert abs((beam.angle_deg - angle + 90) % 180 - 90) < 1 + 0.2 / (ratio - 1)


def test_position_angle_turns_from_north_through_east():
    # Long from the lower right to the upper left: to the north-east, for east is at smaller x.
    slanted = np.zeros((128, 128), np.float32)
    y, x = np.indices(slanted.shape) - 64.0
    along, across = (y - x) / np.sqrt(2), (y + x) / np.sqrt(2)
    slanted[:] = np.exp(-(along**2) / 50 - across**2 / 15)
    assert fit_beam(slanted, PIXEL_ARCSEC).angle_deg == pytest.approx(45, abs=0.5)
    y_long = np.exp(-(y**2) / 50 - x**2 / 15).astype(np.float32)
    assert abs(fit_beam(y_long, PIXEL_ARCSEC).angle_deg) < 0.5


def test_psf_without_lobe_is_bad_input():
    ridge = np.zeros((64, 64), np.float32)
    ridge[32] = 1
    with pytest.raises(BadInput):
        fit_beam(ridge, PIXEL_ARCSEC)


def test_restore_convolves_component_with_beam():
    model = np.zeros((96, 96), np.float32)
    model[40, 60], model[2, 93] = 3.0, 1.0
    residual = np.full_like(model, 0.01)
    beam = Beam(30.0, 18.0, 30.0)
    restored = restore(model, residual, beam, PIXEL_ARCSEC)
    assert restored[40, 60] == pytest.approx(3.01, abs=1e-4)
    assert restored[2, 93] == pytest.approx(1.01, abs=1e-4)
    # Nothing wraps round the edge.
    assert np.abs(restored[-10:] - 0.01).max() < 1e-4
    area = np.pi / 4 / np.log(2) * 30 * 18 / PIXEL_ARCSEC**2
    assert (restored[25:56, 45:76] - 0.01).sum() == pytest.approx(3 * area, rel=0.01)
