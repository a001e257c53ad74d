"""Where the sky is and when: transits, pointings, sources, checked against ERFA and the telescope's own numbers."""

from datetime import datetime, timedelta

import erfa
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg.common.errors import Misconfigured
from contimg.instrument import dsa110 as telescope
from contimg.simulation import CALIBRATOR, SimulateOptions, drift, plan_tiles
from contimg.simulation.beams import build_beam
from contimg.simulation.sky import COUNTS_MJY, COUNTS_PER_DEG2, counts_sky, power_law

RUN = SimulateOptions(groups=3)


def test_zenith_of_site() -> None:
    up = drift.horizon_axes()[2]
    apparent = drift.icrs_of(up, 2460923.641147)
    assert apparent.separation(SkyCoord(276.80037288, 37.21421524, unit="deg")).arcsec < 0.5


def test_directions_agree_with_erfa() -> None:
    """erfa.atco13 gives observed hour angle and declination by one call; UT1-UTC from the table."""
    time = Time(2461094.473, format="jd", scale="utc")
    for ra_deg, dec_deg in ((24.42, 33.16), (30.0, 50.0), (20.0, -10.0)):
        _, _, hour_angle, dec, _, _ = erfa.atco13(
            np.deg2rad(ra_deg), np.deg2rad(dec_deg), 0, 0, 0, 0, time.jd1, time.jd2, time.delta_ut1_utc,
            np.deg2rad(telescope.LONGITUDE_DEG), np.deg2rad(telescope.LATITUDE_DEG), telescope.HEIGHT_M,
            0, 0, 0, 0, 0, 1.0,
        )  # fmt: skip
        ours = drift.source_directions(ra_deg, dec_deg, time.jd)[0, 0]
        # Polar motion, which this call is not given, is 0.5" at most.
        away = np.linalg.norm(ours - drift.meridian_direction(float(dec), float(hour_angle)))
        assert np.rad2deg(away) * 3600 < 0.8


@given(st.dates(min_value=datetime(2024, 1, 1).date(), max_value=datetime(2027, 1, 1).date()), st.floats(0, 359.9))
@settings(max_examples=15, deadline=None)
def test_transit_is_first_of_date_on_meridian(date, ra_deg) -> None:
    time_jd, dec_rad = drift.transit(ra_deg, 30.0, date.isoformat())
    assert 0 <= time_jd - Time(date.isoformat()).jd < 1.0
    apparent = drift.source_directions(ra_deg, 30.0, time_jd)[0, 0]
    np.testing.assert_allclose(apparent, drift.meridian_direction(dec_rad), atol=1e-8)


def test_plan_starts_with_calibrator_at_cadence() -> None:
    plans = plan_tiles(RUN)
    assert [plan.group for plan in plans] == ["2026-02-22T23:18:13", "2026-02-22T23:23:22", "2026-02-22T23:28:31"]
    centre = SkyCoord(plans[0].centre_ra_deg, plans[0].centre_dec_deg, unit="deg")
    assert centre.separation(SkyCoord(CALIBRATOR.ra_deg, CALIBRATOR.dec_deg, unit="deg")).arcsec < 0.01
    assert plans[1].centre_ra_deg - plans[0].centre_ra_deg == pytest.approx(
        309 * 15.0411 / 3600,
        rel=3e-3,  # right ascensions of 2000 and of date run apart by precession
    )
    for plan in plans:
        start = Time(plan.times_jd[0], format="jd").to_datetime() - timedelta(seconds=0.5 * telescope.INTEGRATION_S)
        assert 0 <= (start - datetime.fromisoformat(plan.group)).total_seconds() < 1
        assert np.diff(plan.times_jd) * 86400 == pytest.approx(telescope.INTEGRATION_S, abs=1e-4)
    assert plan_tiles(RUN.replace(gap=3))[1].group == "2026-02-22T23:38:49"
    north = plan_tiles(RUN.replace(declination_offset_deg=0.5))[0]
    assert north.centre_dec_deg - CALIBRATOR.dec_deg == pytest.approx(0.5, abs=1e-3)


def test_target_separation_and_flux() -> None:
    plans = plan_tiles(RUN.replace(groups=4))
    for plan in plans[1:]:
        sky = SkyCoord(
            [source.ra_deg for source in plan.sources], [source.dec_deg for source in plan.sources], unit="deg"
        )
        distance = sky[:, np.newaxis].separation(sky[np.newaxis]).deg + 9 * np.eye(len(sky))
        assert distance.min() > 0.3
        centre = SkyCoord(plan.centre_ra_deg, plan.centre_dec_deg, unit="deg")
        inside = [source for source, away in zip(plan.sources, sky.separation(centre).deg, strict=True) if away < 0.81]
        assert len(inside) >= RUN.sources
        fluxes = [float(source.flux_jy(telescope.BAND.centre_hz)) for source in inside]
        assert min(fluxes) > 0.05
        assert max(fluxes) < 1.0
        assert CALIBRATOR in plan.sources
    with pytest.raises(Misconfigured, match="--sources"):
        plan_tiles(RUN.replace(groups=12, sources=20))


