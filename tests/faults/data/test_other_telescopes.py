"""Files of another telescope: their time, name and dishes; and a reader that knows no telescope."""

import os
import subprocess
import sys

import erfa
import numpy as np
import pytest
from casacore.tables import table

from contimg.common.errors import BadFile
from contimg.formats.uvh5.header import read_header
from contimg.tile.convert import ConvertOptions, convert

ANY = ConvertOptions(telescope="any")
YEARS_JD = 30 * 365.25  # from 2026 back to 1996


def set_up(file):
    header = file["Header"]
    header["time_array"][:] -= YEARS_JD
    header["antenna_diameters"][:] = 25.0
    for name, text in (("object_name", b"3C48"), ("telescope_name", b"OLDARRAY")):
        del header[name]
        header[name] = np.bytes_(text)


def test_observation_before_2000(changed_files, tmp_path):
    files = changed_files(set_up)
    with pytest.raises(BadFile, match="Julian date"):
        read_header(files[0])
    converted = convert(files, tmp_path / "old.ms", ANY)
    assert (converted.mjd_start - 61093.97) == pytest.approx(-YEARS_JD, abs=0.01)
    for subtable, column, expected in (
        ("FIELD", "NAME", "3C48"), ("OBSERVATION", "TELESCOPE_NAME", "OLDARRAY"), ("ANTENNA", "DISH_DIAMETER", 25.0)
    ):  # fmt: skip
        with table(f"{converted.path}::{subtable}", ack=False) as rows:
            assert set(rows.getcol(column)) == {expected}


def test_unknown_dishes(changed_files, tmp_path):
    files = changed_files(lambda file: file["Header"].__delitem__("antenna_diameters"), [5])
    for options, expected_m in ((ANY, 0.0), (ConvertOptions(), 4.65)):
        converted = convert(files, tmp_path / "tile.ms", options)
        with table(f"{converted.path}::ANTENNA", ack=False) as antenna:
            assert set(antenna.getcol("DISH_DIAMETER")) == {expected_m}


@pytest.mark.parametrize("offset", [2400000.5, 2451545.0], ids=["MJD", "days since 2000"])
def test_times_that_are_no_julian_dates(offset, changed_files):
    def shift(file):
        file["Header/time_array"][:] -= offset

    with pytest.raises(BadFile, match="Julian date"):
        read_header(changed_files(shift, [5])[5], own_telescope=False)


READ = """
import sys
from pyuvdata import UVData
location = UVData.from_file(sys.argv[1], file_type="ms").telescope.location
print(*(axis.to_value("m") for axis in (location.x, location.y, location.z)))
"""


@pytest.mark.long
def test_pyuvdata_without_caches_or_network(drift_sim_ms, tmp_path):
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ASTROPY"))}
    unreachable = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-c", READ, str(drift_sim_ms.path)], env={**environ, **unreachable, "HOME": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = erfa.gd2gc(1, *np.deg2rad([-118.283, 37.2334051]), 1188.05)
    assert [float(text) for text in done.stdout.splitlines()[-1].split()] == pytest.approx(list(expected), abs=0.01)
