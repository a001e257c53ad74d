"""Gains in time and in parts of the band, and of phase alone: solved, and applied by us and by CASA."""

import shutil

import numpy as np
import pytest
from casacore.tables import table
from small_ms import FREQS, SLOTS, SOURCES, TIMES, flux_3c48, make_ms, random_gains

from contimg.common.errors import Misconfigured
from contimg.formats.caltables.solutions import read_solutions
from contimg.formats.ms.info import read_ms_info
from contimg.tile.calibrate.apply import apply_caltable_set
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.selection import select_calibrators
from contimg.tile.calibrate.solve import casa
from contimg.tile.calibrate.solve.run import solve

PARTS = 3
STEPS = CalibrateOptions(presolve_s=50.0, gain_interval_s=50.0, gain_parts=PARTS)


@pytest.fixture(scope="module")
def changing(tmp_path_factory):
    """A tile whose gains change after half of it, differently in each third of the band."""
    sources, directory = [(*SOURCES["3C48"], flux_3c48)], tmp_path_factory.mktemp("changing")
    truth = make_ms(directory / "2026-02-22T23:17:51.ms", sources=sources, gains=random_gains(), noise=0.3)
    rng = np.random.default_rng(6)
    shape = (len(SLOTS), PARTS, 2)
    change = rng.uniform(0.8, 1.2, shape) * np.exp(1j * rng.normal(scale=0.3, size=shape))
    change = np.repeat(change, FREQS.size // PARTS, axis=1)
    with table(str(truth.path), readonly=False, ack=False) as main:
        data, ant1, ant2 = (main.getcol(name) for name in ("DATA", "ANTENNA1", "ANTENNA2"))
        rows = np.arange(len(data)) >= len(data) // TIMES * (TIMES // 2)
        data[rows] *= change[ant1[rows]] * change[ant2[rows]].conj()
        main.putcol("DATA", data)
    gains = np.stack([truth.gains, truth.gains * change])
    return truth.path, gains


def solve_with(path, directory, options):
    ms = read_ms_info(path)
    return solve(ms, select_calibrators(ms, 0.5, 3.0), np.ones(len(SLOTS)), directory, options)


def test_gains_in_time_and_parts_of_the_band(changing, tmp_path):
    path, truth = changing
    caltable_set = solve_with(path, tmp_path / "sets", STEPS)
    bandpass, gains = (read_solutions(path) for path in caltable_set.paths)
    assert gains.gains.shape == (2, len(SLOTS), FREQS.size, 2)
    assert np.ptp(gains.gains.reshape(2, len(SLOTS), PARTS, -1, 2), axis=3).max() == 0
    slot = SLOTS.index(int(caltable_set.reference_antenna))
    ratio = bandpass.gains * gains.gains / (truth * np.exp(-1j * np.angle(truth[:, slot : slot + 1])))
    assert np.rad2deg(np.angle(ratio)).std() < 1.0
    assert np.abs(ratio).std() < 0.02
    whole = solve_with(path, tmp_path / "whole", CalibrateOptions(presolve_s=50.0))
    assert caltable_set.quality["gain_chi2"] < 0.1 * whole.quality["gain_chi2"]


@pytest.mark.long
def test_casa_applies_them_as_we_do(changing, tmp_path):
    caltable_set = solve_with(changing[0], tmp_path / "sets", STEPS)
    ours, reference = tmp_path / "ours.ms", tmp_path / "applycal.ms"
    for copy in (ours, reference):
        shutil.copytree(changing[0], copy)
    apply_caltable_set(caltable_set, read_ms_info(ours))
    arguments = {
        "vis": str(reference), "gaintable": [str(path) for path in caltable_set.paths], "calwt": [False],
        "interp": ["linear,linearflag", "linear"], "flagbackup": False, "applymode": "calflag",
    }  # fmt: skip
    casa.run([casa.Task("applycal", arguments)], tmp_path, tmp_path / "casa.log", 120)
    (data, flags), (expected, expected_flags) = (
        [main.getcol(name) for name in ("CORRECTED_DATA", "FLAG")]
        for main in (table(str(ours), ack=False), table(str(reference), ack=False))
    )
    assert np.array_equal(flags, expected_flags)
    assert np.abs(data - expected)[~flags].max() < 1e-5 * np.abs(expected[~flags]).max()


def test_phase_only_gains_leave_the_amplitudes_to_the_bandpass(changing, tmp_path):
    options = STEPS.replace(gain_mode="phase", gain_parts=1)
    gains = read_solutions(solve_with(changing[0], tmp_path / "sets", options).paths[1])
    assert gains.gains.shape == (2, len(SLOTS), 1, 2)
    assert np.abs(gains.gains) == pytest.approx(1.0)
    assert np.angle(gains.gains).std() > 0.05


@pytest.mark.long
def test_casa_has_one_gain_for_the_band(changing, tmp_path):
    with pytest.raises(Misconfigured, match="CONTIMG_CALIBRATE_GAIN_PARTS=3"):
        solve_with(changing[0], tmp_path / "sets", STEPS.replace(solver="casa"))
    in_time = solve_with(
        changing[0], tmp_path / "casa", STEPS.replace(solver="casa", gain_parts=1, gain_mode="phase")
    ).paths[1]
    ours = solve_with(changing[0], tmp_path / "sets", STEPS.replace(gain_parts=1, gain_mode="phase")).paths[1]
    first, second = read_solutions(in_time), read_solutions(ours)
    assert first.times_mjd_s == pytest.approx(second.times_mjd_s, abs=1.0)
    assert np.abs(first.gains) == pytest.approx(1.0)
    assert np.rad2deg(np.angle(first.gains / second.gains)).std() < 2.0  # neither fits the steps within the band
