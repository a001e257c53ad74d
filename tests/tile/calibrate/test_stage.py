import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import table
from click.testing import CliRunner
from small_ms import copied, make_ms, random_gains

from contimg.cli.tile.stages import calibrate as command
from contimg.common.errors import BadInput
from contimg.formats.caltables.caltable_set import scan_caltable_sets
from contimg.formats.ms.columns import read_calibration_record
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate


def state(path):
    """What a reader sees: a digest of FLAG and CORRECTED_DATA, and the notes."""
    with table(str(path), ack=False) as main:
        names = [name for name in ("FLAG", "CORRECTED_DATA") if name in main.colnames()]
        digests = [hashlib.sha256(np.ascontiguousarray(main.getcol(name)).tobytes()).hexdigest() for name in names]
        return names, digests, [read_calibration_record(main, name) for name in ("DATA", "CORRECTED_DATA")]


def test_target_tile_uses_valid_set(calibrated, tmp_path):
    path = make_ms(tmp_path / "2026-02-22T23:23:00.ms", sources=[(24.3, 33.3, lambda f: 1.0 + 0 * f)],
                   gains=random_gains(), noise=0.2).path  # fmt: skip
    options = CalibrateOptions(min_apparent_jy=50.0)
    done = calibrate(path, [calibrated.done.new_set], tmp_path / "calibration", options)
    assert done.calibration_set == calibrated.done.new_set.name
    assert done.new_set is None
    assert "3C48" in done.calibration_note
    assert [path.name for path in (tmp_path / "calibration").iterdir()] == ["flags"]
    assert set(done.seconds) == {"flag", "solve", "sky gains", "apply"}


def test_tile_without_caltable_set_is_marked(calibrated, tmp_path):
    """Also one that was calibrated before: its CORRECTED_DATA is removed."""
    fresh = copied(calibrated.truth, tmp_path)
    done = calibrate(fresh.path, [], fresh.path.parent / "calibration", CalibrateOptions(solve=False))
    assert (done.calibration_set, done.new_set) == (None, None)
    names, _, (note, _) = state(fresh.path)
    assert names == ["FLAG"]
    assert note == {"set": None, "reason": done.calibration_note, "calibration_class": "none"}
    assert done.calibration_note


def test_noise_gives_no_set(calibrated, tmp_path):
    path = make_ms(tmp_path / "noise.ms", sources=[], noise=60.0).path
    done = calibrate(path, [calibrated.done.new_set], tmp_path / "calibration", CalibrateOptions())
    assert done.new_set is None
    assert done.calibration_set == calibrated.done.new_set.name
    assert "3C48" in done.calibration_note
    assert sorted(path.name for path in (tmp_path / "calibration").iterdir()) == ["flags"]


def test_no_live_antenna_is_bad_input(tmp_path):
    path = make_ms(tmp_path / "dead.ms", sources=[]).path
    with table(str(path), readonly=False, ack=False) as main:
        main.putcol("DATA", np.zeros_like(main.getcol("DATA")))
    with pytest.raises(BadInput, match=r"dead\.ms\b"):
        calibrate(path, [], tmp_path / "calibration", CalibrateOptions())


def test_command_repeats_calibration(calibrated, tmp_path, monkeypatch):
    """A tile that was calibrated before, scratch left by a killed solve: the same result and no other files."""
    name = calibrated.truth.path.name
    path, directory, elsewhere = (tmp_path / part for part in (name, "calibration", "elsewhere"))
    shutil.copytree(calibrated.truth.path, path)
    shutil.copytree(calibrated.directory, directory)
    (directory / f".{name.removesuffix('.ms')}.killed.part" / "work").mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    result = CliRunner().invoke(command, [f"../{name}/"], catch_exceptions=False)
    assert result.exit_code == 0
    for expected in ("3C48", "Perley & Butler 2017", ".bcal", ".gcal", "%"):
        assert expected in result.output
    assert list(Path.cwd().iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "calibration", "elsewhere"]
    assert scan_caltable_sets(directory) == [calibrated.done.new_set.moved_to(directory / name.removesuffix(".ms"))]
    assert sorted(path.name for path in directory.iterdir()) == [name.removesuffix(".ms"), "flags"]
    (names, digests, notes), (_, before, notes_before) = state(path), state(calibrated.truth.path)
    assert names == ["FLAG", "CORRECTED_DATA"]
    assert digests == before
    for note in (notes[1], notes_before[1]):
        note.pop("tables")
    assert notes == notes_before
