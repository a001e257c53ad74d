"""Where a product is written, and what a file system that refuses leaves behind: one clear error, no half product."""

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import table

from contimg.common.errors import Transient
from contimg.common.files.staging import MARK, has_space, size_bytes, staged, temporaries
from contimg.tile.convert import ConvertOptions, convert


def can_mount() -> bool:
    probe = ["unshare", "--mount", "true"]
    return sys.platform == "linux" and os.geteuid() == 0 and subprocess.run(probe, check=False).returncode == 0


mounting = pytest.mark.skipif(not can_mount(), reason="only root may mount a small tmpfs")


@contextmanager
def small_disk(place: Path, size_mb: int, how: str = "rw"):
    """A file system of a few megabytes, in memory."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,{how}", "contimg-test", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def same_data(path: Path, reference: Path) -> bool:
    with table(str(path), ack=False) as ours, table(str(reference), ack=False) as expected:
        return all(np.array_equal(ours.getcol(name), expected.getcol(name)) for name in ("DATA", "FLAG", "UVW", "TIME"))


def test_scratch_is_used_and_emptied(drift_sim_files, drift_sim_ms, tmp_path, monkeypatch):
    used = []
    monkeypatch.setattr("contimg.tile.convert.run.size_bytes", lambda path: used.append(path) or size_bytes(path))
    scratch = tmp_path / "scratch"
    converted = convert(drift_sim_files, tmp_path / "out" / "tile.ms", scratch=[scratch])
    assert used[0].parent == scratch
    assert MARK in used[0].name
    assert list(scratch.iterdir()) == []
    assert [path.name for path in converted.path.parent.iterdir()] == ["tile.ms"]
    assert same_data(converted.path, drift_sim_ms.path)


@mounting
def test_small_scratch_is_skipped(drift_sim_files, drift_sim_ms, tmp_path):
    with small_disk(tmp_path / "small", 10) as small:
        converted = convert(drift_sim_files, tmp_path / "tile.ms", scratch=[small])
        assert list(small.iterdir()) == []
    assert same_data(converted.path, drift_sim_ms.path)


@mounting
def test_scratch_margin(tmp_path):
    with small_disk(tmp_path / "scratch", 100) as scratch:
        assert has_space(scratch, 20 << 20)
        assert not has_space(scratch, 60 << 20)
    assert not has_space(Path("/dev/shm"), 1 << 50)


@pytest.mark.parametrize("scratch", ["/proc/nowhere", "/dev/null/scratch"])
def test_missing_scratch_is_skipped(scratch, drift_sim_files, tmp_path):
    assert convert(drift_sim_files, tmp_path / "tile.ms", scratch=[Path(scratch)]).path.is_dir()


@mounting
def test_small_disk_is_refused_first(drift_sim_files, tmp_path):
    with small_disk(tmp_path / "small", 10) as small:
        with pytest.raises(Transient, match=r"tile\.ms: .*\b1\d MB\b.*\b10 MB\b"):
            convert(drift_sim_files, small / "tile.ms")
        assert list(small.iterdir()) == []


FILL_UP = """
import sys
from pathlib import Path
import contimg.tile.convert.run as stage
from contimg.common.errors import ContimgError
from contimg.tile.convert import convert
files = {int(path.stem[-2:]): path for path in Path(sys.argv[1]).glob("*.hdf5")}
stage._bytes_needed = lambda tile, weight_spectrum: 0  # another process takes the space meanwhile
try:
    convert(files, Path(sys.argv[2]) / "tile.ms", scratch=[Path(argument) for argument in sys.argv[3:]])
except ContimgError as error:
    print(type(error).__name__, error)
"""


def convert_in_subprocess(*arguments):
    """Convert in a separate process, because casacore may end its process on a full disk."""
    run = subprocess.run(
        [sys.executable, "-c", FILL_UP, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@mounting
@pytest.mark.parametrize("size_mb", [1, 9, 17, 19, 22])
def test_full_disk_raises_transient(size_mb, drift_sim_files, tmp_path):
    with small_disk(tmp_path / "small", size_mb) as small:
        output = convert_in_subprocess(drift_sim_files[0].parent, small)
        assert output.startswith(f"Transient {small}/tile.ms: ")
        assert output.count("\n") == 1
        assert list(small.iterdir()) == []


@mounting
def test_full_target_keeps_existing_ms(drift_sim_files, tmp_path):
    with small_disk(tmp_path / "small", 12) as small:
        (small / "tile.ms").mkdir()
        (small / "tile.ms" / "old").write_text("old")
        output = convert_in_subprocess(drift_sim_files[0].parent, small, tmp_path / "scratch")
        assert output.startswith(f"Transient {small}/tile.ms: ")
        assert [path.name for path in small.iterdir()] == ["tile.ms"]
        assert (small / "tile.ms" / "old").exists()
    assert list((tmp_path / "scratch").iterdir()) == []


@mounting
def test_read_only_directory(drift_sim_files, tmp_path):
    with small_disk(tmp_path / "sealed", 100, "ro") as sealed, pytest.raises(Transient, match="Read-only file system"):
        convert(drift_sim_files, sealed / "tile.ms")


@mounting
def test_unmounted_incoming_directory(copies, tmp_path):
    with small_disk(tmp_path / "incoming", 100) as incoming:
        moved = {subband: incoming / path.name for subband, path in copies.items()}
    with pytest.raises(Transient, match=re.escape(str(tmp_path / "incoming"))):
        convert(moved, tmp_path / "tile.ms")
    with pytest.raises(Transient, match=re.escape(str(tmp_path / "nowhere"))):
        convert({0: tmp_path / "nowhere" / "2026-02-22T23:17:51_sb00.hdf5"}, tmp_path / "tile.ms")


def test_durable_ms_is_flushed(drift_sim_files, tmp_path, monkeypatch):
    flushed = []
    real = os.fsync

    def fsync(handle):
        flushed.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    convert(drift_sim_files, tmp_path / "tile.ms", ConvertOptions(durable=True))
    inside = sum(len(names) for _, _, names in os.walk(tmp_path / "tile.ms"))
    assert sum(MARK in path and Path(path).name.startswith("table") for path in flushed) == inside
    assert str(tmp_path) in flushed


def test_other_errors_are_raised(tmp_path):
    with pytest.raises(RuntimeError, match="a mistake"), staged(tmp_path / "product"):
        raise RuntimeError("a mistake")
    assert temporaries(tmp_path) == []
