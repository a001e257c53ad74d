"""Reading and averaging against a plain loop over samples."""

import numpy as np
import pytest
from casacore.tables import table

from contimg.formats.ms.info import read_ms_info
from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.gridding import visibilities
from contimg.tile.image.gridding.sampling import choose_pixel_arcsec
from contimg.tile.image.gridding.visibilities import read_visibilities, select_rows


def corrupt(path):
    rng = np.random.default_rng(8)
    with table(str(path), ack=False, readonly=False) as main:
        data = main.getcol("DATA")
        data += (rng.normal(size=data.shape) + 1j * rng.normal(size=data.shape)).astype(np.complex64)
        data[3, 5, 0] = np.inf
        main.putcol("DATA", data)
        main.putcol("FLAG", rng.random(data.shape) < 0.3)
        main.putcol("FLAG_ROW", rng.random(len(data)) < 0.1)
        main.putcol("WEIGHT", rng.uniform(0.5, 2, (len(data), 2)).astype(np.float32))


@pytest.mark.parametrize("block_bytes", [64 << 20, 5000])
def test_equals_the_plain_loop(small_ms, monkeypatch, block_bytes):
    monkeypatch.setattr(visibilities, "BLOCK_BYTES", block_bytes)
    corrupt(small_ms)
    ms = read_ms_info(small_ms)
    averaged = read_visibilities(ms, select_rows(ms), "DATA", 4)
    with table(str(small_ms), ack=False) as main:
        names = ("ANTENNA1", "ANTENNA2", "UVW", "DATA", "FLAG", "FLAG_ROW", "WEIGHT")
        first, second, uvw, data, flag, flag_row, weight = (main.getcol(name) for name in names)
    row_of = {tuple(uvw_m): index for index, uvw_m in enumerate(averaged.uvw_m)}
    samples = 0
    for row in range(len(data)):
        for channel in range(4):
            kept = [
                0.5 * (data[row, k, 0] + data[row, k, 1])
                for k in range(4 * channel, 4 * channel + 4)
                if not flag[row, k].any() and np.isfinite(data[row, k]).all()
            ]
            cross = first[row] != second[row] and not flag_row[row]
            if not cross:
                continue
            samples += len(kept)
            index = row_of[tuple(uvw[row])]
            expected = 4 / (1 / weight[row]).sum() * len(kept)
            assert averaged.weights[index, channel] == pytest.approx(expected, rel=1e-5)
            if kept:
                assert averaged.stokes_i[index, channel] == pytest.approx(np.mean(kept), rel=1e-4)
    assert averaged.samples == samples
    assert averaged.unflagged_fraction == pytest.approx(samples / (np.count_nonzero(first != second) * 16))
    kept = ~flag.any(axis=2) & np.isfinite(data).all(axis=2) & ((first != second) & ~flag_row)[:, None]
    assert averaged.channel_samples.tolist() == kept.sum(axis=0).tolist()
    half = 0.5 * np.where(kept, data[..., 0] - data[..., 1], 0).reshape(len(data), 4, 4).sum(axis=2)
    means = {
        row_of[tuple(uvw[row])]: half[row] / np.maximum(kept[row].reshape(4, 4).sum(axis=1), 1)
        for row in np.flatnonzero((first != second) & ~flag_row)
    }
    expected = [means[row] for row in averaged.half_difference.rows]
    assert averaged.half_difference.values == pytest.approx(np.array(expected), rel=1e-4, abs=1e-6)


def test_pixel_size_samples_longest_baseline(small_ms):
    ms = read_ms_info(small_ms)
    data = read_visibilities(ms, select_rows(ms), "DATA", 1)
    longest = np.hypot(*data.uvw_m[:, :2].T).max() * ms.freqs_hz.max() / C_M_S
    pixel = choose_pixel_arcsec(data)
    assert pixel <= 6.0
    assert np.rad2deg(1 / longest) * 3600 / pixel > 2.5
