"""What the convert stage makes of gaps, odd values, averaged channels and an interrupted run."""

import h5py
import numpy as np
import pytest
from casacore.tables import table

from contimg.common.errors import BadFile
from contimg.formats.ms.info import read_ms_info
from contimg.formats.ms.phase_drift import Axes, MSBlock, RowChanges, Sums, rotate_block
from contimg.formats.uvh5.chunks import Chunks, single_chunk
from contimg.instrument.dsa110 import BAND, C_M_S
from contimg.tile.convert import convert


def test_conversion_record(drift_sim_ms):
    description = read_ms_info(drift_sim_ms.path)
    every = np.concatenate([BAND.channel_freqs_hz(subband) for subband in range(16)])
    assert np.array_equal(description.freqs_hz, np.sort(every))
    assert description.correlations == ("XX", "YY")
    assert len(description.antenna_names) == 117
    assert description.antennas.size == 8
    assert description.name == "2026-02-22T23:17:51"
    drift = np.rad2deg(np.ptp(description.pointing_rad[:, 0]))
    assert drift == pytest.approx(5 * 12.884902 / 86164.1 * 360, rel=5e-3)  # ICRS is not the date


def test_missing_subband_is_flagged(copies, tmp_path):
    del copies[4]
    converted = convert(copies, tmp_path / "gap.ms")
    assert (converted.subbands, converted.missing_subbands, converted.flagged_fraction) == (15, (4,), 0.0)
    with table(str(converted.path), ack=False) as main:
        flags, data = main.getcol("FLAG"), main.getcol("DATA")
    gap = slice(11 * 48, 12 * 48)
    assert flags[:, gap].all()
    assert not data[:, gap].any()
    assert not np.delete(flags, np.r_[gap], axis=1).any()


def test_bad_values_are_flagged(copies, tmp_path):
    with h5py.File(copies[2], "r+") as file:
        file["Data/flags"][5, 0, 10, 1] = True
        file["Data/visdata"][6, 0, 11, 0] = complex(np.nan, 0)
        file["Data/nsamples"][7, 0, 12, :] = 0
    converted = convert(copies, tmp_path / "odd.ms")
    with table(str(converted.path), ack=False) as main:
        flags, original, data = (main.getcol(name) for name in ("FLAG", "FLAG_ORIGINAL", "DATA"))
    assert flags.sum() == 4
    assert np.array_equal(flags, original)
    assert np.isfinite(data).all()
    assert converted.flagged_fraction == pytest.approx(4 / flags.size)
    # Subband 2 is the third from the top; its channel 10 lies 10 below its upper end.
    assert set(np.flatnonzero(flags.any(axis=(0, 2)))) == {14 * 48 - 1 - channel for channel in (10, 11, 12)}


@pytest.mark.long
def test_weights(copies, tmp_path):
    for path in copies.values():
        with h5py.File(path, "r+") as file:
            file["Data/nsamples"][...] = 0.25
    converted = convert(copies, tmp_path / "weights.ms")
    with table(str(converted.path), ack=False) as main:
        assert np.all(main.getcol("WEIGHT") == 0.25)
        assert np.all(main.getcol("SIGMA") == 2.0)


def test_channel_averaged_files(copies, tmp_path):
    for path in copies.values():
        with h5py.File(path, "r+") as file:
            for name in ("Data/visdata", "Data/flags", "Data/nsamples"):
                values = file[name][:, :, ::4]
                del file[name]
                file[name] = values
            freqs = file["Header/freq_array"][()].reshape(1, 12, 4).mean(axis=2)
            del file["Header/freq_array"]
            file["Header/freq_array"] = freqs
            file["Header/Nfreqs"][...] = 12
            file["Header/channel_width"][...] = 4 * 244140.625
    assert convert(copies, tmp_path / "averaged.ms").channels == 192


def test_failed_conversion_keeps_existing_ms(drift_sim_files, copies, tmp_path):
    target = tmp_path / "products" / "tile.ms"
    convert(drift_sim_files, target)
    with h5py.File(copies[0], "r+") as file:
        file["Data/visdata"][...] = 0
    with pytest.raises(BadFile):
        convert(copies, target)
    assert [path.name for path in target.parent.iterdir()] == ["tile.ms"]
    assert read_ms_info(target).rows == 216


