"""Corruption, dead antennas and interference: what a run's receivers do to a known sky, always in the same way."""

from dataclasses import replace

import numpy as np
import pytest

from contimg.instrument.dsa110 import BAND, C_M_S, stations
from contimg.simulation import CALIBRATOR, SimulateOptions, plan_tiles
from contimg.simulation.drift import meridian_direction
from contimg.simulation.receivers import EASTERN, build_array, choose_stations, dead_numbers, draw_corruption
from contimg.simulation.visibilities import prepare_run, subband_visibilities

SMALL = SimulateOptions(groups=2, antennas=6, channels=64, integrations=4, noise=False)
CROSS = [1, 3, 4, 6, 7, 8, 10, 11, 12, 13]  # among the 21 baselines of six antennas
LIVE = {station.number for station in stations() if station.live}


@pytest.mark.parametrize("antennas", [2, 3, 8, 32, 60, 95, 96])
def test_chosen_stations_are_live(antennas: int) -> None:
    chosen = choose_stations(antennas)
    assert len(set(chosen)) == antennas
    assert set(chosen) <= LIVE
    assert set(chosen) & set(EASTERN)


@pytest.mark.parametrize("antennas", [97, 110, 117])
def test_more_stations_than_live(antennas: int) -> None:
    chosen = choose_stations(antennas)
    assert len(set(chosen)) == antennas
    assert set(chosen) <= set(range(1, 118))


def test_baseline_order() -> None:
    array = build_array(4)
    pairs = list(zip(array.first.tolist(), array.second.tolist(), strict=True))
    assert pairs == [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2), (0, 3), (1, 3), (2, 3), (3, 3)]
    full = build_array(96)
    assert np.any(full.numbers[full.first] > full.numbers[full.second])
    lengths_m = np.linalg.norm(
        full.positions_m[full.numbers[full.first]] - full.positions_m[full.numbers[full.second]], axis=1
    )
    assert 2500 < lengths_m.max() < 2700


def test_gains_multiply_visibilities() -> None:
    plan = plan_tiles(SMALL)[1]
    run = prepare_run(SMALL)
    perfect = subband_visibilities(prepare_run(SMALL.replace(corrupt=False)), plan, 5)
    gains = run.corruption.gains(run.array.numbers, BAND.channel_freqs_hz(5, 4), 0.0)
    factor = np.conj(gains[run.array.first]) * gains[run.array.second]
    expected = perfect.reshape(4, -1, 4, 2) * factor
    np.testing.assert_allclose(subband_visibilities(run, plan, 5).reshape(expected.shape), expected, rtol=1e-4)


def test_receivers_do_not_depend_on_scale() -> None:
    few, many = SMALL, SMALL.replace(antennas=96, channels=768, groups=1)
    freqs_hz = BAND.channel_freqs_hz(2)
    slots = np.arange(117)
    gains = [draw_corruption(run, build_array(run.antennas)).gains(slots, freqs_hz, 0.0) for run in (few, many)]
    np.testing.assert_array_equal(*gains)
    drifting = draw_corruption(SMALL.replace(phase_drift_deg_per_hour=20.0), build_array(6))
    turned = np.angle(drifting.gains(slots, freqs_hz, 3600.0) / drifting.gains(slots, freqs_hz, 0.0), deg=True)
    assert turned.std() == pytest.approx(20.0, rel=0.2)
    assert np.ptp(turned, axis=1).max() < 1e-6


def test_delay_distribution() -> None:
    delays_ns = np.concatenate(
        [draw_corruption(SMALL.replace(seed=seed), build_array(6)).delay_ns[:, 0] for seed in range(20)]
    )
    assert np.median(np.abs(delays_ns)) == pytest.approx(0.6745 * 150, rel=0.15)
    assert 1500 < np.abs(delays_ns).max() < 1720
    # A delay turns the phase by -2 pi tau over each Hz.
    delayed = replace(draw_corruption(SMALL.replace(corrupt=False), build_array(6)), delay_ns=np.full((117, 2), 1000.0))
    low, high = delayed.gains(np.array([0]), np.array([1.4e9, 1.4e9 + 1e5]), 0.0)[0, :, 0]
    assert np.angle(high / low) == pytest.approx(-2 * np.pi * 0.1)


