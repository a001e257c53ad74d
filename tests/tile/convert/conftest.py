import shutil
from pathlib import Path

import pytest

from contimg.tile.convert import Conversion, convert


@pytest.fixture(scope="session")
def drift_sim_ms(drift_sim_files, tmp_path_factory) -> Conversion:
    return convert(drift_sim_files, tmp_path_factory.mktemp("converted") / "2026-02-22T23:17:51.ms")


@pytest.fixture
def copies(drift_sim_files, tmp_path) -> dict[int, Path]:
    """The 16 files to change."""
    return {subband: Path(shutil.copy(path, tmp_path)) for subband, path in drift_sim_files.items()}
