"""Numbers and grades of caltable sets: good ones pass, corrupted ones are rejected and are no product."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from casacore.tables import table
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from small_ms import FREQS, SLOTS, copied, flux_3c48, make_ms, random_gains

from contimg.common.errors import BadInput
from contimg.formats.ms.info import read_ms_info
from contimg.instrument.calibrators import catalogue
from contimg.quality import caltables as quality
from contimg.quality.caltables import SolutionLimits
from contimg.tile.calibrate.assessment import measure_caltable_set
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.plots import NAMES, remove_delays
from contimg.tile.calibrate.run import calibrate
from contimg.tile.calibrate.solve.edits import flag_failed_receptors
from contimg.tile.calibrate.solve.sky_model import make_sky_model
from contimg.tile.calibrate.solve.solving_data import read_solving_data
from contimg.tile.image import ImageOptions, image
from contimg.tile.image.gridding.visibilities import read_calibration


@pytest.fixture(scope="module")
def solving_data(calibrated):
    tile = read_ms_info(calibrated.truth.path)
    model = make_sky_model(tile, [calibrator for calibrator in catalogue() if calibrator.alias == "3C48"])
    return read_solving_data(tile, model, 60.0)


@pytest.fixture
def measured(calibrated, solving_data, tmp_path):
    """A copy of the set, and a function that judges it as it stands on disk."""
    new, tile = calibrated.done.new_set, read_ms_info(calibrated.truth.path)
    shutil.copytree(new.directory, tmp_path / "set")
    moved = new.moved_to(tmp_path / "set")

    def measure(limits=None, **more):
        limits = limits or SolutionLimits()
        phases = moved.directory / f"{moved.name}.phase"
        numbers = measure_caltable_set(
            moved, tile.antenna_names, limits, phases=phases, ms=tile, solving_data=solving_data, **more
        )
        return numbers, quality.grade_caltable_set(numbers, limits)

    return moved, measure


def poison(path, column, change):
    with table(str(path), readonly=False, ack=False) as main:
        values = main.getcol(column)
        main.putcol(column, np.asarray(change(values), dtype=values.dtype))


def test_good_set_is_graded_good(measured):
    numbers, quality_grade = measured[1]()
    assert quality_grade.grade == "good"
    assert quality_grade.reasons == ()
    assert numbers.residual_scale == pytest.approx(1, abs=0.01)
    assert numbers.residual_fraction < 0.06  # the second source of the field, 1 Jy in 16
    for caltable in numbers.caltables.values():
        assert (caltable.without_solution, caltable.dead_receptors, caltable.outliers) == ((), (), ())


def turned(values):
    rng = np.random.default_rng(1)
    return values * np.exp(2j * np.pi * rng.uniform(size=(values.shape[0], 1, values.shape[2])))


def every_second(factor):
    return lambda values: values * np.where(np.arange(len(values)) % 2, 1.0, factor)[:, None, None]


@pytest.mark.parametrize(
    ("index", "column", "change", "reason"),
    [
        (1, "CPARAM", turned, r"\d%.*calibrator"),
        (0, "CPARAM", turned, r"\d%.*calibrator"),
        (0, "CPARAM", np.conj, r"\d%.*calibrator"),
        (0, "CPARAM", lambda values: 2 * values, r"\d%.*calibrator"),
        (1, "CPARAM", every_second(30.0), r"\bgcal\b.*\b50%"),
        (0, "SNR", lambda values: 0 * values + 1.5, r"\bbcal\b.*\b1\.5\b"),
        (0, "FLAG", lambda flags: flags | (np.arange(192) > 40)[:, None], r"\bbcal\b.*\b79%"),
    ],
)
def test_corrupted_tables_are_rejected_with_their_numbers(measured, index, column, change, reason):
    moved, measure = measured
    poison(moved.paths[index], column, change)
    _, quality_grade = measure()
    assert quality_grade.grade == "rejected"
    assert any(re.search(reason, text) for text in quality_grade.reasons), quality_grade.reasons


@pytest.mark.parametrize(
    ("column", "change"),
    [("FLAG", np.ones_like), ("CPARAM", lambda values: values * np.nan), ("CPARAM", np.zeros_like)],
)
def test_table_without_any_solution_is_an_error(measured, column, change):
    moved, measure = measured
    poison(moved.paths[0], column, change)
    with pytest.raises(BadInput, match=re.escape(str(moved.paths[0]))):
        measure()


def test_missing_or_broken_table_is_an_error(measured):
    moved, measure = measured
    (moved.paths[1] / "table.dat").write_bytes(b"\0" * 100)
    with pytest.raises(BadInput, match=re.escape(str(moved.paths[1]))):
        measure()
    shutil.rmtree(moved.paths[1])
    with pytest.raises(BadInput, match=re.escape(str(moved.paths[1]))):
        measure()


def test_limits_are_settings(measured):
    _, quality_grade = measured[1](SolutionLimits(suspect_residual=0.001))
    assert quality_grade.grade == "suspect"
    _, quality_grade = measured[1](SolutionLimits(suspect_residual=0.001, reject_residual=0.002))
    assert quality_grade.grade == "rejected"


def test_the_change_since_the_previous_set_does_not_depend_on_its_reference_antenna(measured, calibrated, tmp_path):
    moved, measure = measured
    earlier = calibrated.done.new_set
    poison(moved.paths[1], "CPARAM", lambda values: 1.1 * np.exp(0.7j) * values)
    numbers, _ = measure(previous=earlier)
    assert numbers.previous == earlier.name
    assert numbers.phase_change_deg == pytest.approx(0, abs=1e-3)
    assert numbers.amplitude_change == pytest.approx(1.1, rel=1e-4)
    poison(moved.paths[1], "CPARAM", lambda values: values * np.exp(0.5j * (np.arange(14) == 3))[:, None, None])
    numbers, _ = measure(previous=earlier)
    assert numbers.phase_change_deg == pytest.approx(np.rad2deg(0.5 / np.sqrt(13)), rel=1e-3)


@given(st.floats(0, 2), st.floats(0, 1), st.floats(0, 1))
def test_grade_never_improves_as_number_worsens(residual, flagged, more):
    grades = ["good", "suspect", "rejected"]

    def grade(part):
        caltable = quality.CaltableNumbers(part, 50.0, 1.0, (), (), (), 0.0)
        numbers = quality.CaltableSetNumbers({"a.bcal": caltable}, 1.0, residual, 1.0, 0.1)
        return grades.index(quality.grade_caltable_set(numbers, SolutionLimits()).grade)

    assert grade(flagged) <= grade(max(flagged, more))


def test_nan_is_rejected():
    caltable = quality.CaltableNumbers(0.0, 50.0, 1.0, (), (), (), 0.0)
    numbers = quality.CaltableSetNumbers({"a.bcal": caltable}, 1.0, np.nan, np.nan, np.nan)
    assert quality.grade_caltable_set(numbers, SolutionLimits()).grade == "rejected"


def test_rejected_set_is_not_written(fresh, tmp_path):
    limits = SolutionLimits(suspect_residual=1e-6, reject_residual=1e-5)
    done = calibrate(fresh.path, [], tmp_path / "calibration", CalibrateOptions(), limits)
    assert (done.calibration_set, done.new_set) == (None, None)
    assert "rejected" in done.calibration_note
    assert re.search(r"\d%", done.calibration_note)
    left = sorted(path.name for path in (tmp_path / "calibration").iterdir())
    assert left == ["flags"]


@pytest.mark.long
def test_good_set_is_preferred_to_suspect(calibrated, tmp_path):
    truth = copied(calibrated.truth, tmp_path)
    limits = SolutionLimits(suspect_residual=1e-6)
    earlier = replace(calibrated.done.new_set, name="earlier", mjd=calibrated.done.new_set.mjd - 0.1)
    done = calibrate(truth.path, [earlier], tmp_path / "calibration", CalibrateOptions(), limits)
    assert done.new_set.grade == "suspect"
    assert done.calibration_set == "earlier"
    alone = calibrate(truth.path, [], tmp_path / "calibration", CalibrateOptions(), limits)
    assert alone.calibration_set == alone.new_set.name
    assert "suspect" in alone.calibration_note


def test_mostly_failed_receptor_is_flagged(measured):
    moved, _ = measured

    def fail(flags):
        flags[2, 20:, 1] = True
        flags[5, :30, 0] = True
        return flags

    poison(moved.paths[0], "FLAG", fail)
    assert flag_failed_receptors(moved.paths[0]) == 1
    with table(str(moved.paths[0]), ack=False) as main:
        flags = main.getcol("FLAG")
    assert flags[2, :, 1].all()
    assert not flags[2, :, 0].any()
    assert flags[5, :, 0].sum() == 30


def test_plots_are_drawn(calibrated):
    for name in NAMES:
        picture = imread(calibrated.done.new_set.directory / name)
        assert picture.shape[1] == 1400
        assert picture[..., :3].std() > 0.02


def test_delays_are_removed_from_plots():
    gains, freqs = random_gains(), np.arange(192) * 244140.625
    still, delays = remove_delays(gains * np.exp(2j * np.pi * 1e-6 * freqs)[None, :, None], freqs)
    plain, before = remove_delays(gains, freqs)
    assert np.allclose(delays - before, 1000, atol=5)
    assert np.abs(np.angle(plain)).max() < 0.3
    assert np.abs(np.angle(still)).max() < 0.3


@pytest.fixture(scope="module")
def with_crossed(tmp_path_factory):
    """Antennas 4 and 9 with X and Y exchanged, 12 (pad 103, an outrigger) without signal: what the correlator gives."""
    scratch = tmp_path_factory.mktemp("crossed")
    path = make_ms(scratch / "2026-02-22T23:17:51.ms", gains=random_gains(), noise=1.0).path
    rng = np.random.default_rng(3)
    with table(str(path), readonly=False, ack=False) as main:
        data, ant1, ant2 = (main.getcol(name) for name in ("DATA", "ANTENNA1", "ANTENNA2"))
        odd = np.isin(ant1, [4, 9]) != np.isin(ant2, [4, 9])
        blind = ((ant1 == 12) | (ant2 == 12)) & (ant1 != ant2)
        noise = rng.normal(size=data.shape) + 1j * rng.normal(size=data.shape)
        data[odd | blind] = noise[odd | blind]
        main.putcol("DATA", data)
    return path, calibrate(path, [], scratch / "calibration", CalibrateOptions())


def test_crossed_antennas_are_found_flagged_and_named(with_crossed):
    path, done = with_crossed
    new = done.new_set
    reasons = new.quality["without_fringes"]
    assert sorted(reasons) == sorted(["30", "80", "103"])  # the names of slots 4, 9 and 12
    assert reasons["30"] == reasons["80"] != reasons["103"], "crossed receptors, and no signal"
    assert done.dead_antennas == ()
    assert done.bad_antennas == reasons
    assert any(f"3 of {len(SLOTS)} live antennas" in reason for reason in new.reasons)
    calibration = read_calibration(read_ms_info(path))
    assert (calibration.set, calibration.grade) == (new.name, "suspect")
    assert all(reason in calibration.reason for reason in new.reasons)


def test_reference_antenna_has_fringes(with_crossed, calibrated):
    """Outrigger 103 is the first choice, as the healthy tile shows; without fringes it is not the reference."""
    assert calibrated.done.new_set.reference_antenna == "103"
    new = with_crossed[1].new_set
    assert new.reference_antenna == "105"
    assert new.reference_antenna not in new.quality["without_fringes"]
    assert new.reference_antenna in new.antennas


def test_flags_of_antennas_without_fringes(with_crossed):
    path, done = with_crossed
    new = done.new_set
    assert len(new.antennas) == 11
    assert new.grade == "suspect"
    with table(str(path), ack=False) as main:
        flags, ant1, ant2 = (main.getcol(name) for name in ("FLAG", "ANTENNA1", "ANTENNA2"))
    hit = np.isin(ant1, [4, 9, 12]) | np.isin(ant2, [4, 9, 12])
    assert flags[hit].all()
    assert flags[~hit].mean() < 0.03


def test_image_agrees_with_its_calibration(with_crossed, tmp_path):
    path, done = with_crossed
    tile_image = image(path, tmp_path / "images", ImageOptions(size=256))
    assert tile_image.unflagged_fraction == pytest.approx(1 - done.flagged_fraction, abs=0.01)
    assert tile_image.unflagged_fraction < 0.7
    assert (tile_image.calibration_grade, tile_image.verdict == "good") == ("suspect", False)
    assert tile_image.gain_hand_ratio == pytest.approx(done.new_set.quality["hand_ratio"], rel=0.02)
    assert tile_image.hand_ratio == pytest.approx(1.0, abs=0.03)


def test_hand_left_alone_is_calibrated_and_imaged(calibrated, tmp_path):
    truth = copied(calibrated.truth, tmp_path)
    with table(str(truth.path), readonly=False, ack=False) as main:
        flags = main.getcol("FLAG")
        flags[..., 1] = True
        main.putcol("FLAG", flags)
    options = CalibrateOptions(solve=False, flag=False)
    earlier = replace(calibrated.done.new_set, name="earlier")
    done = calibrate(truth.path, [earlier], tmp_path / "calibration", options)
    assert (done.calibration_set, done.bad_antennas) == ("earlier", {})
    alone = image(truth.path, tmp_path / "alone", ImageOptions(size=256, padding=1.0))
    both = image(calibrated.truth.path, tmp_path / "both", ImageOptions(size=256, padding=1.0))
    assert (alone.hands, both.hands) == ("XX", "XX, YY")
    assert alone.peak_jy == pytest.approx(both.peak_jy, rel=0.02)
    assert (alone.verdict, alone.calibration_grade) == ("suspect", "good")
    assert both.hand_ratio == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("leak", [0.05, 0.015])
def test_causes_of_missing_fringes(leak, tmp_path):
    """Slot 4 crossed, leaking so much; slot 6 without signal; slot 9's phase turns: its place is another."""
    truth = make_ms(tmp_path / "2026-02-22T23:17:51.ms", gains=random_gains(), noise=1.0)
    rng = np.random.default_rng(3)
    with table(str(truth.path), readonly=False, ack=False) as main:
        data, ant1, ant2, times = (main.getcol(name) for name in ("DATA", "ANTENNA1", "ANTENNA2", "TIME"))
        cross = ant1 != ant2
        signal = truth.sky * truth.gains[ant1] * truth.gains[ant2].conj()
        noise = data - signal
        for slot, factor in ((4, leak * np.exp(1j)), (6, 0.0)):
            rows = cross & ((ant1 == slot) | (ant2 == slot))
            signal[rows] *= factor
            noise[rows] = rng.normal(size=noise[rows].shape) + 1j * rng.normal(size=noise[rows].shape)
        turn = np.exp(2j * np.pi * (times - times[0]) / 103.0)[:, None, None]
        signal = np.where((cross & (ant1 == 9))[:, None, None], signal * turn, signal)
        signal = np.where((cross & (ant2 == 9))[:, None, None], signal * turn.conj(), signal)
        main.putcol("DATA", (signal + noise).astype(np.complex64))
    done = calibrate(truth.path, [], tmp_path / "calibration", CalibrateOptions())
    reasons = done.new_set.quality["without_fringes"]
    assert sorted(reasons) == sorted(["30", "52", "80"])
    share = float(re.search(r"([\d.]+)%", reasons["30"])[1])
    assert share == pytest.approx(100 * leak, rel=0.4)
    assert len(set(reasons.values())) == 3, "each has its own reason"
    assert done.dead_antennas == ()
    flags = column_of(truth.path, "FLAG")
    hit = np.isin(ant1, [4, 6, 9]) | np.isin(ant2, [4, 6, 9])
    assert flags[hit].all()
    assert flags[~hit].mean() < 0.03


