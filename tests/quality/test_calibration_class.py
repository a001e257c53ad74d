"""Class and age of a calibration, and the flux that a phase residual costs."""

from dataclasses import replace

import numpy as np
import pytest

from contimg.quality.calibration import CalibrationClass, CalibrationNumbers, check_calibration_class, compute_flux_loss

LIMIT = 0.03
AGED = CalibrationNumbers(
    calibration_class=CalibrationClass.SAME_DAY, bandpass_age_h=6.2, gain_age_h=6.2, gain_snr=84.0,
    phase_residual_deg=30.0,
)  # fmt: skip


def loss_grade(numbers):
    return next(check.grade for check in check_calibration_class(numbers, LIMIT) if check.unit == "fraction")


def test_flux_loss_is_that_of_random_phases():
    rng = np.random.default_rng(3)
    for sigma_deg in (5.0, 10.0, 30.0):
        phases = np.deg2rad(sigma_deg) * rng.standard_normal((2, 200_000))
        kept = np.exp(1j * (phases[0] - phases[1])).mean().real
        assert compute_flux_loss(sigma_deg) == pytest.approx(1 - kept, abs=0.003)
    assert compute_flux_loss(0.0) == 0.0


def test_residual_that_costs_over_three_percent_is_suspect():
    assert AGED.flux_loss_fraction == pytest.approx(1 - np.exp(-(np.deg2rad(30) ** 2)))
    assert loss_grade(AGED) == "suspect"
    assert loss_grade(replace(AGED, phase_residual_deg=9.9)) == "good"
    assert loss_grade(replace(AGED, phase_residual_deg=10.1)) == "suspect"
    assert loss_grade(replace(AGED, phase_residual_deg=None)) is None
    (reason,) = (check.reason for check in check_calibration_class(AGED, LIMIT) if check.grade == "suspect")
    assert all(text in reason for text in ("30.0 deg", "24.0%", "6.2 h old"))


def test_gains_of_sky_model_cost_nothing():
    corrected = replace(AGED, calibration_class=CalibrationClass.SKY_MODEL, gain_age_h=0.0)
    assert corrected.flux_loss_fraction is None
    assert loss_grade(corrected) is None


def test_record_of_earlier_version_has_no_class():
    assert CalibrationNumbers.from_record({"set": "s1", "mjd": 61093.0}) == CalibrationNumbers()
    assert CalibrationNumbers.from_record({"calibration_class": "of a later version"}).calibration_class is None
    assert CalibrationNumbers.from_record(vars(AGED)) == AGED


def test_age_is_given_in_hours_then_days():
    assert AGED.age_text == "same day, bandpass 6.2 h old, gains 6.2 h old"
    borrowed = replace(AGED, calibration_class=CalibrationClass.BORROWED, bandpass_age_h=60.0, gain_age_h=-1.5)
    assert borrowed.age_text == "borrowed, bandpass 2.5 d old, gains 1.5 h later"
    assert CalibrationNumbers().age_text == ""