def test_seed_determines_visibilities() -> None:
    noisy = SMALL.replace(noise=True, rfi=True, dead=1)

    def visibilities(options: SimulateOptions, tile: int, subband: int) -> np.ndarray:
        return subband_visibilities(prepare_run(options), plan_tiles(options)[tile], subband)

    first = visibilities(noisy, 1, 4)
    np.testing.assert_array_equal(first, visibilities(noisy, 1, 4))
    assert not np.array_equal(first, visibilities(noisy.replace(seed=7), 1, 4))
    assert plan_tiles(noisy)[1].sources == plan_tiles(noisy)[1].sources
    assert plan_tiles(noisy)[1].sources != plan_tiles(noisy.replace(seed=7))[1].sources
    # Independent noise in each tile and subband.
    empty = noisy.replace(declination_offset_deg=20, corrupt=False, rfi=False, sources=0)
    cross = [visibilities(empty, *which).reshape(4, 21, -1)[:, CROSS].ravel() for which in ((0, 4), (1, 4), (0, 5))]
    assert np.abs(np.corrcoef(cross) - np.eye(3)).max() < 0.25


def test_dead_antennas() -> None:
    options = SMALL.replace(dead=5)
    array = build_array(6)
    dead = dead_numbers(options, array)
    assert len(set(dead)) == 5
    (alive,) = set(array.numbers.tolist()) - set(dead)
    assert alive + 1 in EASTERN
    plan = plan_tiles(options)[0]
    visibilities = subband_visibilities(prepare_run(options), plan, 0).reshape(4, 21, -1)
    lit = np.abs(visibilities).max(axis=(0, 2)) > 0
    assert array.numbers[array.first[lit]].tolist() == [alive] == array.numbers[array.second[lit]].tolist()
    noisy = subband_visibilities(prepare_run(options.replace(noise=True)), plan, 0).reshape(4, 21, -1)
    flat = [array.numbers[i] for i, j, row in zip(array.first, array.second, noisy.any(axis=(0, 2)), strict=True)
            if i == j and not row]  # fmt: skip
    assert set(flat) == set(dead[1::2])


def test_interference_frequencies_and_phase() -> None:
    options = SMALL.replace(channels=768, corrupt=False, integrations=12)
    plan = plan_tiles(options)[0]
    clean, dirty = (prepare_run(options.replace(rfi=rfi)) for rfi in (False, True))
    satellite_subband = next(sb for sb in range(16) if abs(BAND.channel_freqs_hz(sb) - 1381.05e6).min() < 200e3)
    added = [
        subband_visibilities(dirty, plan, sb) - subband_visibilities(clean, plan, sb) for sb in (0, satellite_subband)
    ]
    quiet, loud = (values.reshape(12, 21, 48, 2)[:, 1, :, 0] for values in added)
    burst = np.abs(quiet).max(axis=1) > 1.0
    assert burst.sum() == 1
    hit = np.abs(BAND.channel_freqs_hz(satellite_subband) - 1381.05e6) < 1e6
    steady = loud[~burst]
    assert np.abs(steady[:, hit]).min() > 10.0
    # In this subband, nothing else but the burst: the radar is 50 MHz away.
    assert np.abs(steady[:, ~hit]).max() < 0.1
    assert np.ptp(np.angle(steady[:, hit] / steady[:1, hit])) < 1e-3


