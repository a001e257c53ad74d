import re

import numpy as np
import pytest
from casacore.tables import table

from contimg.common.errors import BadInput
from contimg.formats.ms.info import read_ms_info
from contimg.tile.convert import convert


def test_azimuth_pointing_is_ignored(drift_sim_files, tmp_path):
    converted = convert(drift_sim_files, tmp_path / "tile.ms")
    with table(f"{converted.path}::POINTING", readonly=False, ack=False) as pointing:
        pointing.putcolkeyword("DIRECTION", "MEASINFO", {"type": "direction", "Ref": "AZELGEO"})
    description = read_ms_info(converted.path)
    assert np.array_equal(description.pointing_rad, np.tile(description.phase_centre_rad, (6, 1)))


def test_other_directory_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match=re.escape(str(tmp_path))):
        read_ms_info(tmp_path)


def test_damaged_table_is_bad_input(drift_sim_files, tmp_path):
    converted = convert(drift_sim_files, tmp_path / "tile.ms")
    (converted.path / "table.dat").write_bytes(b"damaged")
    with pytest.raises(BadInput, match=r"tile\.ms\b"):
        read_ms_info(converted.path)
