"""Averaging against plain means, and its price against what a source at the edge really loses."""

import numpy as np
import pytest
from point_source_ms import make_ms

from contimg.formats.ms.info import read_ms_info
from contimg.instrument.dsa110 import C_M_S
from contimg.tile.image.gridding.averaging import average_in_time, plan_averaging
from contimg.tile.image.gridding.gridder import Gridder
from contimg.tile.image.gridding.visibilities import read_visibilities, select_rows

EDGE_RAD = np.deg2rad(0.8)


@pytest.fixture(params=[1.0, 3.0], ids=["every integration", "a third of the integrations"])
def read(tmp_path, request):
    path = make_ms(tmp_path / "fine.ms", antennas=12, times=4, channels=384, airy=False, spacing=request.param)
    ms = read_ms_info(path)
    rows = select_rows(ms)
    return ms, rows, read_visibilities(ms, rows, "DATA", 1)


def gridder_of(data, weights):
    return Gridder(data, weights, 256, np.deg2rad(6 / 3600), 1)


def test_no_averaging_at_zero_loss(read):
    ms, rows, data = read
    nothing = plan_averaging(ms, rows, rows.weights, EDGE_RAD, 0.0)
    assert nothing.channels == 1
    assert nothing.loss == 0
    gridder = gridder_of(data, data.weights)
    assert average_in_time(gridder, nothing.time_bins) is gridder


def test_time_bins_hold_neighbours_of_one_baseline(read):
    ms, rows, _ = read
    averaging = plan_averaging(ms, rows, rows.weights, EDGE_RAD, 0.005)
    lengths = np.hypot(rows.uvw_m[:, 0], rows.uvw_m[:, 1])
    members = {}
    for row, span in enumerate(averaging.time_bins):
        members.setdefault(span, []).append(row)
    for rows_of_span in members.values():
        assert np.unique(rows.baselines[rows_of_span]).size == 1
        times = np.sort(rows.times[rows_of_span])
        assert (np.diff(times) == 1).all()
    averaged = [row for bin_rows in members.values() if len(bin_rows) > 1 for row in bin_rows]
    alone = [row for bin_rows in members.values() if len(bin_rows) == 1 for row in bin_rows]
    assert averaged
    assert alone
    assert np.median(lengths[averaged]) < np.median(lengths[alone])


def test_average_in_time_is_weighted_mean(read):
    _, rows, data = read
    rng = np.random.default_rng(3)
    data.stokes_i[:] = rng.normal(size=data.stokes_i.shape) + 1j * rng.normal(size=data.stokes_i.shape)
    weights = (rng.uniform(0, 2, data.weights.shape) * (rng.random(data.weights.shape) < 0.6)).astype(np.float32)
    spans = rows.baselines * 2 + rows.times // 3
    gridder = average_in_time(gridder_of(data, weights), spans)
    averaged, total = gridder.visibilities, gridder.weights
    for place, span in enumerate(np.unique(spans)):
        in_bin = spans == span
        mean = (weights[in_bin] * data.stokes_i[in_bin]).sum(axis=0) / np.maximum(weights[in_bin].sum(axis=0), 1e-9)
        assert total[place] == pytest.approx(weights[in_bin].sum(axis=0), rel=1e-5)
        assert averaged.weights[place] == pytest.approx(data.weights[in_bin].sum(axis=0), rel=1e-5)
        assert averaged.stokes_i[place] == pytest.approx(mean, rel=1e-4, abs=1e-6)
        assert averaged.uvw_m[place] == pytest.approx(data.uvw_m[in_bin].mean(axis=0))
        assert averaged.times[place] == int(data.times[in_bin].mean())


@pytest.mark.parametrize("percent", [1.0, 5.0])
def test_loss_at_edge_is_within_limit(read, percent):
    ms, rows, data = read
    averaging = plan_averaging(ms, rows, rows.weights, EDGE_RAD, percent / 100)
    assert averaging.channels > 1
    worst = 0.0
    for east, north in ((1, 0), (0, 1), (-0.7, 0.7), (0.7, 0.7)):
        l, m = np.sin(EDGE_RAD) * np.array([east, north])  # noqa: E741
        cosines = np.array([l, m, np.sqrt(1 - l * l - m * m) - 1])

        def seen(uvw, freqs, cosines=cosines):
            return np.exp(2j * np.pi * (uvw @ cosines)[:, None] * freqs / C_M_S)

        data.stokes_i[:] = seen(data.uvw_m, data.freqs_hz)
        gridder = average_in_time(gridder_of(data, data.weights), averaging.time_bins)
        averaged, total = gridder.visibilities, gridder.weights
        assert total.shape[0] < data.weights.shape[0]
        vis = averaged.stokes_i.reshape(len(averaged.uvw_m), -1, averaging.channels).mean(axis=2)
        weights = total.reshape(*vis.shape, -1).sum(axis=2)
        freqs = averaged.freqs_hz.reshape(-1, averaging.channels).mean(axis=1)
        # A native channel smears too, in the data themselves: the plan answers for what it adds.
        flux = (weights * vis * seen(averaged.uvw_m, freqs).conj()).sum().real / weights.sum()
        worst = max(worst, 1 - flux)
    assert worst <= percent / 100
    assert worst >= 0.5 * averaging.loss
