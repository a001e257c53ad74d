"""The predictor against pyuvsim's files, its kernel against plain NumPy, its noise against the radiometer equation."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from contimg.formats.uvh5.header import read_header
from contimg.instrument.dsa110 import SEFD_JY
from contimg.simulation import SimulateOptions, TilePlan, plan_tiles
from contimg.simulation.beams import build_beam
from contimg.simulation.drift import antenna_positions_m
from contimg.simulation.receivers import Array, draw_corruption
from contimg.simulation.sky import power_law
from contimg.simulation.visibilities import Run, correlate, prepare_run, subband_visibilities

JUDGE = Path(__file__).parents[1] / "data" / "drift_sim" / "g2_8ant_6t_768ch"
JUDGE_SKY = (
    power_law("3C48", 24.422080962, 33.159759164, 16.0),
    power_law("north", 24.0, 33.5, 3.0),
    power_law("south", 25.0, 32.8, 1.5),
)


@pytest.mark.parametrize("subband", [0, 7, 15])
def test_visibilities_equal_pyuvsim(subband: int) -> None:
    header = read_header(next(JUDGE.glob(f"*_sb{subband:02d}.hdf5")))
    with h5py.File(header.path) as file:
        judged = file["Data/visdata"][:, 0]
    stations = np.unique(header.layout.antenna_1) + 1
    antennas = (header.layout.antenna_1, header.layout.antenna_2)
    first, second = (np.searchsorted(stations - 1, numbers) for numbers in antennas)
    array = Array(stations, antenna_positions_m(), first, second)
    options = SimulateOptions(channels=768, beam="uniform", noise=False, corrupt=False, smearing=False)
    plan = TilePlan(0, "", 0.0, header.times_jd, header.phasing.declination_rad, 0.0, 0.0, JUDGE_SKY)
    ours = subband_visibilities(
        Run(options, array, draw_corruption(options, array), 0.0, build_beam(options)), plan, subband
    )[:, 0]
    # Found: 4e-7 of the calibrator's 16 Jy, which is single precision.
    assert np.abs(ours - judged).max() < 1e-5 * 16.0


def reference(noise, sky, fields, gains, first, second, system_jy, noise_per_jy):
    """`correlate` in plain NumPy and double precision."""
    shape = (fields.shape[0], len(first), fields.shape[3], gains.shape[3])
    out = np.empty(shape, dtype=np.complex128)
    for b, (i, j) in enumerate(zip(first, second, strict=True)):
        emitters = np.sum(np.conj(fields[:, i]) * fields[:, j], axis=1)[..., np.newaxis]
        sigma = noise_per_jy * np.sqrt(system_jy[i] * system_jy[j])
        signal = emitters + np.moveaxis(sky[:, :, b], 0, -1)
        cross, auto = signal + sigma * noise[:, b], signal.real + system_jy[i] + np.sqrt(2) * sigma * noise[:, b].real
        value = auto if i == j else cross
        out[:, b] = np.conj(gains[:, i]) * gains[:, j] * value
    return out


def test_kernel_equals_numpy_reference() -> None:
    rng = np.random.default_rng(1)

    def complex_normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)

    times, antennas, components, channels = 3, 5, 4, 7
    second, first = np.tril_indices(antennas)
    fields, gains = complex_normal(times, antennas, components, channels), complex_normal(times, antennas, channels, 2)
    noise = complex_normal(times, first.size, channels, 2)
    system_jy = rng.uniform(50, 100, antennas).astype(np.float32)
    starts, weights = np.array([0, 0, 1, 1, 2, 2, 3]), rng.random((channels, 3)).astype(np.float32)
    coarse = complex_normal(2, times, first.size, 6)
    sky = sum(coarse[..., starts + k] * weights[:, k] for k in range(3))
    visibilities, emitters = noise.copy(), (fields.real.copy(), fields.imag.copy())
    correlate(
        visibilities, coarse, starts, weights, *emitters, gains, first, second, system_jy, np.float32(0.02)
    )  # fmt: skip
    expected = reference(noise, sky, fields, gains, first, second, system_jy, 0.02)
    np.testing.assert_allclose(visibilities, expected, rtol=1e-5, atol=1e-4)


def test_noise_follows_radiometer_equation() -> None:
    noisy, silent = (
        SimulateOptions(groups=1, antennas=8, channels=192, corrupt=False, noise=noise) for noise in (True, False)
    )
    plan = plan_tiles(noisy)[0]
    run = prepare_run(noisy)
    noise = (subband_visibilities(run, plan, 3) - subband_visibilities(prepare_run(silent), plan, 3))[:, 0]
    noise = noise.reshape(plan.times_jd.size, run.array.first.size, -1)
    autos = run.array.first == run.array.second
    samples = 187.5e6 / 192 * 12.884902
    cross = noise[:, ~autos]
    spread = cross.size**-0.5
    assert cross.real.std() == pytest.approx(SEFD_JY / np.sqrt(2 * samples), rel=4 * spread)
    assert cross.imag.std() == pytest.approx(SEFD_JY / np.sqrt(2 * samples), rel=4 * spread)
    assert abs(cross.mean()) < 5 * spread * SEFD_JY / np.sqrt(samples)
    assert abs(np.mean(cross[..., ::2] * np.conj(cross[..., 1::2]))) < 5 * spread * SEFD_JY**2 / samples
    auto = noise[:, autos]
    assert not auto.imag.any()
    assert auto.real.mean() == pytest.approx(SEFD_JY, rel=1e-4)
    assert auto.real.std() == pytest.approx(SEFD_JY / np.sqrt(samples), rel=4 * auto.size**-0.5)


def test_sky_without_sources() -> None:
    options = SimulateOptions(groups=1, antennas=3, channels=16, integrations=2, declination_offset_deg=20, noise=False)
    plan = plan_tiles(options)[0]
    assert plan.sources == ()
    assert not subband_visibilities(prepare_run(options), plan, 0).any()
