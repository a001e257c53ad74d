"""The matrix product of the sky of counts against a direct sum over sources and moments in double precision."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import j1

from contimg.instrument.dsa110 import BAND, C_M_S, DISH_DIAMETER_M
from contimg.instrument.time import DAY_S, SIDEREAL_DAY_S
from contimg.simulation import SimulateOptions, drift, plan_tiles
from contimg.simulation.prediction.fields import BANDWIDTH, TAPS, interpolation, node_count
from contimg.simulation.visibilities import Run, predict_sky, prepare_run

COUNTS = SimulateOptions(
    groups=2, gap=11, antennas=8, channels=768, sky="counts", faintest_mjy=20, strong_jy=3, noise=False, corrupt=False
)  # fmt: skip
MOMENTS = 21


def band(channels: int) -> np.ndarray:
    return np.concatenate([BAND.channel_freqs_hz(subband, channels // 16) for subband in range(16)])


def direct(run: Run, plan, time: int, freqs_hz: np.ndarray, patterns=None) -> np.ndarray:
    """Sum over sources and moments of an integration; shape (baselines, channels)."""
    sources, array, options = plan.sources, run.array, run.options
    ra_deg, dec_deg = [source.ra_deg for source in sources], [source.dec_deg for source in sources]
    flux_jy = np.array([source.flux_jy(freqs_hz) for source in sources])
    positions_m = array.positions_m[array.numbers]
    baselines_m = positions_m[array.second] - positions_m[array.first]
    pointing = drift.meridian_direction(plan.apparent_dec_rad)
    offsets_s = ((np.arange(MOMENTS) + 0.5) / MOMENTS - 0.5) * options.integration_s * options.smearing
    total = np.zeros((len(baselines_m), len(freqs_hz)), dtype=complex)
    for offset_s in offsets_s:
        towards = drift.source_directions(ra_deg, dec_deg, plan.times_jd[time] + offset_s / DAY_S)[0]
        tracked = drift.meridian_direction(plan.apparent_dec_rad, 2 * np.pi / SIDEREAL_DAY_S * offset_s)
        for channel, freq_hz in enumerate(freqs_hz):
            argument = np.pi * DISH_DIAMETER_M * np.sin(np.arccos(np.clip(towards @ pointing, -1, 1))) * freq_hz / C_M_S
            response = (2 * j1(argument) / argument) ** 2
            phases = np.exp(2j * np.pi * freq_hz / C_M_S * (baselines_m @ (towards - tracked).T))
            for index in [index for index, source in enumerate(sources) if source.shape[0]]:
                phases[:, index] *= gaussian(sources[index].shape, towards[index], baselines_m * freq_hz / C_M_S)
            total[:, channel] += phases @ (flux_jy[:, channel] * response) / MOMENTS
    return total


def gaussian(shape: tuple[float, float, float], towards: np.ndarray, baselines: np.ndarray) -> np.ndarray:
    """Fourier transform of an elliptical Gaussian; its axes from the pole of date, 0.1 degrees from that of ICRS."""
    east = np.cross([0, 0, 1], towards) / np.linalg.norm(np.cross([0, 0, 1], towards))
    north, angle = np.cross(towards, east), np.deg2rad(shape[2])
    axes = [north * np.cos(angle) + east * np.sin(angle), east * np.cos(angle) - north * np.sin(angle)]
    widths_rad = np.deg2rad(np.array(shape[:2]) / 3600)
    exponent = sum((baselines @ axis * width) ** 2 for axis, width in zip(axes, widths_rad, strict=True))
    return np.exp(-(np.pi**2) / (4 * np.log(2)) * exponent)


@pytest.mark.parametrize("channels", [96, 768])
def test_counts_equal_direct_sum(channels: int) -> None:
    options = COUNTS.replace(channels=channels)
    run, plan = prepare_run(options), plan_tiles(options)[1]
    plan = replace(plan, times_jd=plan.times_jd[[0, -1]])
    assert len(plan.sources) > 150
    assert sum(source.shape[0] > 0 for source in plan.sources) > 3
    freqs_hz = band(channels)
    sky = predict_sky(run, plan, freqs_hz)
    assert (sky.values.shape[-1] < channels / 2) == (channels == 768)
    starts, weights = sky.weights(freqs_hz)
    some = [0, 1, channels // 2 + 1, channels - 1]
    for time in (0, 1) if channels == 96 else (1,):
        samples = sky.values[0, time][:, starts[some, np.newaxis] + np.arange(weights.shape[1])]
        ours = np.einsum("bck,ck->bc", samples, weights[some])
        # Within 1e-4 of the strongest source; the sum of all fluxes is 20 Jy.
        assert np.abs(ours - direct(run, plan, time, freqs_hz[some])).max() < 1e-4 * 3


def test_interpolation_of_band_limited_function() -> None:
    samples = np.arange(60)
    positions = np.arange(10, 45, 1 / 3)
    starts, weights = interpolation(positions, 60)
    for cycles in np.linspace(-BANDWIDTH, BANDWIDTH, 31):
        interpolated = np.sum(
            np.exp(2j * np.pi * cycles * samples)[starts[:, np.newaxis] + np.arange(TAPS)] * weights, 1
        )
        np.testing.assert_allclose(interpolated, np.exp(2j * np.pi * cycles * positions), atol=4e-5)
    starts, weights = interpolation(np.arange(5.0), 5)
    assert starts.tolist() == [0, 1, 2, 3, 4]
    assert weights.ravel().tolist() == [1] * 5


def test_smearing_of_node_counts() -> None:
    """The averages with the chosen numbers of nodes against sin(x) / x."""
    cycles, flux_jy = np.array([0.001, 0.1, 0.3, 0.6]), np.ones(4)
    counts = node_count(cycles, flux_jy, np.ones(4))
    assert counts.tolist() == sorted(counts.tolist())
    for turns, count in zip(cycles, counts, strict=True):
        nodes, weights = np.polynomial.legendre.leggauss(count)
        average = np.sum(0.5 * weights * np.exp(1j * np.pi * turns * nodes))
        assert abs(average - np.sinc(turns)) < 6e-5
    assert node_count(cycles, 1e-3 * flux_jy, 0.1 * np.ones(4)).sum() < counts.sum()


def test_smearing_lowers_long_baselines() -> None:
    options = COUNTS.replace(channels=16, sources=0, sky="known")
    plan = plan_tiles(options)[1]
    assert [source.name for source in plan.sources] == ["strong"]
    sharp, smeared = (
        np.abs(predict_sky(prepare_run(options.replace(smearing=smearing)), plan, band(16)).values[0, 12, :, 8])
        for smearing in (False, True)
    )
    assert 0.5 < (smeared / sharp).min() < 0.99
    assert (smeared / sharp).max() == pytest.approx(1.0, abs=1e-4)


def test_frozen_beam() -> None:
    options = COUNTS.replace(channels=16, sources=0, sky="known", moving_beam=False, smearing=False)
    plan = plan_tiles(options)[1]
    autos = np.flatnonzero(prepare_run(options).array.first == prepare_run(options).array.second)
    frozen, moving = (
        predict_sky(prepare_run(options.replace(moving_beam=moves)), plan, band(16)).values[0, :, autos[0], 8].real
        for moves in (False, True)
    )
    assert np.ptp(frozen) < 1e-5 * frozen.mean()
    assert np.ptp(moving) > 0.5 * frozen.mean()
