"""Data sets of another type, number of axes or size than UVH5 has: one line that names the data set."""

import h5py
import numpy as np
import pytest

from contimg.common.errors import BadFile
from contimg.formats.uvh5.header import read_header

NUMBERS = ("Nblts", "Nfreqs", "Npols", "latitude", "altitude")
ARRAYS = (
    "ant_1_array", "time_array", "antenna_numbers", "antenna_positions", "integration_time", "polarization_array",
    "freq_array", "uvw_array",
)  # fmt: skip


def replace(file, name, values):
    del file[name]
    file[name] = values


def as_text(file, name):
    replace(file, name, np.bytes_("x\xff".encode("latin-1")))


def as_group(file, name):
    del file[name]
    file.create_group(name)


def as_empty(file, name):
    replace(file, name, file[name][()].ravel()[:0])


def as_not_a_number(file, name):
    replace(file, name, np.full(file[name].shape, np.nan))


def with_more_axes(file, name):
    replace(file, name, np.asarray(file[name][()])[np.newaxis, np.newaxis])


def with_rows_cut(file, name):
    replace(file, name, file[name][:-1])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (name, change)
        for name in NUMBERS + ARRAYS
        for change in (as_text, as_group, as_empty, as_not_a_number, with_more_axes)
        if (name, change) != ("uvw_array", as_not_a_number)  # as good as absent
    ],
)
def test_header(name, change, changed_files):
    files = changed_files(lambda file: change(file, f"Header/{name}"), [5])
    with pytest.raises(BadFile, match=name) as caught:
        read_header(files[5])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ant_1_array", "time_array", "antenna_positions", "integration_time", "uvw_array"])
def test_short_array(name, changed_files):
    with pytest.raises(BadFile, match=name):
        read_header(changed_files(lambda file: with_rows_cut(file, f"Header/{name}"), [5])[5])


def test_names_that_are_not_utf8(changed_files):
    def rename(file):
        names = file["Header/antenna_names"][:]
        names[0] = b"\xff\xfe"
        replace(file, "Header/antenna_names", names)

    files = changed_files(rename, [5])
    assert len(set(read_header(files[5]).array.names)) == 117


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("visdata", lambda values: values.real),
        ("visdata", lambda values: np.full(values.shape, b"x")),
        ("flags", lambda values: np.full(values.shape, b"f")),
        ("nsamples", lambda values: values.astype(complex)),
        ("nsamples", lambda values: values[:, :, :1]),
    ],
    ids=["real", "text", "flags as text", "complex nsamples", "shape"],
)
def test_data(name, change, changed_files):
    def damage(file):
        replace(file, f"Data/{name}", change(file[f"Data/{name}"][()]))

    with pytest.raises(BadFile, match=name):
        read_header(changed_files(damage, [5])[5])


def test_data_as_group(changed_files):
    with pytest.raises(BadFile, match="visdata"):
        read_header(changed_files(lambda file: as_group(file, "Data/visdata"), [5])[5])


def test_years(changed_files):
    def shift(file):
        file["Header/time_array"][:] *= 1.1

    with pytest.raises(BadFile, match="Julian"):
        read_header(changed_files(shift, [5])[5], own_telescope=False)


def test_header_of_another_kind(tmp_path):
    path = tmp_path / "2026-02-22T23:17:51_sb05.hdf5"
    with h5py.File(path, "w") as file:
        file["Header"] = np.arange(3)
        file["Data"] = np.arange(3)
    with pytest.raises(BadFile):
        read_header(path)
