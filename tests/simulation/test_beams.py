"""Beams that differ from the Airy disk: width, ellipse, squint, pointing offsets, and visibilities with them."""

import numpy as np
import pytest

from contimg.instrument.dsa110 import BAND, primary_beam
from contimg.simulation import SimulateOptions, drift, plan_tiles
from contimg.simulation.beams import build_beam, mean_power, sky_offsets
from contimg.simulation.tile import _describe_sources
from contimg.simulation.visibilities import predict_sky, prepare_run

OPTIONS = SimulateOptions(groups=2, gap=11, antennas=6, channels=16, integrations=4, noise=False, corrupt=False)
FREQ_HZ = BAND.centre_hz
ARCMIN = np.deg2rad(1 / 60)


def power(options: SimulateOptions, east_deg: float, north_deg: float, hand: int = 0) -> float:
    east, north = np.sin(np.deg2rad(east_deg)), np.sin(np.deg2rad(north_deg))
    beam = build_beam(options)
    return float(beam.voltage(east, north, FREQ_HZ, beam.offsets_rad[0], hand) ** 2)


def airy(separation_deg: float) -> float:
    return float(primary_beam(np.deg2rad(separation_deg), FREQ_HZ))


def test_wider_and_elliptical_beams() -> None:
    wider = OPTIONS.replace(beam_width=1.15)
    assert power(wider, 1.15 * 0.8, 0.0) == pytest.approx(airy(0.8), abs=1e-3)
    ellipse = OPTIONS.replace(beam_ellipticity=0.1, beam_angle_deg=90.0)
    assert power(ellipse, 1.1, 0.0) == pytest.approx(airy(1.0), abs=1e-3)
    assert power(ellipse, 0.0, 0.9) == pytest.approx(airy(1.0), abs=1e-3)
    turned = ellipse.replace(beam_angle_deg=30.0)
    assert power(turned, 1.1 * np.sin(np.pi / 6), 1.1 * np.cos(np.pi / 6)) == pytest.approx(airy(1.0), abs=1e-3)


def test_squint_and_pointing_offsets() -> None:
    squinted = OPTIONS.replace(squint_arcmin=12.0)
    assert build_beam(squinted).hands == 2
    assert power(squinted, 0.1, 0.0, hand=0) == pytest.approx(1.0, abs=1e-6)
    assert power(squinted, -0.1, 0.0, hand=1) == pytest.approx(1.0, abs=1e-6)
    offset = OPTIONS.replace(pointing_east_arcmin=6.0, pointing_north_arcmin=-3.0)
    assert power(offset, 0.1, -0.05) == pytest.approx(1.0, abs=1e-6)
    scattered = build_beam(OPTIONS.replace(pointing_rms_arcmin=5.0)).offsets_rad
    assert scattered.shape == (117, 2)
    assert scattered.std() == pytest.approx(5 * ARCMIN, rel=0.15)


@pytest.mark.parametrize(
    "errors",
    [{"beam_width": 1.15}, {"squint_arcmin": 20.0}, {"pointing_rms_arcmin": 15.0, "pointing_east_arcmin": 10.0}],
)
def test_visibilities_have_beam_of_truth(errors: dict[str, float]) -> None:
    options = OPTIONS.replace(smearing=False, sources=0, strong_jy=2.0, strong_radius_deg=1.2, **errors)
    run, plan = prepare_run(options), plan_tiles(options)[1]
    (described,) = _describe_sources(run, plan)
    assert described["name"] == "strong"
    freqs_hz = np.concatenate([BAND.channel_freqs_hz(subband, 1) for subband in range(16)])
    values = predict_sky(run, plan, freqs_hz).values
    assert len(values) == (2 if "squint_arcmin" in errors else 1)
    # For one source the phases are those of its direction, so the mean of moduli is the mean response.
    crosses = run.array.first != run.array.second
    mean_jy = np.abs(values[:, :, crosses]).mean(axis=(0, 1, 2))
    assert mean_jy.mean() == pytest.approx(described["band_apparent_flux_jy"], rel=2e-3)
    directions = drift.source_directions([described["ra_deg"]], [described["dec_deg"]], plan.times_jd)
    expected = mean_power(run.beam, run.array.numbers, directions, plan.apparent_dec_rad, freqs_hz)[:, 0].mean(axis=0)
    np.testing.assert_allclose(mean_jy / plan.sources[0].flux_jy(freqs_hz), expected, rtol=1e-4)
    if "pointing_rms_arcmin" in errors:
        assert np.ptp(np.abs(values[0, 0, crosses, 8])) > 0.01


def test_sky_offsets_are_east_and_north() -> None:
    dec_rad = np.deg2rad(40.0)
    to_west = drift.meridian_direction(dec_rad, hour_angle_rad=0.01)
    assert sky_offsets(to_west, dec_rad)[0] == pytest.approx(-0.01 * np.cos(dec_rad), rel=1e-3)
    assert sky_offsets(drift.meridian_direction(dec_rad + 0.01), dec_rad)[1] == pytest.approx(0.01, rel=1e-3)
