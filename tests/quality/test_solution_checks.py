"""Numbers of the hands in a caltable set, and its reasons."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contimg.quality.caltables import (
    CaltableNumbers,
    CaltableSetNumbers,
    SolutionLimits,
    check_caltable_set,
    grade_caltable_set,
    measure_hand_ratio,
)

LIMITS = SolutionLimits()


@given(ratio=st.floats(0.2, 5), seed=st.integers(0, 99))
def test_hand_ratio_of_gains(ratio, seed):
    rng = np.random.default_rng(seed)
    gains = rng.uniform(0.5, 2, (6, 8, 1)) * np.exp(2j * np.pi * rng.uniform(size=(6, 8, 2)))
    gains *= np.sqrt([ratio, 1.0])
    inverse = (1 / gains).astype(np.complex64)
    inverse[2] = np.nan
    assert measure_hand_ratio(inverse) == pytest.approx(ratio, rel=1e-5)


def test_hand_ratio_needs_both_receptors():
    gains = np.full((3, 4, 2), 1 + 1j, dtype=np.complex64)
    gains[..., 1] = np.nan
    assert measure_hand_ratio(gains) is None
    assert measure_hand_ratio(gains[..., :1]) is None


def caltable(**changes) -> CaltableNumbers:
    numbers = {
        "flagged_fraction": 0.01, "snr": 100.0, "amplitude": 1.0, "without_solution": (), "dead_receptors": (),
        "outliers": (), "outlier_fraction": 0.0, "antennas": 16,
    }  # fmt: skip
    return CaltableNumbers(**numbers | changes)


def test_reason_counts_and_names_antennas_without_solution():
    names = tuple("abcdefghi")
    numbers = CaltableSetNumbers({"t.bcal": caltable(flagged_fraction=9 / 16, without_solution=names)})
    (reason,) = grade_caltable_set(numbers, LIMITS).reasons
    assert "9 of 16 live antennas have no solution" in reason
    assert all(name in reason for name in names)


@pytest.mark.parametrize(("change", "grade"), [(1.0, "good"), (1.04, "good"), (1.2, "suspect"), (0.8, "suspect")])
def test_change_of_hand_ratio(change, grade):
    numbers = CaltableSetNumbers({"t.bcal": caltable()}, previous="before", hand_ratio=1.5, hand_ratio_change=change)
    quality = grade_caltable_set(numbers, LIMITS)
    assert quality.grade == grade
    assert all("before" in reason for reason in quality.reasons)
    assert numbers.as_dict()["hand_ratio"] == 1.5


@given(
    flagged=st.floats(0, 1), snr=st.none() | st.floats(0, 50), left=st.none() | st.floats(0, 1),
    scatter=st.none() | st.floats(0, 90), change=st.none() | st.floats(0.5, 2),
)  # fmt: skip
def test_set_has_reason_exactly_when_check_fails(flagged, snr, left, scatter, change):
    numbers = CaltableSetNumbers(
        {"t.bcal": caltable(flagged_fraction=flagged, snr=snr)}, residual_fraction=left, phase_scatter_deg=scatter,
        hand_ratio_change=change, previous="before",
    )  # fmt: skip
    quality = grade_caltable_set(numbers, LIMITS)
    checks = check_caltable_set(numbers, LIMITS)
    assert set(quality.reasons) == {check.reason for check in checks if check.grade in ("suspect", "bad")}
    assert (quality.grade == "good") == (not quality.reasons)
