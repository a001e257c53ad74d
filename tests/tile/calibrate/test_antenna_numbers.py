"""Health of the antennas from flags, faults, the set's numbers and gains from the sky."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from store_steps import solved_set

from contimg.quality.antennas import AntennaState
from contimg.tile.calibrate.antenna_faults import CROSSED
from contimg.tile.calibrate.antenna_numbers import describe_tile_antennas
from contimg.tile.calibrate.sky_gains.gains import SkyGains

NAMES = ("1", "2", "3", "4")


def test_states_follow_the_reasons_of_the_stage() -> None:
    ms = SimpleNamespace(antenna_names=NAMES, antennas=np.arange(4), receptors=np.array([[0, 0], [1, 1]]))
    fractions = SimpleNamespace(by_antenna=np.array([1.0, 0.1, 0.2, 0.3]))
    flagged = SimpleNamespace(dead={0: "98% flagged or zero"}, summary=SimpleNamespace(after=fractions))
    bad = {"1": "98% flagged or zero", "2": CROSSED}
    applied = solved_set(Path("/cal/s"), 61093.0, quality={"tables": {"s.bcal": {"dead_receptors": ["3 Y"]}}})
    rows = describe_tile_antennas(ms, flagged, bad, applied)
    assert [(row.antenna, row.polarisation, row.state) for row in rows] == [
        ("1", "X", AntennaState.DEAD), ("1", "Y", AntennaState.DEAD),
        ("2", "X", AntennaState.CROSSED), ("2", "Y", AntennaState.CROSSED),
        ("3", "X", AntennaState.GOOD), ("3", "Y", AntennaState.UNSOLVED),
        ("4", "X", AntennaState.GOOD), ("4", "Y", AntennaState.GOOD),
    ]  # fmt: skip
    assert [row.flagged_fraction for row in rows[::2]] == [1.0, 0.1, 0.2, 0.3]
    assert {row.amplitude for row in rows} == {None}


def test_gains_from_the_sky_are_those_of_the_tile() -> None:
    ms = SimpleNamespace(antenna_names=NAMES, antennas=np.arange(4), receptors=np.array([[0, 0], [1, 1]]))
    fractions = SimpleNamespace(by_antenna=np.zeros(4))
    flagged = SimpleNamespace(dead={}, summary=SimpleNamespace(after=fractions))
    phase_deg = np.zeros((2, 2, 2))
    phase_deg[:, 1, 0] = 170.0, -170.0  # the mean is 180, not 0
    gains = SkyGains(
        ("2", "4"), np.array([0.0, 60.0]), phase_deg, np.array([[1.0, 1.1], [0.9, 1.0]]),
        np.array([[12.0, 11.0], [9.0, 0.0]]),
    )  # fmt: skip
    rows = {(row.antenna, row.polarisation): row for row in describe_tile_antennas(ms, flagged, {}, None, gains)}
    assert (rows["2", "Y"].amplitude, rows["2", "Y"].phase_deg, rows["2", "Y"].snr) == (1.1, 0.0, 11.0)
    assert abs(rows["4", "X"].phase_deg or 0) == pytest.approx(180.0)
    assert (rows["4", "Y"].snr, rows["1", "X"].amplitude) == (None, None)