def test_spectra_and_beam() -> None:
    # Perley & Butler 2017 for 3C48 at 1.405 GHz; a power law by its definition.
    assert CALIBRATOR.flux_jy(1.405e9) == pytest.approx(16.209, abs=1e-3)
    source = power_law("one", 0, 0, 2.0, -0.7)
    assert source.flux_jy(2 * telescope.BAND.centre_hz) == pytest.approx(2.0 * 2**-0.7)


def test_beam_is_airy_disk_of_imager() -> None:
    offsets, freqs_hz = np.deg2rad([0.0, 0.7, 1.35, 2.6, 4.0])[:, np.newaxis], np.array([1.3e9, 1.4e9, 1.5e9])
    power = build_beam(RUN).voltage(np.sin(offsets), 0.0, freqs_hz) ** 2
    np.testing.assert_allclose(power, telescope.primary_beam(offsets, freqs_hz), atol=1e-12)
    assert power[2, 1] == pytest.approx(0.5, abs=0.03)
    assert np.all(build_beam(RUN.replace(beam="uniform")).voltage(np.sin(offsets), 0.0, freqs_hz) == 1)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"CHANNELS": "100"}, r"channels=100\b.*\b16\b"),
        ({"DATE": "tomorrow"}, "YYYY-MM-DD"),
        ({"DEAD": "32"}, r"dead=32\b"),
    ],
)
def test_invalid_options_are_refused(wrong: dict[str, str], named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        SimulateOptions.from_environment({f"CONTIMG_SIMULATE_{name}": text for name, text in wrong.items()})


def test_counts_follow_table() -> None:
    centre = SkyCoord(120.0, 37.0, unit="deg")
    sources = counts_sky(1, 1.0, centre, 6.0)
    area_deg2 = 2 * np.pi * (1 - np.cos(np.deg2rad(6.0))) * np.rad2deg(1) ** 2
    flux_mjy = np.array([1e3 * float(source.flux_jy(telescope.BAND.centre_hz)) for source in sources])
    for limit_mjy, density in zip(COUNTS_MJY[:9], COUNTS_PER_DEG2[:9], strict=True):
        expected = density * area_deg2
        # Doubles are two sources: 6 % more above 10 mJy, less where half of the flux is fainter.
        assert np.sum(flux_mjy >= limit_mjy) == pytest.approx(expected, abs=4 * np.sqrt(expected) + 0.06 * expected)
    indices = np.array([source.spectrum[1] for source in sources])
    assert indices.mean() == pytest.approx(-0.7, abs=0.01)
    assert indices.std() == pytest.approx(0.25, abs=0.01)
    resolved = [source.shape for source in sources if source.shape[0]]
    assert 0.015 < len(resolved) / np.sum(flux_mjy > 10) < 0.05
    assert all(15 <= major <= 45 and 0.3 * major <= minor <= major for major, minor, _ in resolved)


@pytest.mark.parametrize(
    ("ra_deg", "dec_deg"), [(0.05, 16.0), (180.0, 37.0), (359.5, 68.0), (90.0, -20.0), (10.0, 89.0)]
)
def test_counts_are_same_sky_from_every_tile(ra_deg: float, dec_deg: float) -> None:
    here, beside = SkyCoord(ra_deg, dec_deg, unit="deg"), SkyCoord((ra_deg + 1.3) % 360, dec_deg, unit="deg")
    skies = [counts_sky(3, 5.0, centre, 2.6) for centre in (here, beside)]
    assert len(skies[0]) > 300
    for index, centre in ((0, beside), (1, here)):
        positions = SkyCoord(
            [source.ra_deg for source in skies[index]], [source.dec_deg for source in skies[index]], unit="deg"
        )
        shared = {
            source for source, away in zip(skies[index], positions.separation(centre).deg, strict=True) if away < 2.6
        }
        assert shared == set(skies[index]) & set(skies[1 - index])
    faint = counts_sky(3, 1.0, here, 2.6)
    assert set(skies[0]) <= set(faint)
    assert set(counts_sky(4, 5.0, here, 2.6)).isdisjoint(faint)


def test_counts_leave_room_for_named_sources() -> None:
    options = RUN.replace(sky="counts", faintest_mjy=10, strong_jy=3.0)
    _, plan, _ = plan_tiles(options)
    named = [source for source in plan.sources if not source.name.startswith("C")]
    assert len(named) >= RUN.sources + 2
    (strong,) = (source for source in named if source.name == "strong")
    centre = SkyCoord(plan.centre_ra_deg, plan.centre_dec_deg, unit="deg")
    assert centre.separation(SkyCoord(strong.ra_deg, strong.dec_deg, unit="deg")).deg == pytest.approx(2.0)
    counted = [source for source in plan.sources if source.name.startswith("C")]
    sky = SkyCoord([source.ra_deg for source in counted], [source.dec_deg for source in counted], unit="deg")
    assert sky.separation(SkyCoord(strong.ra_deg, strong.dec_deg, unit="deg")).arcmin.min() > 2.5
