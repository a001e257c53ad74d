"""Measurement Sets that several tests share: made or calibrated once, copied before a test changes them."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from small_ms import Truth, copied, make_ms, random_gains

from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.products import CalibratedMS

NAME = "2026-02-22T23:17:51"


@dataclass(frozen=True)
class Calibrated:
    truth: Truth
    done: CalibratedMS
    directory: Path


@pytest.fixture(scope="session")
def corrupted(tmp_path_factory):
    """3C48 off the centre, a second source farther off, corrupted antennas; nobody has touched it."""
    return make_ms(tmp_path_factory.mktemp("corrupted") / f"{NAME}.ms", gains=random_gains())


@pytest.fixture(scope="session")
def calibrated(corrupted, tmp_path_factory):
    """The same after the stage. For reading only."""
    scratch = tmp_path_factory.mktemp("calibrated")
    truth = copied(corrupted, scratch)
    return Calibrated(
        truth, calibrate(truth.path, [], scratch / "calibration", CalibrateOptions()), scratch / "calibration"
    )


@pytest.fixture
def fresh(corrupted, tmp_path):
    """A copy of `corrupted` that a test may change."""
    return copied(corrupted, tmp_path)
