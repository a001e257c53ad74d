"""Flags set by hand stay over calibration, self-calibration and conversion; those that a stage set are recomputed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import table

from contimg.common.errors import Transient
from contimg.formats.ms.columns import write_calibration_record
from contimg.formats.ms.info import read_ms_info
from contimg.tile.calibrate import run as calibrating
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.calibrate.solve import casa
from contimg.tile.convert import convert

NAME = "2026-02-22T23:17:51"
OPTIONS = CalibrateOptions(solve=False, flag=False)


@pytest.fixture(scope="module")
def converted(drift_sim_files, tmp_path_factory) -> Path:
    return convert(drift_sim_files, tmp_path_factory.mktemp("converted") / f"{NAME}.ms").path


@pytest.fixture
def ms(converted, tmp_path) -> Path:
    return Path(shutil.copytree(converted, tmp_path / converted.name))


def read(ms, column="FLAG"):
    with table(str(ms), ack=False) as main:
        return main.getcol(column) if column in main.colnames() else None


def rows_of_antenna(ms, position=1):
    ant1, ant2 = read(ms, "ANTENNA1"), read(ms, "ANTENNA2")
    slot = np.unique(ant1)[position]
    return (ant1 == slot) | (ant2 == slot)


def set_by_hand(ms, rows, value=True, channels=slice(None)):
    """As a plot's flagging tool or `flagdata` does it: FLAG, and no other column."""
    with table(str(ms), readonly=False, ack=False) as main:
        flags = main.getcol("FLAG")
        flags[rows, channels] = value
        main.putcol("FLAG", flags)


def run_calibrate(ms):
    return calibrate(ms, [], ms.parent / "calibration", OPTIONS)


@pytest.mark.parametrize("calibrations_before", [0, 1, 2])
def test_antenna_flagged_by_hand_stays_flagged(calibrations_before, ms, converted):
    for _ in range(calibrations_before):
        run_calibrate(ms)
    assert not read(ms).any()
    rows = rows_of_antenna(ms)
    set_by_hand(ms, rows)
    for _ in range(2):
        result = run_calibrate(ms)
        flags = read(ms)
        assert flags[rows].all()
        assert not flags[~rows].any()
        assert result.dead_antennas, "an antenna without a usable sample"
        assert "by hand" in result.calibration_note
    assert np.array_equal(read(ms, "FLAG_ORIGINAL"), read(converted, "FLAG_ORIGINAL"))
    summary = json.loads((ms.parent / "calibration" / "flags" / f"{NAME}.json").read_text())
    is_cross = read(ms, "ANTENNA1") != read(ms, "ANTENNA2")
    assert summary["by_hand"] == pytest.approx(rows[is_cross].mean())
    assert summary["before"] == 0


def test_flags_of_two_sessions_add_up(ms):
    first, second = rows_of_antenna(ms, 1), rows_of_antenna(ms, 2)
    set_by_hand(ms, first)
    run_calibrate(ms)
    set_by_hand(ms, second, channels=slice(100, 200))
    run_calibrate(ms)
    flags = read(ms)
    assert flags[first].all()
    assert flags[second & ~first, 100:200].all()
    assert flags.mean() == pytest.approx((first.sum() * 768 + (second & ~first).sum() * 100) / (len(first) * 768))


def test_flags_cleared_by_hand_are_cleared(ms):
    rows = rows_of_antenna(ms)
    set_by_hand(ms, rows)
    run_calibrate(ms)
    set_by_hand(ms, rows, False, slice(0, 300))
    run_calibrate(ms)
    flags = read(ms)
    assert not flags[:, :300].any()
    assert flags[rows, 300:].all()


