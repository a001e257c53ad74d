import json

import numpy as np
import pytest
from casacore.tables import table
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from contimg.tile.flag.summary import FlagCount


@given(st.integers(0, 2**32 - 1))
def test_counts_match_numpy(seed):
    rng = np.random.default_rng(seed)
    flags = rng.uniform(size=(40, 5, 2)) < rng.uniform()
    first, second = (rng.integers(0, 4, 40).astype(np.int32) for _ in range(2))
    times = rng.integers(0, 3, 40)
    count = FlagCount.empty(4, 3, 5)
    count.add(flags[:25], first[:25], second[:25], times[:25])
    count.add(flags[25:], first[25:], second[25:], times[25:])
    cross = first != second
    for slot in range(4):
        of_slot = cross & ((first == slot) | (second == slot))
        assert count.by_antenna[slot] == pytest.approx(flags[of_slot].mean() if of_slot.any() else 0.0)
        expected = flags[of_slot].mean(axis=(0, 2)) if of_slot.any() else np.full(5, np.nan)
        assert np.allclose(count.by_antenna_and_channel[slot], expected, equal_nan=True)
    for time in range(3):
        at_time = cross & (times == time)
        expected = flags[at_time].mean(axis=(0, 2)) if at_time.any() else np.full(5, np.nan)
        assert np.allclose(count.by_time_and_channel[time], expected, equal_nan=True)
    expected = flags[cross].mean(axis=(0, 2)) if cross.any() else np.zeros(5)
    assert np.allclose(count.by_channel, expected)
    assert count.fraction == pytest.approx(flags[cross].mean() if cross.any() else 0.0)


def test_summary_files(calibrated):
    directory, ms = calibrated.directory / "flags", calibrated.truth.path
    summary = json.loads((directory / f"{ms.stem}.json").read_text())
    with table(str(ms), ack=False) as main:
        flags, original, ant1, ant2 = (
            main.getcol(name) for name in ("FLAG", "FLAG_ORIGINAL", "ANTENNA1", "ANTENNA2")
        )  # fmt: skip
    cross = ant1 != ant2
    assert summary["before"] == pytest.approx(original[cross].mean())
    assert summary["after"] == pytest.approx(flags[cross].mean(), abs=1e-3)
    assert [after for _, after in summary["by_channel"]] == pytest.approx(
        list(flags[cross].mean(axis=(0, 2))), abs=1e-3
    )
    assert summary["by_antenna"]["1"][1] == pytest.approx(flags[cross & ((ant1 == 0) | (ant2 == 0))].mean(), abs=1e-3)
    assert summary["dead"] == {}
    assert imread(directory / f"{ms.stem}.png").shape == (600, 1200, 4)
    assert imread(directory / f"{ms.stem}.waterfall.png").shape == (900, 1200, 4)
