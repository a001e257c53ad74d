"""The verdict on an image."""

from dataclasses import replace

import pytest

from contimg.quality.image import ImageNumbers, QualityThresholds, judge_image

FINE = ImageNumbers(
    rms_jy=0.001, expected_rms_jy=0.0008, peak_jy=0.5, minimum_jy=-0.01, unflagged_fraction=0.8, beam_ratio=1.6
)
LIMITS = QualityThresholds()


def test_a_quiet_image_is_good():
    assert judge_image(FINE, LIMITS).grade == "good"
    assert judge_image(FINE, LIMITS).reasons == ()


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
        ({"offset_beams": 0.7}, "suspect", "0.70"),
        ({"flux_ratio": 0.5}, "suspect", "0.50"),
        ({"flux_ratio": 2.0}, "suspect", "2.00"),
        ({"beam_ratio": 5.0}, "suspect", "5.0"),
        ({"uncalibrated": "no calibrator yet"}, "suspect", "no calibrator yet"),
        ({"peak_jy": float("nan")}, "bad", "nan"),
        ({"rms_jy": 0.0, "peak_jy": 0.0}, "bad", "0"),
    ],
)
def test_each_fault_is_named(change, grade, reason):
    verdict = judge_image(replace(FINE, **change), LIMITS)
    assert verdict.grade == grade
    assert [reason in text for text in verdict.reasons].count(True) == 1, verdict.reasons


def test_a_bright_source_may_raise_the_noise():
    # 3C48 as the telescope saw it: 16.4 Jy over 36 mJy, far above the thermal noise and yet a good image.
    assert judge_image(replace(FINE, rms_jy=0.036, peak_jy=16.4), LIMITS).grade == "good"


def test_thresholds_are_the_operators():
    assert judge_image(FINE, replace(LIMITS, min_unflagged=0.9)).grade == "suspect"