def test_flags_of_a_stage_are_recomputed(ms):
    """A burst is flagged by the search; without the burst and its flags the next calibration has none of them."""
    data = read(ms, "DATA")
    with table(str(ms), readonly=False, ack=False) as main:
        main.putcol("DATA", np.where(np.arange(768)[None, :, None] // 8 == 20, np.complex64(np.nan), data))
    run_calibrate(ms)
    assert read(ms)[:, 160:168].all()
    with table(str(ms), readonly=False, ack=False) as main:
        main.putcol("DATA", data)
    run_calibrate(ms)
    assert not read(ms).any()
    assert read(ms, "FLAG_MANUAL") is None


def test_failed_calibration_keeps_what_was_set_by_hand(ms, monkeypatch):
    run_calibrate(ms)
    rows = rows_of_antenna(ms)
    set_by_hand(ms, rows)

    def fail(*_):
        raise Transient("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(calibrating, "record_flags", fail)
        with pytest.raises(Transient):
            run_calibrate(ms)
    assert read(ms)[rows].all()
    run_calibrate(ms)
    flags = read(ms)
    assert flags[rows].all()
    assert not flags[~rows].any()


def test_flags_set_while_a_calibration_runs_are_kept(ms, monkeypatch):
    run_calibrate(ms)
    rows = rows_of_antenna(ms)
    record_flags = calibrating.record_flags

    def set_at_the_same_time(info):
        set_by_hand(ms, rows)
        record_flags(info)

    with monkeypatch.context() as patch:
        patch.setattr(calibrating, "record_flags", set_at_the_same_time)
        with pytest.raises(Transient, match=str(ms)):
            run_calibrate(ms)
    assert [path.name for path in ms.parent.iterdir() if "writing" in path.name] == []
    run_calibrate(ms)
    flags = read(ms)
    assert flags[rows].all()
    assert not flags[~rows].any()


@pytest.mark.parametrize("operation", ["calibrate", "convert"])
def test_flags_of_an_earlier_version_are_not_taken_as_manual(operation, ms, drift_sim_files, caplog):
    set_by_hand(ms, rows_of_antenna(ms))
    with table(str(ms), readonly=False, ack=False) as main:
        write_calibration_record(main, "DATA", {"set": None, "reason": "no calibrator in the beam"})
    for warnings in (1, 0):
        caplog.clear()
        if operation == "calibrate":
            run_calibrate(ms)
        else:
            convert(drift_sim_files, ms)
        assert not read(ms).any()
        messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert [message for message in messages if f"{ms}: " in message and "set them again" in message] == messages
        assert len(messages) == warnings


def test_conversion_carries_flags_over(ms, drift_sim_files):
    """Also those that no calibration has seen; a subband that was missing comes without the flags of its gap."""
    files = {subband: path for subband, path in drift_sim_files.items() if subband != 15}
    convert(files, ms)
    assert read(ms)[:, :48].all(), "the gap of the missing subband, which has the lowest frequencies"
    first, second = rows_of_antenna(ms, 1), rows_of_antenna(ms, 2)
    set_by_hand(ms, first)
    run_calibrate(ms)
    set_by_hand(ms, second)
    convert(drift_sim_files, ms)
    for _ in range(2):
        flags = read(ms)
        assert flags[first | second, 48:].all()
        assert not flags[~(first | second)].any()
        run_calibrate(ms)


def test_conversion_to_other_rows_warns(ms, drift_sim_files, caplog):
    with table(str(ms), readonly=False, ack=False) as main:
        main.putcol("TIME", main.getcol("TIME") + 1.0)
    set_by_hand(ms, rows_of_antenna(ms))
    convert(drift_sim_files, ms)
    assert not read(ms).any()
    (record,) = [record for record in caplog.records if record.name.endswith("flags")]
    assert record.levelname == "WARNING"
    assert str(ms) in record.getMessage()


def test_conversion_over_a_damaged_measurement_set(ms, drift_sim_files, caplog):
    (ms / "table.dat").write_bytes(b"damaged")
    convert(drift_sim_files, ms)
    assert not read(ms).any()
    assert str(ms) in caplog.text


@pytest.mark.long
def test_flagdata_of_casa(ms, tmp_path):
    """CASA's own task as the person who flags."""
    run_calibrate(ms)
    info = read_ms_info(ms)
    name = info.antenna_names[info.antennas[1]]
    task = casa.Task("flagdata", {"vis": str(ms), "mode": "manual", "antenna": name, "flagbackup": False})
    casa.run([task], tmp_path / "casa", tmp_path / "casa.log", 120)
    rows = rows_of_antenna(ms)
    assert read(ms)[rows].any()
    expected = read(ms)
    run_calibrate(ms)
    assert np.array_equal(read(ms), expected | rows[:, None, None])