def test_exchanged_cables_are_named(tmp_path):
    """Slots 3 and 4 stand six metres apart and come in on one another's cables: each is named with the other."""
    slots = (1, 5, 12, 18, 19, 30, 44, 52, 60, 71, 80, 90, 100, 103)
    really = (1, 5, 12, 19, 18, 30, 44, 52, 60, 71, 80, 90, 100, 103)
    sources = [(24.42208096, 33.15975916, flux_3c48)]
    truth = make_ms(tmp_path / "2026-02-22T23:17:51.ms", slots=slots, sources=sources, noise=1.0)
    really_path = make_ms(tmp_path / "really.ms", slots=really, sources=sources, noise=1.0).path
    path_m = column_of(really_path, "UVW")[:, 2] - column_of(truth.path, "UVW")[:, 2]
    turn = np.exp(2j * np.pi * path_m[:, None] * FREQS / 299_792_458.0)[..., None]
    with table(str(truth.path), readonly=False, ack=False) as main:
        main.putcol("DATA", (column_of(really_path, "DATA") * turn).astype(np.complex64))
    done = calibrate(truth.path, [], tmp_path / "calibration", CalibrateOptions(presolve_s=26.0))
    reasons = done.new_set.quality["without_fringes"]
    assert sorted(reasons) == ["18", "19"]
    assert "19" in reasons["18"]
    assert "18" in reasons["19"]
    assert not {"18", "19"} & set(done.new_set.antennas)


def column_of(path, name):
    with table(str(path), ack=False) as main:
        return main.getcol(name)
