"""Solutions that rest on a small fraction of their data are not used, and are counted."""

import numpy as np
import pytest
from casacore.tables import table

from contimg.formats.caltables.solutions import read_solutions
from contimg.formats.ms.info import read_ms_info
from contimg.instrument.calibrators import catalogue
from contimg.quality.caltables import CaltableSetNumbers as Numbers
from contimg.quality.caltables import SolutionLimits, check_caltable_set, measure_caltable
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.calibrate.solve.sky_model import make_sky_model
from contimg.tile.calibrate.solve.solving_data import read_solving_data

SLOT, NARROW, WIDE = 6, 100, slice(50, 56)
LEFT = 0.1


@pytest.fixture
def searched(fresh):
    """A tile of which a search for interference has left a tenth at some channels, coherent and far too faint."""
    rng = np.random.default_rng(2)
    with table(str(fresh.path), readonly=False, ack=False) as main:
        data, flags, ant1, ant2 = (main.getcol(name) for name in ("DATA", "FLAG", "ANTENNA1", "ANTENNA2"))
        rows = np.flatnonzero((ant1 != ant2) & ((ant1 == SLOT) | (ant2 == SLOT)))
        for channel in (NARROW, *range(WIDE.start, WIDE.stop)):
            is_left = rng.uniform(size=rows.size) < LEFT
            flags[rows[~is_left], channel] = True
            turn = 0.06 * np.exp(np.where(ant1[rows] == SLOT, 1j, -1j) * np.deg2rad(-104.0))
            data[rows, channel] *= turn[:, None]
        main.putcol("DATA", data)
        main.putcol("FLAG", flags)
    return fresh


def test_fractions_and_total_powers_equal_a_plain_count(searched):
    ms = read_ms_info(searched.path)
    unflagged = np.ones(len(ms.antenna_names))
    unflagged[3] = 0.0
    with table(str(searched.path), readonly=False, ack=False) as main:
        flags, ant1, ant2 = (main.getcol(name) for name in ("FLAG", "ANTENNA1", "ANTENNA2"))
        flags[::9] = True  # rows without any sample do not count
        main.putcol("FLAG", flags)
        data = main.getcol("DATA")
    is_counted = (ant1 != ant2) & (ant1 != 3) & (ant2 != 3) & ~flags.all(axis=(1, 2))
    sums = read_solving_data(
        ms, make_sky_model(ms, [source for source in catalogue() if source.alias == "3C48"]), 60.0, unflagged
    )
    fractions = sums.data_fractions
    for slot in (0, SLOT, 13):
        expected = 1 - flags[is_counted & ((ant1 == slot) | (ant2 == slot))].mean(axis=0)
        assert fractions[slot] == pytest.approx(expected)
    assert not fractions[3].any()
    autos = (ant1 == ant2) & (ant1 == SLOT)
    assert sums.total_powers[SLOT] == pytest.approx(np.abs(data[autos])[~flags[autos]].mean())


def test_sparse_solutions_are_interpolated_or_flagged(searched, tmp_path):
    new = calibrate(searched.path, [], tmp_path / "sets", CalibrateOptions(flag=False)).new_set
    bandpass, gains = (read_solutions(path) for path in new.paths)
    solved = bandpass.gains[0] * gains.gains[0]
    reference = searched.slots.index(int(new.reference_antenna))
    truth = searched.gains * np.exp(-1j * np.angle(searched.gains[reference]))
    assert np.abs(solved[SLOT, NARROW] / truth[SLOT, NARROW] - 1).max() < 0.1
    assert np.isnan(solved[SLOT, WIDE]).all()
    assert np.isfinite(np.delete(solved, SLOT, axis=0)).all()
    assert bandpass.data_fractions[0, SLOT, NARROW] == pytest.approx(LEFT, abs=0.06)
    assert bandpass.data_fractions[0, 0, 0, 0] == 1.0
    assert new.quality["bandpass_sparse_fraction"] == pytest.approx(7 / 14 / 192)
    assert new.quality["bandpass_data_fraction"] == 1.0
    assert gains.data_fractions[0, SLOT, 0] == pytest.approx(1 - 7 / 192, abs=0.01)


def test_many_sparse_solutions_make_a_set_suspect(calibrated):
    bandpass = read_solutions(calibrated.done.new_set.paths[0])
    for fraction, grade in ((0.1, "good"), (0.25, "suspect"), (0.75, "bad")):
        bandpass.data_fractions[:] = 1.0
        bandpass.data_fractions[:, :, : round(192 * fraction)] = 0.29
        limits = SolutionLimits()
        numbers = Numbers({"a.bcal": measure_caltable(bandpass, bandpass.antenna_names, limits)})
        check = next(check for check in check_caltable_set(numbers, limits) if "sparse" in check.name)
        assert check.grade == grade
        assert check.value == pytest.approx(fraction, abs=0.01)
