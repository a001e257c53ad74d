"""The grade of an image, and the checks that give it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contimg.quality.image import ImageNumbers, QualityThresholds, check_image, grade_image

FINE = ImageNumbers(
    rms_jy=0.001, expected_rms_jy=0.0008, peak_jy=0.5, minimum_jy=-0.01, unflagged_fraction=0.8,
    beam_major_arcsec=16.0, beam_minor_arcsec=10.0, calibration_set="2026-02-22T01:00:00",
)  # fmt: skip
LIMITS = QualityThresholds()


def test_quiet_image_is_good():
    assert grade_image(FINE, LIMITS).grade == "good"
    assert grade_image(FINE, LIMITS).reasons == ()
    assert grade_image(replace(FINE, clean_stopped_by="noise"), LIMITS).grade == "good"


@pytest.mark.parametrize(
    ("change", "grade", "reason"),
    [
        ({"rms_jy": 0.02}, "suspect", "7.6"),
        ({"rms_jy": 0.06}, "bad", "22.9"),
        ({"rms_jy": 0.5}, "bad", "190.5"),
        ({"unflagged_fraction": 0.2}, "suspect", "20.0%"),
        ({"unflagged_fraction": 0.01}, "bad", "1.0%"),
        ({"minimum_jy": -0.4}, "suspect", "-0.4"),
        ({"bowl_jy": -0.05}, "suspect", "-0.05"),
        ({"catalogue_offset_arcsec": 7.0}, "suspect", "0.70"),
        ({"catalogue_flux_ratio": 0.5}, "suspect", "0.50"),
        ({"catalogue_flux_ratio": 2.0}, "suspect", "2.00"),
        ({"beam_major_arcsec": 50.0}, "suspect", "5.0"),
        ({"clean_stopped_by": "iterations", "uncleaned_jy": 0.25}, "suspect", "0.25 Jy"),
        ({"clean_stopped_by": "divergence"}, "suspect", "divergence"),
        ({"calibration_set": None, "calibration_note": "no calibrator yet"}, "suspect", "no calibrator yet"),
        ({"peak_jy": float("nan")}, "bad", "nan"),
        ({"rms_jy": 0.0, "peak_jy": 0.0}, "bad", "0"),
    ],
)
def test_each_fault_has_reason(change, grade, reason):
    quality = grade_image(replace(FINE, **change), LIMITS)
    assert quality.grade == grade
    assert [reason in text for text in quality.reasons].count(True) == 1, quality.reasons


def test_bright_source_raises_noise_limit():
    # 3C48 as the telescope saw it: 16.4 Jy over 36 mJy, far above the thermal noise and yet a good image.
    assert grade_image(replace(FINE, rms_jy=0.036, peak_jy=16.4), LIMITS).grade == "good"


def test_thresholds_are_options():
    assert grade_image(FINE, LIMITS.replace(min_unflagged=0.9)).grade == "suspect"


UNKNOWN = st.none()


@given(
    image=st.builds(
        ImageNumbers, rms_jy=st.floats(0, 1), expected_rms_jy=UNKNOWN | st.floats(1e-4, 0.1), peak_jy=st.floats(0, 20),
        minimum_jy=UNKNOWN | st.floats(-2, 0), bowl_jy=UNKNOWN | st.floats(-1, 0.1),
        unflagged_fraction=UNKNOWN | st.floats(0, 1), beam_major_arcsec=st.floats(10, 90),
        beam_minor_arcsec=st.just(10.0),
        catalogue_offset_arcsec=UNKNOWN | st.floats(0, 40), catalogue_flux_ratio=UNKNOWN | st.floats(-1, 5),
        calibration_set=UNKNOWN | st.just("set"), clean_stopped_by=UNKNOWN | st.sampled_from(["noise", "iterations"]),
    )
)  # fmt: skip
def test_reason_given_exactly_when_check_fails(image):
    quality, checks = grade_image(image, LIMITS), check_image(image, LIMITS)
    assert {check.reason for check in checks if check.grade in ("suspect", "bad")} == set(quality.reasons)
    grades = {check.grade for check in checks}
    assert quality.grade == next(grade for grade in ("bad", "suspect", "good") if grade in grades)
