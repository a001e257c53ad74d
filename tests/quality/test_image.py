"""The grade of an image, and the checks that give it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contimg.quality.comparison import describe_comparison
from contimg.quality.image import ImageNumbers, QualityThresholds, check_image, grade_image

FINE = ImageNumbers(
    rms_jy=0.001, expected_rms_jy=0.0008, history_rms_jy=0.0009, peak_jy=0.5, minimum_jy=-0.01, bowl_jy=-0.001,
    unflagged_fraction=0.8, beam_major_arcsec=16.0, beam_minor_arcsec=10.0, calibration_set="2026-02-22T01:00:00",
    calibration_grade="good", hands="XX, YY", hand_ratio=1.01, hand_ratio_error=0.004, gain_hand_ratio=1.3,
    edge_noise_ratio=1.1, clean_stopped_by="noise", beam_pixels=5.6,
)  # fmt: skip
LIMITS = QualityThresholds()


def test_quiet_image_is_good():
    assert grade_image(FINE, LIMITS).grade == "good"
    assert grade_image(FINE, LIMITS).reasons == ()
    unmeasured = ("expected_rms_jy", "history_rms_jy", "hands", "hand_ratio", "edge_noise_ratio", "calibration_grade")
    assert grade_image(replace(FINE, **dict.fromkeys(unmeasured)), LIMITS).grade == "good"


UNCALIBRATED = {"calibration_set": None, "calibration_note": "9 of 16 live antennas have no solution"}


@pytest.mark.parametrize(
    ("change", "grade", "reason"),
    [
        ({"rms_jy": 0.02, "history_rms_jy": None}, "suspect", "25.0"),
        ({"rms_jy": 0.06, "history_rms_jy": None}, "bad", "75.0"),
        ({"rms_jy": 0.5, "history_rms_jy": None}, "bad", "625.0"),
        ({"rms_jy": 0.0025}, "suspect", "2.8 times the median"),
        ({"rms_jy": 0.02, "expected_rms_jy": None}, "bad", "22.2 times the median"),
        ({"unflagged_fraction": 0.2}, "suspect", "20.0%"),
        ({"unflagged_fraction": 0.01}, "bad", "1.0%"),
        ({"missing_subbands": tuple(range(8, 16))}, "suspect", "8 subbands have no data: 8 to 15"),
        ({"missing_subbands": (0, *range(4, 16))}, "bad", "0, 4 to 15"),
        ({"hands": "YY", "hand_ratio": None}, "suspect", "YY alone"),
        ({"hand_ratio": 0.8}, "suspect", "0.800"),
        ({"hand_ratio": 1.25}, "suspect", "1.250"),
        ({"minimum_jy": -0.4}, "suspect", "-0.4"),
        ({"bowl_jy": -0.05}, "suspect", "-0.05"),
        ({"edge_noise_ratio": 2.5}, "suspect", "2.50"),
        ({"sun_distance_deg": 8.3, "sun_jy": 32.0}, "suspect", "8.3 deg"),
        ({"catalogue_offset_arcsec": 7.0}, "suspect", "0.70"),
        ({"catalogue_flux_ratio": 0.5}, "suspect", "0.50"),
        ({"catalogue_flux_ratio": 2.0}, "suspect", "2.00"),
        ({"catalogue_faint_ratio": 0.8}, "suspect", "0.80"),
        ({"catalogue_name": "nvss", "catalogue_flux_ratio": 1.3, "catalogue_flux_error": 0.01}, "suspect", "1.300"),
        ({"catalogue_outer_ratio": 0.7}, "suspect", "0.70"),
        ({"catalogue_distortion_arcsec": 4.0}, "suspect", "0.40"),
        ({"catalogue_completeness": 0.8}, "suspect", "80%"),
        ({"catalogue_completeness": 0.3}, "bad", "30%"),
        ({"beam_major_arcsec": 50.0}, "suspect", "5.0"),
        ({"beam_pixels": 3.4}, "suspect", "3.4 pixels"),
        ({"clean_stopped_by": "iterations", "uncleaned_jy": 0.25}, "suspect", "0.25 Jy"),
        ({"clean_stopped_by": "divergence"}, "suspect", "divergence"),
        ({**UNCALIBRATED, "calibration_grade": "bad"}, "bad", "9 of 16 live antennas have no solution"),
        ({**UNCALIBRATED, "calibration_grade": None}, "suspect", "9 of 16 live antennas have no solution"),
        ({"calibration_grade": "suspect", "calibration_note": "32% is left"}, "suspect", "32% is left"),
        ({"peak_jy": float("nan")}, "bad", "nan"),
        ({"rms_jy": 0.0, "peak_jy": 0.0}, "bad", "0"),
    ],
)
def test_each_fault_has_reason(change, grade, reason):
    quality = grade_image(replace(FINE, **change), LIMITS)
    assert quality.grade == grade
    assert [reason in text for text in quality.reasons].count(True) == 1, quality.reasons


def test_peak_does_not_excuse_noise():
    # 40 times the thermal noise beside 0.5 Jy, and 3C48 with 16.4 Jy over 36 mJy.
    assert grade_image(replace(FINE, rms_jy=0.032), LIMITS).grade != "good"
    quality = grade_image(replace(FINE, rms_jy=0.036, peak_jy=16.4, history_rms_jy=None), LIMITS)
    assert quality.grade == "suspect"
    assert "16.4 Jy" in quality.reasons[0]


def test_noisy_hand_ratio_has_wider_limit():
    assert grade_image(replace(FINE, hand_ratio=1.1, hand_ratio_error=0.05), LIMITS).grade == "good"


def test_flux_limit_allows_for_its_error():
    calibrators = replace(FINE, catalogue_flux_ratio=1.3)
    assert grade_image(calibrators, LIMITS).grade == "good"
    noisy = replace(calibrators, catalogue_name="nvss", catalogue_flux_error=0.05)
    assert grade_image(noisy, LIMITS).grade == "good"


def test_image_without_catalogue_is_not_compared():
    (check,) = (check for check in check_image(FINE, LIMITS) if check.name == "reference catalogue")
    assert (check.text, check.grade) == ("not compared", None)
    compared = replace(FINE, catalogue_name="own", catalogue_kind="pipeline", catalogue_flux_ratio=1.0)
    assert describe_comparison(compared) == "own (the pipeline's own images)"
    few = replace(compared, catalogue_flux_ratio=None)
    assert describe_comparison(few).startswith("not compared")
    assert grade_image(few, LIMITS).grade == grade_image(FINE, LIMITS).grade == "good"


def test_thresholds_are_options():
    assert grade_image(FINE, LIMITS.replace(min_unflagged=0.9)).grade == "suspect"
    assert grade_image(replace(FINE, missing_subbands=(3,)), LIMITS.replace(max_missing_subbands=0)).grade == "suspect"
    assert grade_image(replace(FINE, hand_ratio=0.8), LIMITS.replace(max_hand_imbalance=0.3)).grade == "good"


UNKNOWN = st.none()
ANY_IMAGE = st.builds(
    ImageNumbers, rms_jy=st.floats(0, 1), expected_rms_jy=UNKNOWN | st.floats(1e-4, 0.1), peak_jy=st.floats(0, 20),
    history_rms_jy=UNKNOWN | st.floats(1e-4, 0.1), minimum_jy=UNKNOWN | st.floats(-2, 0),
    bowl_jy=UNKNOWN | st.floats(-1, 0.1), edge_noise_ratio=UNKNOWN | st.floats(0.5, 10),
    unflagged_fraction=UNKNOWN | st.floats(0, 1), beam_major_arcsec=st.floats(10, 90), beam_minor_arcsec=st.just(10.0),
    missing_subbands=st.sets(st.integers(0, 15)).map(lambda numbers: tuple(sorted(numbers))),
    hands=UNKNOWN | st.sampled_from(["XX, YY", "XX", "YY", "I"]), hand_ratio=UNKNOWN | st.floats(0.1, 10),
    hand_ratio_error=UNKNOWN | st.floats(0, 0.1), gain_hand_ratio=UNKNOWN | st.floats(0.1, 10),
    catalogue_faint_ratio=UNKNOWN | st.floats(0.5, 2), catalogue_outer_ratio=UNKNOWN | st.floats(0.5, 2),
    catalogue_completeness=UNKNOWN | st.floats(0, 1), catalogue_distortion_arcsec=UNKNOWN | st.floats(0, 40),
    catalogue_name=UNKNOWN | st.just("nvss"), shift_east_arcsec=UNKNOWN | st.floats(-9, 9),
    catalogue_matches=UNKNOWN | st.integers(0, 9), sources_found=UNKNOWN | st.integers(0, 900),
    catalogue_offset_arcsec=UNKNOWN | st.floats(0, 40), catalogue_flux_ratio=UNKNOWN | st.floats(-1, 5),
    calibration_set=UNKNOWN | st.just("set"), calibration_grade=UNKNOWN | st.sampled_from(["good", "suspect", "bad"]),
    clean_stopped_by=UNKNOWN | st.sampled_from(["noise", "iterations"]),
)  # fmt: skip


@given(image=ANY_IMAGE)
def test_reason_given_exactly_when_check_fails(image):
    quality, checks = grade_image(image, LIMITS), check_image(image, LIMITS)
    assert {check.reason for check in checks if check.grade in ("suspect", "bad")} == set(quality.reasons)
    assert all(quality.reasons)
    grades = {check.grade for check in checks}
    assert quality.grade == next(grade for grade in ("bad", "suspect", "good") if grade in grades)


@given(image=ANY_IMAGE)
def test_grade_is_at_best_that_of_calibration(image):
    order = ("good", "suspect", "bad")
    if image.calibration_grade:
        assert order.index(grade_image(image, LIMITS).grade) >= order.index(image.calibration_grade)
    if image.calibration_set is None:
        assert grade_image(image, LIMITS).grade != "good"
