"""Rules of alerts about data and science: each begins once and ends once, on both databases and across restarts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from store_play import T0, Telescope
from store_steps import IMAGE, MS, commit, solved_set

from contimg.instrument.time import unix_to_mjd
from contimg.quality.calibration import CalibrationClass, CalibrationNumbers
from contimg.settings import AlertLimits, DispatchSettings
from contimg.store import Stage, Store
from contimg.tile.products import CalibratedMS
from workers.housekeeping.alerts import RESTART_S, AlertEvaluator

UNKNOWN = CalibrationNumbers()
CADENCE_S, STEP_S = 309.0, 103.0
QUIET = dict.fromkeys(
    (
        "alert_no_data_cadences",
        "alert_uncalibrated",
        "alert_calibration_age_h",
        "alert_gain_age_h",
        "alert_quality",
        "alert_partial",
    ),
    0,
)
Evaluate = Callable[[], None]


@pytest.fixture(params=["one process", pytest.param("restarted", marks=pytest.mark.long)])
def evaluation(request, open_store, location, clock) -> Callable[..., Evaluate]:
    """Make a function that evaluates every rule: in one process, or each time in a new one, which opens the store."""

    def make(**limits: float) -> Evaluate:
        settings = AlertLimits(**{**QUIET, **limits})

        def start() -> AlertEvaluator:
            return AlertEvaluator(open_store(location, clock=clock), DispatchSettings(stall_s=1e9), settings)

        evaluator = start()
        return lambda: (start() if request.param == "restarted" else evaluator).evaluate()

    return make


def observe(
    store: Store, telescope: Telescope, number: int, *, calibrated: bool = True, grade: str = "good",
    noise: float = 1.2, flux: float = 1.0, dec_deg: float = 33.16, missing: tuple[int, ...] = (),
    calibration: CalibrationNumbers = UNKNOWN,
) -> str:  # fmt: skip
    """Observe one tile: its files, Measurement Set, calibration and image."""
    for subband in range(4):
        if subband not in missing:
            group = telescope.arrive(number, subband).file.group
    if missing:
        telescope.store.database.clock.advance(1000)
        store.files.check_timeouts()
    mjd, name = unix_to_mjd(T0 + CADENCE_S * number), "s1" if calibrated else None
    commit(store, group, Stage.CONVERT, replace(
        MS, path=Path(f"/products/{number}.ms"), mjd_start=mjd, mjd_end=mjd + 0.0036, dec_deg=dec_deg,
    ))  # fmt: skip
    commit(store, group, Stage.CALIBRATE, CalibratedMS(name, "no calibrator", 0.1))
    commit(store, group, Stage.IMAGE, replace(
        IMAGE, fits_path=Path(f"/products/{number}.fits"), beam_fits_path=None, png_path=None, mjd=mjd,
        dec_deg=dec_deg, calibration_set=name, verdict=grade, verdict_reasons=(), rms_jy=noise * 1e-3,
        expected_rms_jy=1e-3, catalogue_flux_ratio=flux, **vars(calibration),
    ))  # fmt: skip
    return group


def lives(store: Store, rule: str) -> list[tuple[float, float | None]]:
    """Beginning and end of each alert of a rule, the oldest first; each has one event for each."""
    alerts = [alert for alert in store.alerts.last(500)[::-1] if alert.rule == rule]
    ends = [alert.ended_at for alert in alerts if alert.ended_at is not None]
    events = [event.at for event in store.events.last(5000)[::-1] if event.rule == rule]
    assert events == sorted([alert.began_at for alert in alerts] + ends)
    return [(alert.began_at, alert.ended_at) for alert in alerts]


def test_no_data_begins_and_ends_once(store, telescope, clock, evaluation):
    evaluate = evaluation(alert_no_data_cadences=3)
    evaluate()
    last = clock.now
    for number, gap_s in enumerate((926.0, 928.0, 20.0, 2000.0)):
        while clock.now + STEP_S < last + gap_s:
            clock.advance(STEP_S)
            evaluate()
        clock.now = last + gap_s
        telescope.arrive(number, 0)
        evaluate()
        evaluate()
        last = clock.now
    assert lives(store, "no data") == [(clock.now - 2000 + 1030, clock.now)]


def test_no_data_counts_from_start_of_stream(store, telescope, clock, evaluation):
    telescope.arrive(0, 0)
    clock.advance(40_000)
    evaluate = evaluation(alert_no_data_cadences=2)
    for _ in range(7):
        evaluate()
        clock.advance(STEP_S)
    assert lives(store, "no data") == []
    evaluate()
    evaluate()
    assert lives(store, "no data") == [(clock.now, None)]


def test_stop_of_stream_is_no_gap(store, telescope, open_store, location, clock):
    def evaluate() -> None:
        opened = open_store(location, clock=clock)
        AlertEvaluator(opened, DispatchSettings(), AlertLimits(**{**QUIET, "alert_no_data_cadences": 2})).evaluate()

    telescope.arrive(0, 0)
    evaluate()
    clock.advance(600)
    assert clock.now > RESTART_S
    evaluate()
    clock.advance(100)
    evaluate()
    assert lives(store, "no data") == []


def test_no_data_without_any_file(store, clock, evaluation):
    evaluate = evaluation(alert_no_data_cadences=1)
    evaluate()
    for _ in range(4):
        clock.advance(100)
        evaluate()
    assert len(lives(store, "no data")) == 1
    assert store.alerts.active()[0].level == "error"


def test_uncalibrated_tiles_raise_one_alert(store, telescope, clock, evaluation):
    evaluate = evaluation(alert_uncalibrated=3)
    states = []
    for number, calibrated in enumerate((False, True, False, False, False, False, True, True)):
        observe(store, telescope, number, calibrated=calibrated)
        evaluate()
        evaluate()
        states.append(bool(store.alerts.active()))
        clock.advance(CADENCE_S)
    assert states == [False, False, False, False, True, True, False, False]
    assert len(lives(store, "uncalibrated")) == 1


def test_uncalibrated_while_no_good_set_is_valid(store, telescope, clock, evaluation):
    evaluate = evaluation(alert_uncalibrated=3)
    evaluate()
    observe(store, telescope, 0)
    evaluate()
    assert lives(store, "uncalibrated") == []
    now_mjd = unix_to_mjd(clock.now)
    suspect = solved_set(Path("/cal/s0"), now_mjd, grade="suspect", reasons=("32 % is left",))
    store.registry.register(suspect)
    evaluate()
    assert len(lives(store, "uncalibrated")) == 1
    store.registry.register(solved_set(Path("/cal/s1"), now_mjd, 12))
    evaluate()
    assert store.alerts.active() == ()
    clock.advance(12.5 * 3600)
    evaluate()
    evaluate()
    assert [ended is None for _, ended in lives(store, "uncalibrated")] == [False, True]


def test_good_set_is_judged_at_time_of_old_data(store, telescope, clock, evaluation):
    evaluate = evaluation(alert_uncalibrated=3)
    observe(store, telescope, 0)
    store.registry.register(solved_set(Path("/cal/s1"), unix_to_mjd(T0), 12))
    clock.advance(30 * 86400)
    evaluate()
    assert lives(store, "uncalibrated") == []


def test_images_not_good_raise_one_alert(store, telescope, clock, evaluation):
    evaluate = evaluation(alert_quality=3)
    states = []
    for number, grade in enumerate(("suspect", "good", "bad", "suspect", "bad", "good", "bad")):
        observe(store, telescope, number, grade=grade)
        evaluate()
        evaluate()
        states.append(bool(store.alerts.active()))
        clock.advance(CADENCE_S)
    assert states == [False, False, False, False, True, False, False]
    assert len(lives(store, "quality")) == 1


@pytest.mark.parametrize("ratio", ["noise", "flux"])
def test_ratio_off_its_median_raises_one_alert(store, telescope, clock, evaluation, ratio):
    evaluate = evaluation(alert_quality=3, alert_quality_factor=2)
    states = []
    for number, value in enumerate((1.2, 1.1, 1.3, 1.2, 1.2, 1.2, 5.0, 1.2, 1.2, 3.0, 2.9, 3.1, 1.1, 1.2)):
        observe(store, telescope, number, **{ratio: value})
        evaluate()
        evaluate()
        states.append(bool(store.alerts.active()))
        clock.advance(CADENCE_S)
    assert states == [False] * 10 + [True, True, True, False]
    assert len(lives(store, "quality")) == 1


def test_median_is_of_strip_and_seven_days(store, telescope, clock, evaluation):
    evaluate = evaluation(alert_quality=3, alert_quality_factor=2)
    days = round(8 * 86400 / CADENCE_S)
    for first, dec_deg, noise in ((0, 33.16, 1.2), (10, 54.0, 5.0), (days, 33.16, 5.0)):
        for number in range(first, first + 8):
            observe(store, telescope, number, dec_deg=dec_deg, noise=noise)
            evaluate()
    assert lives(store, "quality") == []


def test_missing_subband_raises_one_alert(store, telescope, clock, evaluation):
    evaluate = evaluation(alert_partial=3)
    states = []
    for number, missing in enumerate(((1,), (2,), (2,), (2,), (2,), (1,), (1,))):
        observe(store, telescope, number, missing=missing)
        evaluate()
        evaluate()
        states.append([alert.text for alert in store.alerts.active()])
    assert [bool(texts) for texts in states] == [False, False, False, True, True, False, False]
    assert "subband 2 " in states[3][0]
    assert len(lives(store, "partial")) == 1


def test_changed_pointing_is_one_event(store, telescope, clock, evaluation):
    evaluate = evaluation(alert_declination_deg=0.5)
    for number, dec_deg in enumerate((33.16, 33.3, 33.4, 54.5, 54.6)):
        observe(store, telescope, number, dec_deg=dec_deg)
        evaluate()
        evaluate()
    (event,) = [event for event in store.events.last(500) if event.rule == "declination"]
    assert "+33.16" in event.text
    assert "+54.50" in event.text
    assert event.level == "info"
    assert store.alerts.last() == ()


def test_graded_set_is_one_event(store, telescope):
    good = solved_set(Path("/cal/s1"), unix_to_mjd(T0), 12)
    suspect = solved_set(Path("/cal/s2"), unix_to_mjd(T0), grade="suspect", reasons=("32 % of the calibrator is left",))
    for number, product in enumerate((
        CalibratedMS("s1", "solved", 0.2, good),
        CalibratedMS("s2", "solved", 0.2, suspect),
        CalibratedMS(None, "none", 0.2, solve_failure="solving on 3C48 failed: rejected: snr 2.1"),
    )):  # fmt: skip
        group = telescope.whole_group(number)
        commit(store, group, Stage.CONVERT, replace(MS, path=Path(f"/products/{number}.ms")))
        commit(store, group, Stage.CALIBRATE, product)
    events = [event for event in store.events.last(500)[::-1] if event.rule == "caltable"]
    assert [event.level for event in events] == ["warning", "warning"]
    assert "32 % of the calibrator is left" in events[0].text
    assert "snr 2.1" in events[1].text


def test_limit_of_zero_switches_rule_off(store, telescope, clock, evaluation):
    evaluate = evaluation(alert_declination_deg=0)
    evaluate()
    for number in range(4):
        observe(store, telescope, number, calibrated=False, grade="bad", missing=(3,), dec_deg=33.0 + 5 * number)
    clock.advance(1e5)
    evaluate()
    assert store.alerts.last() == ()
    assert not [event for event in store.events.last(500) if event.rule == "declination"]


def test_old_calibration_raises_one_alert(store, telescope, clock, evaluation):
    evaluate = evaluation(alert_calibration_age_h=25)
    observe(store, telescope, 0)
    evaluate()
    assert lives(store, "calibration age") == []
    begin_mjd = unix_to_mjd(clock.now)
    store.registry.register(solved_set(Path("/cal/s1"), begin_mjd, 72, dec_deg=33.2))
    store.registry.register(solved_set(Path("/cal/elsewhere"), begin_mjd + 1, 72, dec_deg=60.0))
    states = []
    for hours in (24.5, 25.5, 26.0):
        while clock.now < T0 + hours * 3600:
            clock.advance(1800)
        observe(store, telescope, int((clock.now - T0) / CADENCE_S))
        evaluate()
        evaluate()
        states.append([alert.text for alert in store.alerts.active() if alert.rule == "calibration age"])
    assert [bool(texts) for texts in states] == [False, True, True]
    assert "s1 on 3C48" in states[1][0]
    store.registry.register(
        solved_set(Path("/cal/s2"), unix_to_mjd(clock.now), 72, dec_deg=33.2, grade="suspect", reasons=("flagged",))
    )
    evaluate()
    assert [ended is None for _, ended in lives(store, "calibration age")] == [True]
    store.registry.register(solved_set(Path("/cal/s3"), unix_to_mjd(clock.now), 72, dec_deg=33.2))
    evaluate()
    assert [ended is None for _, ended in lives(store, "calibration age")] == [False]


BORROWED = CalibrationNumbers(calibration_class=CalibrationClass.BORROWED, bandpass_age_h=40.0, gain_age_h=40.0)
OLD = CalibrationNumbers(calibration_class=CalibrationClass.SAME_DAY, bandpass_age_h=7.0, gain_age_h=7.0)
CONFIRMED = replace(OLD, phase_residual_deg=1.0)
FROM_SKY = replace(OLD, calibration_class=CalibrationClass.SKY_MODEL, gain_age_h=0.0, phase_residual_deg=20.0)


@pytest.mark.parametrize(
    ("calibrations", "grade", "is_raised"),
    [
        ((BORROWED, OLD), "good", True), ((OLD, CONFIRMED), "suspect", True), ((OLD, CONFIRMED), "good", False),
        ((BORROWED, FROM_SKY), "good", False), ((replace(OLD, gain_age_h=-5.0), OLD), "good", False),
    ],
    ids=["borrowed", "phases lost", "confirmed", "from the sky", "young"],
)  # fmt: skip
def test_old_gains_of_tiles_raise_alert(store, telescope, evaluation, calibrations, grade, is_raised):
    evaluate = evaluation(alert_gain_age_h=6, alert_uncalibrated=2)
    store.registry.register(solved_set(Path("/cal/s1"), unix_to_mjd(T0), 72, dec_deg=33.2))
    for number, calibration in enumerate(calibrations):
        observe(store, telescope, number, calibration=calibration, grade=grade)
        evaluate()
    alerts = [alert for alert in store.alerts.active() if alert.rule == "old gains"]
    assert bool(alerts) is is_raised
    assert all(calibrations[1].age_text in alert.text for alert in alerts)
    observe(store, telescope, 2, calibration=FROM_SKY)
    evaluate()
    assert "old gains" not in {alert.rule for alert in store.alerts.active()}
