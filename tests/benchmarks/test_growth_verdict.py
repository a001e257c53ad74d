"""A curve's power and its cliffs, on curves whose power is known."""

import math
import re

import pytest
from growth_verdict import ANTENNAS, CHANNELS, PIXELS, curve, verdict
from hypothesis import given
from hypothesis import strategies as st

sizes = st.lists(st.integers(4, 6000), min_size=2, max_size=8, unique=True)


@given(sizes, st.floats(-1, 4), st.floats(1e-3, 1e3))
def test_a_power_law_has_its_power_everywhere(at, power, scale):
    one = curve("convert", ANTENNAS, "core_s", {size: scale * size**power for size in at})
    assert one.sizes == tuple(sorted(at))
    assert one.power == pytest.approx(power, abs=1e-6)
    assert one.local_powers == pytest.approx([power] * (len(at) - 1), abs=1e-6)
    assert bool(one.cliffs()) == (power > 2.5 + 1e-6)


def test_a_fixed_cost_before_the_samples_is_no_cliff():
    one = curve("apply", CHANNELS, "core_s", {size: 0.3 + size / 1000 for size in (192, 384, 768, 1536)})
    assert 0 < one.power < 1
    assert list(one.local_powers) == sorted(one.local_powers)
    assert not one.cliffs()


def test_an_images_own_part_is_no_cliff():
    points = {size: size**2 * math.log(size) for size in (512, 1024, 2048, 4096, 4800)}
    assert not verdict([curve("image", PIXELS, "core_s", points)])


def test_one_step_that_is_too_steep_is_named_though_the_whole_is_not():
    points = {24: 0.10, 48: 0.29, 72: 0.30, 96: 0.50, 110: 2.14}
    one = curve("apply", ANTENNAS, "core_s", points)
    assert one.power < 2
    (line,) = verdict([one, curve("flag", ANTENNAS, "core_s", {24: 0.6, 110: 8.5})])
    assert re.search(r"\bapply\b.*\bcore_s\b.*\b10\.68\b.*\b96\b.*\b110 antennas\b.*\b2\b", line)
