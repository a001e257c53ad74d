import shutil
from dataclasses import replace

import numpy as np
import pytest
from casacore.tables import table

from contimg.common.errors import BadInput
from contimg.formats.caltables.solutions import read_solutions
from contimg.formats.ms.columns import read_calibration_record
from contimg.formats.ms.info import read_ms_info
from contimg.tile.calibrate.apply import apply_caltable_set, compute_inverse_gains, correct_rows
from contimg.tile.calibrate.solve import casa


def column(path, name):
    with table(str(path), ack=False) as main:
        return main.getcol(name)


def flag_some(path):
    """Flag an antenna at some channels of a bandpass, as a failed solution would be."""
    with table(str(path), readonly=False, ack=False) as main:
        flags = main.getcol("FLAG")
        flags[3, 10:30] = True
        main.putcol("FLAG", flags)


@pytest.fixture
def gappy(calibrated, tmp_path):
    """A copy of the solved set in which antenna slot 3 has no solution in channels 10 to 29."""
    new = calibrated.done.new_set
    shutil.copytree(new.directory, tmp_path / new.name)
    moved = new.moved_to(tmp_path / new.name)
    flag_some(moved.paths[0])
    return moved


def test_apply_equals_casas_applycal(fresh, gappy, tmp_path):
    reference_path = tmp_path / "applycal.ms"
    shutil.copytree(fresh.path, reference_path)
    tables = [str(path) for path in gappy.paths]
    task = casa.Task(
        "applycal",
        {"vis": str(reference_path), "gaintable": tables, "interp": ["linear,linearflag", "linear"], "calwt": [False],
         "flagbackup": False, "applymode": "calflag"},
    )  # fmt: skip
    casa.run([task], tmp_path, tmp_path / "casa.log", 120)
    apply_caltable_set(gappy, read_ms_info(fresh.path))
    ours, good = column(fresh.path, "CORRECTED_DATA"), ~column(fresh.path, "FLAG")
    reference, their_good = column(reference_path, "CORRECTED_DATA"), ~column(reference_path, "FLAG")
    assert np.array_equal(good, their_good)
    assert 0.01 < 1 - good.mean() < 0.05
    assert np.abs(ours - reference)[good].max() < 1e-5 * np.abs(reference[good]).max()
    assert not ours[~good].any()
    assert np.array_equal(column(fresh.path, "WEIGHT"), column(reference_path, "WEIGHT"))


def test_corrected_data_match_the_uncorrupted_sky(calibrated):
    path, truth = calibrated.truth.path, calibrated.truth
    corrected, flags = column(path, "CORRECTED_DATA"), column(path, "FLAG")
    cross = column(path, "ANTENNA1") != column(path, "ANTENNA2")
    good = cross[:, None, None] & ~flags
    scale = np.vdot(truth.sky[good], corrected[good]) / np.vdot(truth.sky[good], truth.sky[good])
    assert scale == pytest.approx(1.0, abs=0.01)
    residual = corrected[good] - truth.sky[good]
    assert np.sqrt(np.mean(np.abs(residual) ** 2)) < 1.0
    read_record = read_calibration_record
    with table(str(path), ack=False) as main:
        record = read_record(main, "CORRECTED_DATA")
        assert read_record(main, "DATA") is None
    assert record["set"] == calibrated.done.new_set.name
    assert record["calibrator"] == "3C48"
    assert record["tables"] == [str(path) for path in calibrated.done.new_set.paths]


def test_antennas_are_matched_by_name(fresh, calibrated):
    """A tile whose slots are numbered otherwise gets the same gains under the same names; a new name gets none."""
    tile = read_ms_info(fresh.path)
    order = np.random.default_rng(2).permutation(14)
    names = [tile.antenna_names[index] for index in order]
    names[5] = "newcomer"
    plain = compute_inverse_gains(calibrated.done.new_set, tile)
    turned = compute_inverse_gains(calibrated.done.new_set, replace(tile, antenna_names=tuple(names)))
    known = np.arange(14) != 5
    assert np.array_equal(turned[known], plain[order][known])
    assert np.isnan(turned[5]).all()


def test_channels_are_matched_by_frequency(fresh, calibrated):
    tile = read_ms_info(fresh.path)
    plain = compute_inverse_gains(calibrated.done.new_set, tile)
    moved = replace(tile, freqs_hz=tile.freqs_hz + 3 * tile.channel_width_hz)
    shifted = compute_inverse_gains(calibrated.done.new_set, moved)
    assert np.array_equal(shifted[:, :-3], plain[:, 3:])
    assert np.isnan(shifted[:, -3:]).all()


def test_correct_rows_matches_numpy():
    rng = np.random.default_rng(3)

    def normal(*shape):
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)

    data, inverse = normal(9, 5, 2), normal(4, 5, 2)
    inverse[2, 1, 0] = np.nan
    first, second = rng.integers(0, 4, 9).astype(np.int32), rng.integers(0, 4, 9).astype(np.int32)
    expected = data * inverse[first] * inverse[second].conj()
    missing = np.isnan(expected)
    flags = np.zeros(data.shape, dtype=bool)
    correct_rows(data, flags, first, second, inverse, np.array([[0, 0], [1, 1]]))
    assert np.array_equal(flags, missing)
    assert np.allclose(data, np.where(missing, 0, expected), rtol=1e-5)


def test_missing_caltable_is_bad_input(fresh, gappy):
    shutil.rmtree(gappy.paths[1])
    with pytest.raises(BadInput, match=r"gcal"):
        apply_caltable_set(gappy, read_ms_info(fresh.path))


def test_apply_matches_double_precision(fresh, calibrated, tmp_path):
    """Delays of 1.7 microseconds and a flagged stretch: single precision everywhere, against plain double precision."""
    new, tile = calibrated.done.new_set, read_ms_info(fresh.path)
    moved = new.moved_to(tmp_path / "set")
    shutil.copytree(new.directory, moved.directory)
    with table(str(moved.paths[0]), readonly=False, ack=False) as main:
        values, flags = main.getcol("CPARAM"), main.getcol("FLAG")
        slope = np.where(np.arange(len(values)) % 2, 1.7e-6, -1.7e-6)[:, None, None]
        values *= np.exp(2j * np.pi * slope * (tile.freqs_hz - tile.freqs_hz[0])[None, :, None])
        flags[:, 50:70] = True
        main.putcol("CPARAM", values.astype(np.complex64))
        main.putcol("FLAG", flags)
    apply_caltable_set(moved, tile)
    gains = [read_solutions(path).gains[0] for path in moved.paths]
    product = np.where(np.isfinite(gains[0] * gains[1]), gains[0] * gains[1], 1)
    data, ours, flagged, ant1, ant2 = (
        column(fresh.path, name) for name in ("DATA", "CORRECTED_DATA", "FLAG", "ANTENNA1", "ANTENNA2")
    )
    exact = data / (product[ant1] * product[ant2].conj())
    assert flagged[:, 50:70].all()
    assert (np.abs(ours - exact) / np.abs(exact))[~flagged].max() < 1e-6
