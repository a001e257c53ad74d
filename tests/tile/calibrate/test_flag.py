import re

import numpy as np
import pytest
from casacore.tables import table
from small_ms import FREQS, TIMES, flux_3c48, make_ms

from contimg.common.errors import BadInput
from contimg.formats.ms.flags import record_flags
from contimg.formats.ms.info import read_ms_info
from contimg.tile.flag.interference import compute_amplitudes
from contimg.tile.flag.run import flag

CALIBRATOR = (24.9, 33.9, flux_3c48)  # 16 Jy, 0.9 deg from the centre: its fringes turn fast


def edit(path, name, change):
    with table(str(path), readonly=False, ack=False) as main:
        values = main.getcol(name)
        ends = [main.getcol("ANTENNA1"), main.getcol("ANTENNA2")]
        change(values, *ends)
        main.putcol(name, values)


def cells(path, *names):
    with table(str(path), ack=False) as main:
        return [main.getcol(name) for name in names]


@pytest.fixture
def quiet(tmp_path):
    """A bright calibrator off the centre beside a second source, ordinary noise."""
    sources = [CALIBRATOR, (24.0, 33.5, lambda f: 3.0 + 0 * f)]
    return make_ms(tmp_path / "quiet.ms", sources=sources, noise=1.8).path


def test_bright_calibrator_is_not_flagged(quiet):
    done = flag(read_ms_info(quiet))
    assert done.fraction < 0.03
    assert done.dead == {}


def test_bright_calibrator_without_noise_is_not_flagged(tmp_path):
    path = make_ms(tmp_path / "bare.ms", sources=[CALIBRATOR, (24.0, 33.5, lambda f: 3.0 + 0 * f)], noise=0.02).path
    assert flag(read_ms_info(path)).fraction < 0.03


def test_interference_is_found(quiet):
    """A narrow steady carrier, a burst in time over a band, and single spikes; at least nine tenths of each."""
    rng = np.random.default_rng(7)
    where = np.zeros((len(cells(quiet, "TIME")[0]), FREQS.size), dtype=bool)
    where[:, 40:42] = True
    per_time = len(where) // TIMES
    where[3 * per_time : 4 * per_time, 100:120] = True
    where[rng.integers(0, len(where), 300), rng.integers(0, FREQS.size, 300)] = True

    def disturb(data, ant1, ant2):
        phase = np.exp(2j * np.pi * rng.uniform(size=data.shape))
        data += (where[..., None] * 40.0 * phase).astype(np.complex64)

    edit(quiet, "DATA", disturb)
    flag(read_ms_info(quiet))
    flags, ant1, ant2 = cells(quiet, "FLAG", "ANTENNA1", "ANTENNA2")
    cross = ant1 != ant2
    hit = where[cross]
    assert flags[cross][hit].mean() > 0.9
    assert flags[cross][~hit].mean() < 0.05


def test_majority_flags_all_baselines(quiet):
    """Interference too weak for some baselines is flagged on them too when most others see it."""
    faint = {0, 1, 2, 3}

    def disturb(data, ant1, ant2):
        weak = np.isin(ant1, list(faint)) & np.isin(ant2, list(faint))
        data[~weak, 90:94] += 60.0

    edit(quiet, "DATA", disturb)
    flag(read_ms_info(quiet))
    assert cells(quiet, "FLAG")[0][:, 90:94].all()


def test_amplitudes_match_numpy():
    rng = np.random.default_rng(4)
    data = (rng.normal(size=(3, 5, 7, 2)) + 1j * rng.normal(size=(3, 5, 7, 2))).astype(np.complex64)
    flags = rng.uniform(size=data.shape) < 0.3
    flags[1, ..., 1] = True
    ours, missing = compute_amplitudes(*(np.ascontiguousarray(values.swapaxes(0, 1)) for values in (data, flags)))
    size = np.ma.masked_array(np.abs(data), flags)
    expected = (size / size.mean(axis=(1, 2), keepdims=True)).mean(axis=3)
    assert np.array_equal(missing, np.ma.getmaskarray(expected))
    assert np.allclose(ours, expected.filled(0), rtol=1e-5)


def test_dead_antennas(quiet):
    def silence(data, ant1, ant2):
        data[(ant1 == 4) | (ant2 == 4)] = 0
        data[(ant1 == 7) ^ (ant2 == 7)] *= 1e-4
        data[(ant1 == 9) & (ant2 == 9)] = 0.5
        data[(ant1 == 11) & (ant2 == 11)] *= 0.002

    edit(quiet, "DATA", silence)
    done = flag(read_ms_info(quiet))
    assert sorted(done.dead) == [4, 7, 9, 11]
    assert "100%" in done.dead[4]
    assert "amplitude" in done.dead[7]
    assert "flat" in done.dead[9]
    assert "0.20%" in done.dead[11]
    flags, ant1, ant2 = cells(quiet, "FLAG", "ANTENNA1", "ANTENNA2")
    listed = np.isin(ant1, [4, 7, 9, 11]) | np.isin(ant2, [4, 7, 9, 11])
    assert flags[listed].all()
    assert (done.unflagged[[4, 7, 9, 11]] == 0).all()
    assert done.unflagged[0] == pytest.approx(1 - flags[(ant1 == 0) ^ (ant2 == 0)].mean())
    assert done.fraction == pytest.approx(flags[ant1 != ant2].mean())


def test_flagging_twice_gives_the_same_flags(quiet):
    def set_flags(flags, ant1, ant2):
        flags[:, 50:60] = True

    edit(quiet, "FLAG", set_flags)
    flag(read_ms_info(quiet), search=False)
    once = cells(quiet, "FLAG")[0]
    assert once[:, 50:60].all()
    assert once.mean() == pytest.approx(10 / 192)
    record_flags(read_ms_info(quiet))
    flag(read_ms_info(quiet), search=False)
    assert np.array_equal(cells(quiet, "FLAG")[0], once)


def test_not_a_number_is_flagged(quiet):
    def damage(data, ant1, ant2):
        data[5, 3, 1] = np.nan

    edit(quiet, "DATA", damage)
    flag(read_ms_info(quiet))
    assert cells(quiet, "FLAG")[0][5, 3, 1]


def test_large_values_are_clipped(quiet):
    """Values of 1e30 on some baselines: flagged, and interference beside them is found all the same."""

    def damage(data, ant1, ant2):
        data[::7, 20, 0] = 1e30
        data[:, 120:123] += 60.0

    edit(quiet, "DATA", damage)
    flag(read_ms_info(quiet))
    flags, ant1, ant2 = cells(quiet, "FLAG", "ANTENNA1", "ANTENNA2")
    cross = ant1 != ant2
    hit = np.zeros(len(cross), dtype=bool)
    hit[::7] = True
    assert flags[hit & cross, 20, 0].all()
    assert flags[cross][:, 120:123].mean() > 0.95
    rest = np.r_[0:20, 21:119, 124:192]
    assert flags[cross][:, rest].mean() < 0.03


def test_all_flagged_is_bad_input(quiet):
    edit(quiet, "FLAG", lambda flags, ant1, ant2: flags.fill(True))
    with pytest.raises(BadInput, match=re.escape(str(quiet))):
        flag(read_ms_info(quiet))
