"""Our solver against CASA's, on one tile with noise, flags and a dead antenna; and CASA reading our caltables."""

from dataclasses import dataclass

import numpy as np
import pytest
from casacore.tables import table
from small_ms import FREQS, INTEGRATION_S, SLOTS, SOURCES, flux_3c48, make_ms, random_gains

from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.caltables.solutions import read_kind, read_solutions
from contimg.formats.ms.info import read_ms_info
from contimg.instrument.dsa110 import SEFD_JY
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.selection import select_calibrators
from contimg.tile.calibrate.solve import casa
from contimg.tile.calibrate.solve.run import solve

DEAD, FLAGGED = 4, slice(60, 70)
NOISE, GAINS = 1.5, random_gains()


@dataclass(frozen=True)
class Solved:
    stefcal: CaltableSet
    casa: CaltableSet
    scratch: object


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("solvers")
    sources = [(*SOURCES["3C48"], flux_3c48)]
    path = make_ms(scratch / "2026-02-22T23:17:51.ms", sources=sources, gains=GAINS, noise=NOISE).path
    with table(str(path), readonly=False, ack=False) as main:
        flags, ant1, ant2 = (main.getcol(name) for name in ("FLAG", "ANTENNA1", "ANTENNA2"))
        flags[:, FLAGGED] = True
        flags[(ant1 == DEAD) | (ant2 == DEAD)] = True
        flags[::11] = True  # whole rows: CASA has one weight for all channels of a row
        main.putcol("FLAG", flags)
    ms = read_ms_info(path)
    unflagged = np.where(np.arange(len(SLOTS)) == DEAD, 0.0, 0.9)
    sets = [
        solve(ms, select_calibrators(ms, 0.5, 3.0), unflagged, scratch / solver, CalibrateOptions(solver=solver))
        for solver in ("stefcal", "casa")
    ]
    return Solved(*sets, scratch)


@pytest.mark.parametrize("kind", ["start", "phase", "bcal", "gcal"])
def test_solutions_agree_with_casa(solved, kind):
    ours, by_casa = (read_solutions(s.directory / f"{s.name}.{kind}") for s in (solved.stefcal, solved.casa))
    assert read_kind(solved.stefcal.directory / f"{solved.stefcal.name}.{kind}") == read_kind(
        solved.casa.directory / f"{solved.casa.name}.{kind}"
    )
    assert ours.antenna_names == by_casa.antenna_names
    assert ours.times_mjd_s == pytest.approx(by_casa.times_mjd_s, abs=0.1)
    assert ours.freqs_hz == pytest.approx(by_casa.freqs_hz, abs=1.0)
    assert ours.reach_hz == pytest.approx(by_casa.reach_hz, rel=1e-6)
    assert np.array_equal(ours.solved, by_casa.solved)
    is_strong = by_casa.snr > 20  # False where there is no solution
    ratio = ours.gains[is_strong] / by_casa.gains[is_strong]
    assert ratio.size > 0.8 * by_casa.solved.sum()
    assert np.rad2deg(np.abs(np.angle(ratio))).max() < 0.5
    assert np.abs(np.abs(ratio) - 1).max() < 0.005
    good = ours.solved
    assert np.median(ours.snr[good] / by_casa.snr[good]) == pytest.approx(1.0, abs=0.3)


def test_numbers_of_the_sets_agree(solved):
    ours, by_casa = solved.stefcal, solved.casa
    assert (ours.reference_antenna, ours.antennas, ours.grade) == (by_casa.reference_antenna, by_casa.antennas, "good")
    assert ours.quality.keys() - by_casa.quality.keys() == {"bandpass_chi2", "gain_chi2"}
    thermal_jy = SEFD_JY / np.sqrt(2 * (FREQS[1] - FREQS[0]) * INTEGRATION_S)
    power = np.mean(np.abs(np.delete(GAINS, DEAD, axis=0)) ** 2, axis=0)  # the noise here does not grow with the gains
    expected = (NOISE / thermal_jy) ** 2 * np.median(power**-2)
    assert ours.quality["bandpass_chi2"] == pytest.approx(expected, rel=0.1)
    assert ours.quality["gain_chi2"] == pytest.approx(expected, rel=0.5)  # of 2 problems with 154 degrees of freedom
    for name in ("bandpass_snr", "gain_snr", "residual_scatter", "bandpass_amplitude", "hand_ratio"):
        assert ours.quality[name] == pytest.approx(by_casa.quality[name], rel=0.15)
    assert ours.flagged_fraction == pytest.approx(by_casa.flagged_fraction)
    assert sorted(by_casa.versions) == ["casa", "contimg"]
    assert (by_casa.directory / "casa.log").exists()


def test_casa_lists_our_caltables(solved, tmp_path):
    ours = solved.stefcal
    listings = {path.suffix: tmp_path / f"listing{path.suffix}" for path in ours.paths}
    ms = str(solved.scratch / f"{ours.name}.ms")
    tasks = [
        casa.Task("listcal", {"vis": ms, "caltable": str(path), "listfile": str(listings[path.suffix])})
        for path in ours.paths
    ]
    casa.run(tasks, tmp_path, tmp_path / "casa.log", 120)
    solutions = read_solutions(ours.paths[1])
    amplitude = f"{np.abs(solutions.gains[0, 0, 0, 0]):.3f}"
    assert amplitude in listings[".gcal"].read_text()
    assert len(listings[".bcal"].read_text().splitlines()) > FREQS.size