def test_conversion_is_repeatable(drift_sim_files, drift_sim_ms, tmp_path):
    target = tmp_path / "again.ms"
    for _ in range(2):
        convert(drift_sim_files, target)
    with table(str(target), ack=False) as ours, table(str(drift_sim_ms.path), ack=False) as reference:
        assert np.array_equal(ours.getcol("DATA"), reference.getcol("DATA"))


def chunked(values, rows, channels, correlations, skipped):
    """An array cut into bricks as HDF5 would cut it, in random order, with rows before the block's first."""
    rng = np.random.default_rng(2)
    size = (rows, channels, correlations)
    before = np.concatenate([np.zeros_like(values[:1]).repeat(skipped, axis=0), values])
    counts = [-(-have // step) for have, step in zip(before.shape, size, strict=True)]
    padded = np.zeros([count * step for count, step in zip(counts, size, strict=True)], values.dtype)
    padded[tuple(slice(0, have) for have in before.shape)] = before
    order, volume = rng.permutation(np.prod(counts)), np.prod(size)
    flat, starts = np.empty(padded.size, values.dtype), np.empty(counts, dtype=np.int64)
    for place, (i, j, k) in zip(order, np.ndindex(*counts), strict=True):
        part = padded[i * rows : (i + 1) * rows, j * channels : (j + 1) * channels]
        flat[place * volume : (place + 1) * volume] = part[..., k * correlations : (k + 1) * correlations].ravel()
        starts[i, j, k] = place * volume
    return Chunks(flat, starts, rows, channels, correlations, skipped)


@pytest.mark.parametrize("cut", [single_chunk, lambda values: chunked(values, 16, 2, 1, 5)], ids=["single", "chunks"])
@pytest.mark.parametrize("step", [-2.5e5, 2.5e5], ids=["descending", "ascending"])
@pytest.mark.parametrize("flagged", [0.1, 0.001, 0.0], ids=["many flags", "few flags", "no flag"])
def test_kernel_equals_numpy_reference(cut, step, flagged):
    rng = np.random.default_rng(1)
    shape = rows, channels, correlations = 150, 5, 2
    visibilities = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    flags, nsamples = rng.random(shape) < flagged, np.ones(shape, dtype=np.float32)
    visibilities[rows // 2, 2, 1] = np.nan
    w_change, swapped, place = rng.normal(size=rows) * 500, rng.random(rows) < 0.5, rng.permutation(rows)
    freqs = 1.49e9 + step * np.arange(channels)
    out = MSBlock(np.empty_like(visibilities), np.zeros_like(flags), np.empty(shape, dtype=np.float32))
    sums = Sums(np.zeros((rows, correlations), np.float32), np.zeros((rows, correlations), np.int32))
    axes = Axes(freqs[0], step, np.array([[0, 1], [1, 0]]))
    rotated = RowChanges(w_change, swapped, place)
    counts = rotate_block(cut(visibilities), cut(flags), cut(nsamples), rotated, axes, sums, out)
    exchanged = np.where(swapped[:, None, None], visibilities[:, :, ::-1], visibilities.conj())
    expected = exchanged * np.exp(-2j * np.pi / C_M_S * w_change[:, None] * freqs)[:, :, None]
    unusable = flags | np.isnan(visibilities)
    expected_flags = np.where(swapped[:, None, None], unusable[:, :, ::-1], unusable)
    if step < 0:
        expected, expected_flags = expected[:, ::-1], expected_flags[:, ::-1]
    assert np.abs(out.data[place] - np.nan_to_num(expected)).max() < 1e-6
    assert np.array_equal(out.flags[place], expected_flags)
    assert np.array_equal(sums.good[place], (~expected_flags).sum(axis=1))
    assert np.array_equal(sums.samples, sums.good)
    flagged = flags.sum()
    assert counts.tolist() == [flagged, unusable.sum() - flagged, 0, 0, 0, 0]
