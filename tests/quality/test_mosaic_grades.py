"""The table of checks of a mosaic."""

from dataclasses import replace

import pytest

from contimg.quality.mosaic import MosaicNumbers, MosaicThresholds, check_mosaic, grade_mosaic

GOOD = MosaicNumbers(
    member_count=12,
    rms_jy=2e-4,
    expected_rms_jy=1.9e-4,
    peak_jy=1.0,
    beam_minor_arcsec=12.0,
    flux_step=0.01,
    rms_seam=0.1,
)


@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({}, "good"),
        ({"member_count": 1}, "suspect"),
        ({"rms_jy": 4e-4}, "suspect"),
        ({"rms_jy": 4e-3}, "bad"),
        ({"history_rms_jy": 0.9e-4}, "suspect"),
        ({"flux_step": 0.2}, "suspect"),
        ({"flux_step": 0.7}, "bad"),
        ({"flux_scatter": 0.2}, "suspect"),
        ({"position_scatter_beams": 0.3}, "suspect"),
        ({"shift_beams": 0.7}, "suspect"),
        ({"flux_seam": 0.05}, "suspect"),
        ({"rms_seam": 0.8}, "suspect"),
        ({"beam_deviation": 0.2}, "suspect"),
        ({"artefact_ratio": 20.0}, "suspect"),
        ({"catalogue_completeness": 0.6}, "suspect"),
        ({"catalogue_completeness": 0.4}, "bad"),
        ({"catalogue_name": "nvss", "catalogue_flux_ratio": 1.4, "catalogue_flux_error": 0.01}, "suspect"),
        ({"catalogue_offset_arcsec": 7.0}, "suspect"),
        ({"catalogue_faint_ratio": 0.8}, "suspect"),
        ({"catalogue_distortion_arcsec": 4.0}, "suspect"),
        ({"rms_jy": 0.0}, "bad"),
    ],
)
def test_each_number_is_graded(changes, grade):
    result = grade_mosaic(replace(GOOD, **changes), MosaicThresholds())
    assert result.grade == grade
    assert len(result.reasons) == (grade != "good")


def test_every_check_has_a_name_of_its_own():
    names = [check.name for check in check_mosaic(GOOD, MosaicThresholds())]
    assert len(names) == len(set(names))