def test_random_walks_grow_with_root_of_time() -> None:
    options = SMALL.replace(phase_walk_deg=10.0, amplitude_walk=0.05)
    corruption, slots = draw_corruption(options, build_array(6)), np.arange(117)
    centre_hz = np.array([BAND.centre_hz])
    start = corruption.gains(slots, centre_hz, 0.0)
    np.testing.assert_allclose(start, draw_corruption(SMALL, build_array(6)).gains(slots, centre_hz, 0.0))
    for hours in (-6, 1, 4, 16):
        turned = corruption.gains(slots, centre_hz, 3600.0 * hours) / start
        assert np.angle(turned).std() == pytest.approx(np.deg2rad(10) * abs(hours) ** 0.5, rel=0.2)
        assert np.log(np.abs(turned)).std() == pytest.approx(0.05 * abs(hours) ** 0.5, rel=0.2)
    between = [corruption.gains(slots, centre_hz, seconds)[0, 0, 0] for seconds in (3600.0, 3610.0, 3660.0)]
    assert abs(between[1] - between[0]) < abs(between[2] - between[0])


def test_troposphere_is_gradient_over_array() -> None:
    options = SMALL.replace(troposphere_deg_per_km=20.0, corrupt=False)
    array = build_array(6)
    corruption, slots = draw_corruption(options, array), np.arange(117)
    ground = array.positions_m @ np.linalg.svd(array.positions_m)[2][:2].T
    gradients = []
    for hours in np.linspace(-10, 20, 60):
        phases = np.angle(corruption.gains(slots, np.array([BAND.centre_hz]), 3600 * hours)[:, 0, 0])
        fit, *_ = np.linalg.lstsq(ground, phases, rcond=None)
        assert np.abs(phases - ground @ fit).max() < 0.02  # the array is not quite flat
        gradients.append(fit)
    # The difference of two moments has the root of two of the rms.
    assert np.std(np.rad2deg(gradients) * 1e3) == pytest.approx(20.0, rel=0.35)


def test_position_errors_turn_phases() -> None:
    options = SMALL.replace(corrupt=False, position_rms_mm=10.0)
    plan = plan_tiles(options)[0]
    exact, wrong = (
        subband_visibilities(prepare_run(run), plan, 0).reshape(4, 21, 4, 2)[0, :, 0, 0]
        for run in (options.replace(position_rms_mm=0.0), options)
    )
    run = prepare_run(options)
    error_m = run.corruption.position_error_m[run.array.numbers]
    towards = meridian_direction(plan.apparent_dec_rad)
    cycles = (error_m[run.array.second] - error_m[run.array.first]) @ towards * BAND.channel_freqs_hz(0, 4)[0] / C_M_S
    assert np.abs(cycles).max() > 0.03
    np.testing.assert_allclose(wrong / exact, np.exp(2j * np.pi * cycles), atol=1e-2)


def test_bursts_fill_parts_of_integrations() -> None:
    options = SMALL.replace(corrupt=False, integrations=12, sources=0, declination_offset_deg=20, bursts=5, channels=96)
    plan, run = plan_tiles(options)[1], prepare_run(options)
    power = np.stack([
        np.abs(subband_visibilities(run, plan, subband).reshape(12, 21, 6, 2)[:, 1, :, 0]) for subband in range(16)
    ], axis=1).reshape(12, 96)  # fmt: skip
    hit = power > 1.0
    assert 1 <= hit.any(axis=1).sum() <= 5
    assert 0 < hit.mean() < 0.1


def test_long_scan_starts_at_or_surrounds_transit() -> None:
    long = SMALL.replace(hours=6.0, sources=0)
    plans = plan_tiles(long)
    assert len(plans) == 70
    assert plans[0].sources == (CALIBRATOR,)
    assert (plans[-1].mid_jd - plans[0].mid_jd) * 24 == pytest.approx(6.0, abs=0.1)
    surrounding = plan_tiles(long.replace(calibrator_first=False))
    assert surrounding[35].mid_jd == plans[0].mid_jd
    assert [plan.index for plan in surrounding] == list(range(70))
