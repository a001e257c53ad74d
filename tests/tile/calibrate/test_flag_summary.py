import json

import numpy as np
import pytest
from casacore.tables import table
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from contimg.tile.flag.summary import FlagCount


@given(st.integers(0, 2**32 - 1))
def test_counts_equal_plain_numpy(seed):
    rng = np.random.default_rng(seed)
    flags = rng.uniform(size=(40, 5, 2)) < rng.uniform()
    first, second = (rng.integers(0, 4, 40).astype(np.int32) for _ in range(2))
    count = FlagCount.empty(4, 5)
    count.add(flags[:25], first[:25], second[:25])
    count.add(flags[25:], first[25:], second[25:])
    cross = first != second
    for slot in range(4):
        mine = cross & ((first == slot) | (second == slot))
        assert count.by_antenna[slot] == pytest.approx(flags[mine].mean() if mine.any() else 0.0)
    expected = flags[cross].mean(axis=(0, 2)) if cross.any() else np.zeros(5)
    assert np.allclose(count.by_channel, expected)
    assert count.fraction == pytest.approx(flags[cross].mean() if cross.any() else 0.0)


def test_the_summary_of_a_tile_is_kept_and_drawn(calibrated):
    directory, ms = calibrated.directory / "flags", calibrated.truth.path
    said = json.loads((directory / f"{ms.stem}.json").read_text())
    with table(str(ms), ack=False) as main:
        flags, original, one, two = (
            main.getcol(name) for name in ("FLAG", "FLAG_ORIGINAL", "ANTENNA1", "ANTENNA2")
        )  # fmt: skip
    cross = one != two
    assert said["before"] == pytest.approx(original[cross].mean())
    assert said["after"] == pytest.approx(flags[cross].mean(), abs=1e-3)
    assert [after for _, after in said["by_channel"]] == pytest.approx(list(flags[cross].mean(axis=(0, 2))), abs=1e-3)
    assert said["by_antenna"]["1"][1] == pytest.approx(flags[cross & ((one == 0) | (two == 0))].mean(), abs=1e-3)
    assert said["dead"] == {}
    assert imread(directory / f"{ms.stem}.png").shape == (600, 1200, 4)
