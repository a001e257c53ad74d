"""Test the power and the cliffs of curves whose power is known."""

import math
import re

import pytest
from growth_limits import ANTENNAS, CHANNELS, PIXELS, find_cliffs, fit_curve
from hypothesis import given
from hypothesis import strategies as st

sizes = st.lists(st.integers(4, 6000), min_size=2, max_size=8, unique=True)


@given(sizes, st.floats(-1, 4), st.floats(1e-3, 1e3))
def test_power_law_has_one_exponent(points, power, scale):
    curve = fit_curve("convert", ANTENNAS, "core_s", {size: scale * size**power for size in points})
    assert curve.sizes == tuple(sorted(points))
    assert curve.power == pytest.approx(power, abs=1e-6)
    assert curve.local_powers == pytest.approx([power] * (len(points) - 1), abs=1e-6)
    assert bool(curve.cliffs()) == (power > 2.5 + 1e-6)


def test_fixed_cost_is_not_a_cliff():
    curve = fit_curve("apply", CHANNELS, "core_s", {size: 0.3 + size / 1000 for size in (192, 384, 768, 1536)})
    assert 0 < curve.power < 1
    assert list(curve.local_powers) == sorted(curve.local_powers)
    assert not curve.cliffs()


def test_the_image_plane_cost_is_no_cliff():
    points = {size: size**2 * math.log(size) for size in (512, 1024, 2048, 4096, 4800)}
    assert not find_cliffs([fit_curve("image", PIXELS, "core_s", points)])


def test_steep_step_is_reported_below_the_exponent_limit():
    points = {24: 0.10, 48: 0.29, 72: 0.30, 96: 0.50, 110: 2.14}
    curve = fit_curve("apply", ANTENNAS, "core_s", points)
    assert curve.power < 2
    (line,) = find_cliffs([curve, fit_curve("flag", ANTENNAS, "core_s", {24: 0.6, 110: 8.5})])
    assert re.search(r"\bapply\b.*\bcore_s\b.*\b10\.68\b.*\b96\b.*\b110 antennas\b.*\b2\b", line)
