"""HDF5 storage of other writers: the Measurement Set has the values that HDF5 reads, or one line says why it cannot."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from casacore.tables import table

from contimg.common.errors import BadFile
from contimg.formats.uvh5 import chunks, reader
from contimg.formats.uvh5.header import read_header
from contimg.tile.convert import convert

SUBBANDS = (4, 9)
NAMES = ("visdata", "flags", "nsamples")


def plain(file, name, values, like):
    file.create_dataset(f"Data/{name}", data=values, chunks=like.chunks)


def filled(file, name, values, like):
    """Values that are all alike are left to the fill value, so their chunks are not allocated."""
    if name == "visdata":
        plain(file, name, values, like)
    else:
        file.create_dataset(f"Data/{name}", like.shape, like.dtype, fillvalue=values.flat[0], chunks=like.chunks)


def big_endian(file, name, values, like):
    plain(file, name, values.astype(values.dtype.newbyteorder(">")), like)


def byte_flags(file, name, values, like):
    plain(file, name, values.astype(np.uint8) if name == "flags" else values, like)


def compressed(file, name, values, like):
    file.create_dataset(f"Data/{name}", data=values, chunks=like.chunks, compression=4, shuffle=True)


def virtual(file, name, values, like):
    """Visibilities in two other files, half of the rows in each."""
    if name != "visdata":
        plain(file, name, values, like)
        return
    half = len(values) // 2
    layout = h5py.VirtualLayout(like.shape, like.dtype)
    for part in range(2):
        source = f"{file.filename}.part{part}"
        with h5py.File(source, "w") as part_file:
            part_file["values"] = values[part * half : (part + 1) * half]
        layout[part * half : (part + 1) * half] = h5py.VirtualSource(source, "values", (half, *like.shape[1:]))
    file.create_virtual_dataset(f"Data/{name}", layout)


@pytest.fixture
def rewritten(drift_sim_files, tmp_path):
    """Return a function that rewrites two subband files."""

    def rewrite(write, userblock=0, data_first=False):
        files = {}
        for subband in SUBBANDS:
            files[subband] = tmp_path / drift_sim_files[subband].name
            with (
                h5py.File(drift_sim_files[subband]) as old,
                h5py.File(files[subband], "w", userblock_size=userblock) as new,
            ):
                if not data_first:
                    old.copy("Header", new)
                for name in NAMES:
                    write(new, name, old[f"Data/{name}"][:], old[f"Data/{name}"])
                if data_first:
                    new.flush()
                    old.copy("Header", new)
                    new["padding"] = np.zeros(8192, dtype=np.uint8)
        return files

    return rewrite


def assert_unchanged(converted, drift_sim_ms):
    channels = np.concatenate([np.arange(48) + 48 * (15 - subband) for subband in SUBBANDS])
    with table(str(converted.path), ack=False) as result, table(str(drift_sim_ms.path), ack=False) as reference:
        for name in ("DATA", "FLAG"):
            assert np.array_equal(result.getcol(name)[:, channels], reference.getcol(name)[:, channels])
        assert np.array_equal(result.getcol("WEIGHT"), reference.getcol("WEIGHT"))


@pytest.mark.parametrize("write", [plain, filled, big_endian, byte_flags, compressed, virtual])
def test_storage(write, rewritten, drift_sim_ms, tmp_path):
    assert_unchanged(convert(rewritten(write), tmp_path / "tile.ms"), drift_sim_ms)


@pytest.mark.parametrize("data_first", [False, True])
@pytest.mark.parametrize("userblock", [512, 4096])
def test_user_block(userblock, data_first, rewritten, drift_sim_ms, tmp_path):
    files = rewritten(plain, userblock, data_first)
    assert_unchanged(convert(files, tmp_path / "tile.ms"), drift_sim_ms)


def test_chunk_addresses_that_hdf5_contradicts(drift_sim_files, drift_sim_ms, tmp_path, monkeypatch):
    """A release of HDF5 that reports other addresses than those in the file."""
    addresses = chunks._chunk_offsets
    monkeypatch.setattr(chunks, "_chunk_offsets", lambda dataset: addresses(dataset) + 512)
    files = {subband: drift_sim_files[subband] for subband in SUBBANDS}
    assert_unchanged(convert(files, tmp_path / "tile.ms"), drift_sim_ms)


@pytest.mark.parametrize("error", [BadFile(Path("a.hdf5"), "it is truncated"), RuntimeError("of HDF5")])
def test_file_that_cannot_be_read_is_closed(error, drift_sim_files, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(reader, "chunk_reader", fail)
    opened = reader.SubbandReader(read_header(drift_sim_files[5]))
    with pytest.raises(type(error)), opened:
        pass
    assert not opened._file, "closed"


def test_file_that_its_writer_did_not_close(drift_sim_files, tmp_path):
    path = tmp_path / drift_sim_files[5].name
    script = "import h5py, os, sys; file = h5py.File(sys.argv[1], 'w', libver='latest'); file.flush(); os._exit(9)"
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    with pytest.raises(BadFile, match="h5clear"):
        convert({5: path}, tmp_path / "tile.ms")
