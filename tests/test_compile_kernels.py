"""The script of the set-up that fills numba's cache."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_kernels_of_every_stage_are_in_the_cache(tmp_path):
    environ = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, ROOT / "scripts" / "compile_kernels.py"], env=environ, check=True)
    compiled = {path.name.split(".")[0] for path in tmp_path.rglob("*.nbi")}
    modules = [path for path in (ROOT / "contimg").rglob("*.py") if "@numba.njit" in path.read_text(encoding="utf-8")]
    without = {path.stem for path in modules if "simulation" not in path.parts and "joint" not in path.parts} - compiled
    assert without <= {
        "mosaic_image",
        "outside",
    }  # of the epochs' HiPS; of sources outside the image, which the scene lacks
