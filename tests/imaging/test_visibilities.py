"""Reading and averaging against a plain loop over samples."""

import numpy as np
import pytest
from casacore.tables import table

from contimg.imaging import ImageOptions, visibilities
from contimg.imaging.geometry import channel_average, pixel_size_arcsec
from contimg.imaging.visibilities import choose_rows, read_visibilities
from contimg.measurement_set.description import describe
from contimg.telescope import C_M_S


def spoil(path):
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
    spoil(small_ms)
    description, shortest = describe(small_ms), 1.5
    found = read_visibilities(description, choose_rows(description, shortest), "DATA", 4, shortest)
    with table(str(small_ms), ack=False) as main:
        names = ("ANTENNA1", "ANTENNA2", "UVW", "DATA", "FLAG", "FLAG_ROW", "WEIGHT")
        first, second, uvw, data, flag, flag_row, weight = (main.getcol(name) for name in names)
    row_of = {tuple(one): index for index, one in enumerate(found.uvw_m)}
    samples = 0
    for row in range(len(data)):
        for channel in range(4):
            kept = [
                0.5 * (data[row, k, 0] + data[row, k, 1])
                for k in range(4 * channel, 4 * channel + 4)
                if not flag[row, k].any() and np.isfinite(data[row, k]).all()
            ]
            cross = first[row] != second[row] and not flag_row[row]
            freq = description.freqs_hz[4 * channel : 4 * channel + 4].mean()
            longest = description.freqs_hz.max()
            reach = np.hypot(*uvw[row, :2]) / C_M_S
            if not cross or reach * longest < 1500:
                assert not cross or tuple(uvw[row]) not in row_of
                continue
            samples += len(kept)
            index = row_of[tuple(uvw[row])]
            expected = 4 / (1 / weight[row]).sum() * len(kept) if reach * freq >= 1500 else 0
            assert found.weights[index, channel] == pytest.approx(expected, rel=1e-5)
            if kept:
                assert found.stokes_i[index, channel] == pytest.approx(np.mean(kept), rel=1e-4)
    assert found.samples == samples
    assert found.unflagged_fraction == pytest.approx(samples / (len(row_of) * 16))


def test_averaging_stays_within_the_smearing_allowed(small_ms):
    description = describe(small_ms)
    uvw = np.tile([[40.0, 0.0, 0.0]], (5, 1))

    def chosen(percent):
        return channel_average(description, uvw, ImageOptions(smearing_percent=percent))

    assert [chosen(0.0), chosen(20.0)] == [1, 8]
    averaged = chosen(8.0)
    assert averaged > 1
    half_turns = np.deg2rad(1.35) * 40 * averaged * description.channel_width_hz / C_M_S
    assert 16 % averaged == 0
    assert 1 - np.sinc(half_turns) < 0.085
    assert 1 - np.sinc(2 * half_turns) > 0.08


def test_pixels_sample_the_longest_baseline(small_ms):
    description = describe(small_ms)
    data = read_visibilities(description, choose_rows(description, 1.0), "DATA", 1, 1.0)
    longest = np.hypot(*data.uvw_m[:, :2].T).max() * description.freqs_hz.max() / C_M_S
    pixel = pixel_size_arcsec(data)
    assert pixel <= 6.0
    assert np.rad2deg(1 / longest) * 3600 / pixel > 2.5
