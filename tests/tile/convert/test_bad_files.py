"""Every bad file seen in the wild is named with its reason, and none becomes a silent Measurement Set."""

import re
import shutil

import h5py
import numpy as np
import pytest

from contimg.common.errors import BadFile, BadInput
from contimg.formats.uvh5.group import read_group
from contimg.formats.uvh5.grouping import seconds_of, stamp_of
from contimg.instrument.dsa110 import CADENCE_S
from contimg.tile.convert import convert


def edit(change):
    def damage(path):
        with h5py.File(path, "r+") as file:
            change(file)

    return damage


def replace(name, change):
    def damage(file):
        values = change(file[name][()])
        del file[name]
        file[name] = values

    return edit(damage)


def fill(name, value):
    return edit(lambda file: file[name].__setitem__(..., value))


def truncate(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def zero_superblock(path):
    with path.open("r+b") as file:
        file.write(bytes(512))


FAULTS = {
    "empty": (lambda path: path.write_bytes(b""), r"empty|0 bytes"),
    "text": (lambda path: path.write_text("not HDF5 at all"), "HDF5"),
    "truncated": (truncate, "HDF5"),
    "zeroed superblock": (zero_superblock, "HDF5"),
    "gone": (lambda path: path.unlink(), "gone|missing|removed|not exist|no such|not found"),
    "no visdata": (edit(lambda file: file["Data"].__delitem__("visdata")), "visdata"),
    "no freq_array": (edit(lambda file: file["Header"].__delitem__("freq_array")), "freq_array"),
    "lying Nfreqs": (fill("Header/Nfreqs", 32), "Nfreqs"),
    "lying Nblts": (fill("Header/Nblts", 200), "Nblts"),
    "antenna out of range": (fill("Header/ant_2_array", 500), "500"),
    "no extra keywords": (edit(lambda file: file["Header"].__delitem__("extra_keywords")), "phase_center_dec"),
    "half a subband off": (replace("Header/freq_array", lambda f: f + 24 * 244140.625), "MHz"),
    "axis reversed": (replace("Header/freq_array", lambda f: f[:, ::-1].copy()), r"\b\d{6,7}\.\d"),
    "one integration late": (replace("Header/time_array", lambda t: t + 12.884902 / 86400), r"12\.88"),
    "time in MJD": (replace("Header/time_array", lambda t: t - 2400000.5), r"\b6109[34]\."),
    "NaN": (fill("Data/visdata", complex(np.nan, np.nan)), "usable|valid|flagged"),
    "all zero": (fill("Data/visdata", 0), "usable|valid|flagged"),
    "1e30": (fill("Data/visdata", 1e30), "usable|valid|flagged"),
    "negative nsamples": (fill("Data/nsamples", -1), "usable|valid|flagged"),
    "all flagged": (fill("Data/flags", True), "usable|valid|flagged"),
    "another declination": (fill("Header/extra_keywords/phase_center_dec", 0.3), "declination|phase_center_dec"),
    "another telescope": (fill("Header/longitude", 21.44), r"\d km"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_file(fault, copies, tmp_path):
    damage, reason = FAULTS[fault]
    damage(copies[7])
    target = tmp_path / "out" / "2026-02-22T23:17:51.ms"
    with pytest.raises(BadFile) as caught:
        convert(copies, target)
    assert caught.value.path == copies[7]
    assert re.search(reason, caught.value.reason)
    assert "\n" not in str(caught.value)
    assert not target.parent.exists() or not list(target.parent.iterdir())


def test_duplicate_subband(copies, tmp_path):
    shutil.copy(copies[3], copies[7])
    with pytest.raises(BadFile, match=r"sb07.*\b3\b"):
        convert(copies, tmp_path / "out.ms")


def test_file_of_other_tile(copies, tmp_path):
    renamed = copies[0].with_name("2026-02-22T20:00:00_sb00.hdf5")
    copies[0].rename(renamed)
    with pytest.raises(BadFile, match=r"\b119\d\d\b") as caught:  # seconds from 20:00 to 23:20
        convert({**copies, 0: renamed}, tmp_path / "out.ms")
    assert caught.value.path == renamed


@pytest.mark.parametrize("tiles", [-1, 1])
def test_group_of_other_tile(tiles, copies, tmp_path):
    name = stamp_of(seconds_of("2026-02-22T23:17:51") + tiles * CADENCE_S)
    renamed = {sb: path.rename(path.with_name(f"{name}_sb{sb:02d}.hdf5")) for sb, path in copies.items()}
    with pytest.raises(BadFile, match=r"\b154\.5\b"):
        convert(renamed, tmp_path / "out.ms")


def test_spread_of_names(drift_sim_files, copies):
    renamed = copies[0].rename(copies[0].with_name("2026-02-22T23:19:13_sb00.hdf5"))  # 82 s later
    assert len(read_group({**copies, 0: renamed}).headers) == 16


def test_no_files(tmp_path):
    with pytest.raises(BadInput):
        convert({}, tmp_path / "out.ms")
