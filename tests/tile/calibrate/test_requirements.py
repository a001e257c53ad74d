"""What the calibration must be able to do, on simulated transits judged against what was put in.

Delays to 1.7 microseconds, a structured bandpass, dead antennas and interference; sources off the centre; blazars;
calibrators out of reach.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import table
from small_ms import FREQS, SLOTS, SOURCES, TIMES, flux_3c48, make_ms, random_gains

from contimg.formats.caltables.solutions import read_solutions
from contimg.formats.ms.info import read_ms_info
from contimg.instrument import calibrators as catalogued
from contimg.instrument.calibrators import SPECTRA, Calibrator, catalogue
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.calibrate.selection import find_mismatch, select_calibrators, with_companions
from contimg.tile.products import CalibratedMS

DEAD = (2, 7)
NAME = "2026-02-22T23:17:51"


@dataclass(frozen=True)
class Transit:
    path: Path
    gains: np.ndarray
    done: CalibratedMS
    rfi: np.ndarray  # (times, channels)


def hard_gains():
    """Delays up to 1.7 microseconds on single antennas, ripples of 20 per cent, (antennas, channels, 2)."""
    gains = random_gains(seed=9)
    delays = np.zeros((len(SLOTS), 1, 1))
    delays[[0, 4, 11], 0, 0] = (1.7e-6, -1.7e-6, 0.9e-6)
    return gains * np.exp(2j * np.pi * delays * (FREQS - FREQS.mean())[None, :, None])


@pytest.fixture(scope="module")
def transit(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("transit")
    gains = hard_gains()
    truth = make_ms(scratch / f"{NAME}.ms", sources=[(*SOURCES["3C48"], flux_3c48)], gains=gains, noise=1.5)
    rng = np.random.default_rng(5)
    rfi = np.zeros((TIMES, FREQS.size), dtype=bool)
    rfi[:, 60:63] = True
    rfi[3, 110:130] = True
    with table(str(truth.path), readonly=False, ack=False) as main:
        data, ant1, ant2 = (main.getcol(name) for name in ("DATA", "ANTENNA1", "ANTENNA2"))
        per_time = len(data) // TIMES
        hit = rfi[np.arange(len(data)) // per_time]
        data += (hit[..., None] * 60.0 * np.exp(2j * np.pi * rng.uniform(size=data.shape))).astype(np.complex64)
        for slot in DEAD:
            data[(ant1 == slot) ^ (ant2 == slot)] = 0
        main.putcol("DATA", data)
    return Transit(truth.path, gains, calibrate(truth.path, [], scratch / "calibration", CalibrateOptions()), rfi)


def solved_over_true(transit):
    new = transit.done.new_set
    parts = [np.broadcast_to(read_solutions(path).gains[0], transit.gains.shape) for path in new.paths]
    product = np.prod(parts, axis=0)
    slot = SLOTS.index(int(new.reference_antenna))
    return product / (transit.gains * np.exp(-1j * np.angle(transit.gains[slot : slot + 1])))


def test_gains_equal_the_truth(transit):
    ratio = solved_over_true(transit)
    ratio = ratio[np.isfinite(ratio)]
    assert np.rad2deg(np.sqrt(np.mean(np.angle(ratio) ** 2))) < 3
    assert np.sqrt(np.mean((np.abs(ratio) - 1) ** 2)) < 0.05
    assert abs(np.median(np.abs(ratio)) - 1) < 0.01


def test_dead_antennas_and_interference_are_flagged_and_nothing_else(transit):
    done = transit.done
    assert sorted(done.dead_antennas) == sorted(str(SLOTS[slot]) for slot in DEAD)
    with table(str(transit.path), ack=False) as main:
        flags, ant1, ant2 = (main.getcol(name) for name in ("FLAG", "ANTENNA1", "ANTENNA2"))
    dead = np.isin(ant1, DEAD) | np.isin(ant2, DEAD)
    rfi = transit.rfi[np.arange(len(flags)) // (len(flags) // TIMES)]
    cross = (ant1 != ant2) & ~dead
    assert flags[dead].all()
    assert flags[cross][rfi[cross]].mean() > 0.99
    assert flags[cross][~rfi[cross]].mean() < 0.03
    assert sorted(np.flatnonzero(~np.isfinite(solved_over_true(transit)).any(axis=(1, 2)))) == sorted(DEAD)


def test_fluxes_off_the_centre_are_right_after_applying(transit, tmp_path):
    """Two sources half and one degree out, in a tile five minutes later: their fluxes by least squares, to 3 %."""
    places = {"one": (24.5, 33.1, 3.0), "two": (23.4, 34.1, 2.0)}
    sources = [(ra, dec, lambda f, flux=flux: flux + 0 * f) for ra, dec, flux in places.values()]
    target = make_ms(tmp_path / "2026-02-22T23:23:00.ms", sources=sources, gains=hard_gains(), noise=1.0, seed=8)
    templates = [make_ms(tmp_path / f"{i}.ms", sources=[source], noise=0.0).sky for i, source in enumerate(sources)]
    options = CalibrateOptions(min_apparent_jy=50.0)
    done = calibrate(target.path, [transit.done.new_set], tmp_path / "calibration", options)
    assert done.calibration_set == NAME
    with table(str(target.path), ack=False) as main:
        data, flags, ant1, ant2 = (
            main.getcol(name) for name in ("CORRECTED_DATA", "FLAG", "ANTENNA1", "ANTENNA2")
        )  # fmt: skip
    good = ~flags & (ant1 != ant2)[:, None, None]
    shapes = np.stack([template[good] for template in templates], axis=1)
    normal, right = (shapes.conj().T @ shapes).real, (shapes.conj().T @ data[good]).real
    assert np.linalg.solve(normal, right) == pytest.approx([1.0, 1.0], abs=0.03)


def test_calibrator_two_and_a_half_beams_away_is_not_used(tmp_path):
    """3C48 at 6.7 degrees, in a sidelobe: not a calibrator, not in a model, and the product says uncalibrated."""
    centre = (24.422, 33.16 + 2.5 * 2.7)
    path = make_ms(tmp_path / "far.ms", centre=centre, sources=[(24.6, 40.0, lambda f: 2.0 + 0 * f)], noise=0.3).path
    tile = read_ms_info(path)
    assert not [candidate for candidate in select_calibrators(tile, 0.0, 0.0) if candidate.calibrator.label == "3C48"]
    done = calibrate(path, [], tmp_path / "calibration", CalibrateOptions())
    assert (done.calibration_set, done.new_set) == (None, None)
    assert done.calibration_note


def test_set_of_another_time_or_strip_leaves_the_tile_uncalibrated(transit, tmp_path):
    path = make_ms(tmp_path / "empty.ms", sources=[], noise=0.5).path
    new = transit.done.new_set
    for misfit in (
        replace(new, mjd=new.mjd - 5, valid_to_mjd=new.mjd - 4),  # beyond the days of which a set is borrowed
        replace(new, dec_deg=new.dec_deg + 1),
        replace(new, first_freq_hz=new.first_freq_hz + 5e7),
    ):
        options = CalibrateOptions(min_apparent_jy=50.0, borrow_days=0.0)
        done = calibrate(path, [misfit], tmp_path / "calibration", options)
        assert done.calibration_set is None
        assert find_mismatch(misfit, read_ms_info(path)) in done.calibration_note


def blazar(name, flux, variable=True):
    ra, dec = np.deg2rad(SOURCES["3C48"])
    return Calibrator(name, "", ra, dec, flux, 0.0, "P", variable=variable)


def with_catalogue(monkeypatch, *sources):
    monkeypatch.setattr(catalogued, "catalogue", lambda: tuple(sources))


def test_variable_calibrator_gives_phases_and_keeps_the_earlier_flux_scale(transit, tmp_path, monkeypatch):
    """The list says 8 Jy, tonight it has 12: phases as true as ever, amplitudes those of the earlier set."""
    with_catalogue(monkeypatch, blazar("blazar", 8.0))
    sources = [(*SOURCES["3C48"], lambda f: 12.0 + 0 * f)]
    truth = make_ms(tmp_path / "2026-02-23T02:00:00.ms", sources=sources, gains=hard_gains(), noise=1.0, seed=4)
    alone = calibrate(truth.path, [], tmp_path / "calibration", CalibrateOptions())
    assert (alone.calibration_set, alone.new_set) == (None, None)
    assert "blazar" in alone.calibration_note
    done = calibrate(truth.path, [transit.done.new_set], tmp_path / "calibration", CalibrateOptions())
    new = done.new_set
    assert new.model_jy == pytest.approx(12.0, rel=0.02)
    assert new.flux_scale.endswith(NAME)
    ratio = solved_over_true(replace(transit, done=done))
    ratio = ratio[np.isfinite(ratio)]
    assert np.median(np.abs(ratio)) == pytest.approx(1, abs=0.01)
    assert np.rad2deg(np.sqrt(np.mean(np.angle(ratio) ** 2))) < 3


def test_steady_calibrators_go_before_brighter_variable_ones(corrupted):
    steady, bright = blazar("steady", 5.0, variable=False), blazar("bright", 50.0)
    selected = select_calibrators(read_ms_info(corrupted.path), 0.5, 3.0, [bright, steady])
    assert [candidate.calibrator.name for candidate in selected] == ["steady", "bright"]
    assert not any(candidate.variable for candidate in catalogue() if candidate.alias in SPECTRA)


def test_companions_of_one_per_cent_are_in_model(corrupted):
    tile = read_ms_info(corrupted.path)
    main = select_calibrators(tile, 0.5, 3.0)[0]
    ra, dec = tile.pointing_rad[0]
    near = [Calibrator(f"s{flux}", "", ra, dec, flux, 0.0, "X") for flux in (0.1, 0.2, 5.0)]
    assert [candidate.calibrator.name for candidate in with_companions(tile, main, near)] == [
        "0137+331",
        "s5.0",
        "s0.2",
    ]
    away = Calibrator("away", "", ra, dec + 0.099, 100.0, 0.0, "P")
    beyond = Calibrator("beyond", "", ra, dec + 0.11, 1e6, 0.0, "P")
    names = [candidate.calibrator.name for candidate in with_companions(tile, main, [away, beyond])]
    assert "beyond" not in names
