"""Copies of the drift_sim files with changed headers or another storage."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import pytest

from contimg.tile.convert import Conversion, convert

ChangedFiles = Callable[..., dict[int, Path]]


@pytest.fixture
def changed_files(drift_sim_files, tmp_path) -> ChangedFiles:
    """Return a function that copies the drift_sim files, changes each open copy, and returns their paths."""

    def copy(change: Callable[[h5py.File], None], subbands: Iterable[int] = range(16)) -> dict[int, Path]:
        directory = tmp_path / "incoming"
        directory.mkdir()
        files = {subband: Path(shutil.copy(drift_sim_files[subband], directory)) for subband in subbands}
        for path in files.values():
            with h5py.File(path, "r+") as file:
                change(file)
        return files

    return copy


@pytest.fixture(scope="session")
def drift_sim_ms(drift_sim_files, tmp_path_factory) -> Conversion:
    """The Measurement Set of the unchanged files."""
    return convert(drift_sim_files, tmp_path_factory.mktemp("unchanged") / "2026-02-22T23:17:51.ms")
