"""Calibration on a disk that fills up: one clear error, no dead process, and the result of a larger disk afterwards.

Each step runs in a process of its own: what casacore does on a full disk may be the end of a process.
"""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from casacore.tables import table

from contimg.common.errors import Transient
from contimg.formats.ms.info import read_ms_info
from contimg.tile.calibrate.apply import apply_caltable_set
from contimg.tile.flag.run import flag

ROOM_MB = 48


def can_mount():
    probe = ["unshare", "--mount", "true"]
    return sys.platform == "linux" and os.geteuid() == 0 and subprocess.run(probe, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_mount(), reason="only root may mount a small tmpfs")

STEPS = """
import json, os, shutil, sys
from pathlib import Path
import numpy as np
from contimg.tile.flag import run as flagging
from contimg.formats.ms import flags as manual_flags
from contimg.tile.calibrate import apply as applying
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.solve import caltable_solving, casa, run as solving, solving_set
from contimg.tile.calibrate.selection import select_calibrators
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.common.errors import ContimgError
from contimg.formats.ms.info import read_ms_info

step, ms, set_directory, left_kb = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4])
disk, tile = ms.parent, read_ms_info(ms)

def fill(left_kb):
    free = shutil.disk_usage(disk).free - 1024 * left_kb
    with (disk / "another").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free, 1))

def filling(module, name):
    plain = getattr(module, name)
    def patched(*arguments):
        fill(left)
        return plain(*arguments)
    setattr(module, name, patched)

def solve():
    sources = select_calibrators(tile, 0.5, 3.0)
    options = CalibrateOptions(solver="casa" if step in ("solving set", "casa") else "stefcal")
    solving.solve(tile, sources, np.ones(len(tile.antenna_names)), disk / "calibration", options)

run = {
    "flag": (lambda: flagging.flag(tile), (manual_flags, "add_like")),
    "apply": (lambda: applying.apply_caltable_set(CaltableSet.read(set_directory), tile), (applying, "add_like")),
    "solving set": (solve, (solving_set, "_append")),
    "casa": (solve, (casa, "run")),
    "caltables": (solve, (caltable_solving, "write_caltable")),
    "fill": (solve, (solving, "fill_gaps")),
    "plots": (solve, (solving, "write_plots")),
}
work, where = run[step]
filling(*where)
for left in left_kb:
    try:
        work()
        print("done")
    except ContimgError as error:
        print(type(error).__name__, error)
    (disk / "another").unlink(missing_ok=True)
"""


@contextmanager
def small_disk(directory):
    directory.mkdir()
    size = f"size={ROOM_MB}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "contimg-test", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=False)


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "small") as directory:
        yield directory


def run_step(step, ms, set_directory, *left_kb):
    """What a step says with so many kB left on the disk, one line each; the process must live through all of them."""
    words = [sys.executable, "-c", STEPS, step, str(ms), str(set_directory), json.dumps(left_kb)]
    run = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr[-2000:]
    lines = run.stdout.splitlines()
    assert len(lines) == len(left_kb), run.stdout
    return lines


def columns(path, *names):
    with table(str(path), ack=False) as main:
        return [main.getcol(name) for name in names]


@pytest.mark.parametrize(("step", "left_kb"), [("flag", (0, 4, 200)), ("apply", (0, 4, 600, 1500))])
def test_full_disk_is_transient(step, left_kb, corrupted, calibrated, disk):
    ms, new = disk / corrupted.path.name, calibrated.done.new_set
    shutil.copytree(corrupted.path, ms)
    for line in run_step(step, ms, new.directory, *left_kb):
        assert line.startswith(f"Transient {ms}: "), line
    assert [path.name for path in disk.iterdir()] == [ms.name]
    if step == "flag":
        flag(read_ms_info(ms))
        assert np.array_equal(columns(ms, "FLAG"), columns(calibrated.truth.path, "FLAG"))
        assert not columns(ms, "FLAG_ORIGINAL")[0].any()
    else:
        apply_caltable_set(new, read_ms_info(ms))
        shutil.copytree(corrupted.path, disk.parent / "roomy.ms")
        apply_caltable_set(new, read_ms_info(disk.parent / "roomy.ms"))
        for ours, expected in zip(
            *(columns(path, "CORRECTED_DATA", "FLAG") for path in (ms, disk.parent / "roomy.ms")), strict=True
        ):
            assert np.array_equal(ours, expected)


def test_space_is_checked_first(corrupted, calibrated, disk):
    ms = disk / corrupted.path.name
    shutil.copytree(corrupted.path, ms)
    before = sorted(ms.iterdir())
    with (disk / "another").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - (1 << 20))
    with pytest.raises(Transient, match=r"\b3 MB\b.*\b1 MB\b"):
        apply_caltable_set(calibrated.done.new_set, read_ms_info(ms))
    assert sorted(ms.iterdir()) == before


@pytest.mark.parametrize("step", ["solving set", "casa", "caltables", "fill", "plots"])
def test_full_disk_while_solving_is_transient(step, corrupted, disk):
    ms = disk / corrupted.path.name
    shutil.copytree(corrupted.path, ms)
    (line,) = run_step(step, ms, "", 4)
    assert line.startswith("Transient "), line
    left = sorted(path.name for path in (disk / "calibration").iterdir())
    assert left in ([], [f"{ms.name.removesuffix('.ms')}.failed.log"])
