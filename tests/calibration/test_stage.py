import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import table
from click.testing import CliRunner
from small_ms import make_ms, random_gains

from contimg.calibration import CalibrateOptions, calibrate, columns, scan
from contimg.commands.calibrate import calibrate as command
from contimg.errors import BadInput


def state(path):
    """What a reader sees: a digest of FLAG and CORRECTED_DATA, and the notes."""
    with table(str(path), ack=False) as main:
        names = [name for name in ("FLAG", "CORRECTED_DATA") if name in main.colnames()]
        digests = [hashlib.sha256(np.ascontiguousarray(main.getcol(name)).tobytes()).hexdigest() for name in names]
        return names, digests, [columns.read_note(main, name) for name in ("DATA", "CORRECTED_DATA")]


def test_twice_is_once_and_after_a_kill_too(fresh):
    room = fresh.path.parent / "calibration"
    calibrate(fresh.path, [], room, CalibrateOptions())
    first = state(fresh.path)
    with table(str(fresh.path), readonly=False, ack=False) as main:  # a pass killed half-way leaves such a mixture
        rows = main.nrows() // 2
        main.putcol("CORRECTED_DATA", main.getcol("DATA", 0, rows), 0, rows)
        main.putcol("FLAG", np.ones_like(main.getcol("FLAG", 0, rows)), 0, rows)
    (room / f".{fresh.path.name.removesuffix('.ms')}.killed.part" / "work").mkdir(parents=True)
    again = calibrate(fresh.path, scan(room), room, CalibrateOptions())
    assert state(fresh.path) == first
    assert again.new_set == scan(room)[0]
    assert [path.name for path in room.iterdir()] == [again.new_set.name]


def test_a_target_tile_takes_the_valid_set_and_says_so(calibrated, tmp_path):
    path = make_ms(tmp_path / "2026-02-22T23:23:00.ms", sources=[(24.3, 33.3, lambda f: 1.0 + 0 * f)],
                   gains=random_gains(), noise=0.2).path  # fmt: skip
    options = CalibrateOptions(min_apparent_jy=50.0)
    done = calibrate(path, [calibrated.done.new_set], tmp_path / "calibration", options)
    assert done.applied == calibrated.done.new_set.name
    assert done.new_set is None
    assert "3C48" in done.reason
    assert "no calibrator in the beam" in done.reason
    assert not (tmp_path / "calibration").exists()
    assert set(done.seconds) == {"flag", "solve", "apply"}


def test_without_any_set_the_data_say_so(fresh):
    done = calibrate(fresh.path, [], fresh.path.parent / "calibration", CalibrateOptions(solve=False))
    assert (done.applied, done.new_set) == (None, None)
    names, _, (note, _) = state(fresh.path)
    assert names == ["FLAG"]
    assert note == {"set": None, "reason": done.reason}
    assert "switched off" in done.reason
    assert "no calibration set" in done.reason


def test_a_failed_solution_leaves_the_tile_to_the_valid_set(fresh, calibrated):
    options = CalibrateOptions(bandpass_snr=1e9)
    older = calibrated.done.new_set
    known = replace(older, name="older")
    done = calibrate(fresh.path, [known], fresh.path.parent / "calibration", options)
    assert done.applied == "older"
    assert "solving on 3C48 failed" in done.reason


def test_nothing_alive_is_bad_input(tmp_path):
    path = make_ms(tmp_path / "dead.ms", sources=[]).path
    with table(str(path), readonly=False, ack=False) as main:
        main.putcol("DATA", np.zeros_like(main.getcol("DATA")))
    with pytest.raises(BadInput, match="no live antenna"):
        calibrate(path, [], tmp_path / "calibration", CalibrateOptions())


def test_command_prints_what_it_did_and_leaves_no_litter(corrupted, tmp_path, monkeypatch):
    shutil.copytree(corrupted.path, tmp_path / corrupted.path.name)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    said = CliRunner().invoke(command, [f"../{corrupted.path.name}/"], catch_exceptions=False)
    assert said.exit_code == 0
    for expected in ("3C48", "Perley & Butler 2017", ".bcal", ".gcal", "solved on 3C48", "flagged"):
        assert expected in said.output
    assert list(Path.cwd().iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [corrupted.path.name, "calibration", "elsewhere"]
