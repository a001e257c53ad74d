"""The table of an image's numbers: a row is out of limits exactly when the grade gives a reason."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from contimg.quality.image import QualityThresholds, grade_image
from contimg.store import StoredImage
from web.tiles.quality_table import quality_rows

LIMITS = QualityThresholds()
IMAGE = StoredImage(
    id=1, group="2026-02-22T03:04:05", fits_path=Path("/p.fits"), beam_fits_path=None, png_path=None,
    thumbnail_path=None, rms_jy=0.003, peak_jy=0.5, dynamic_range=166.0, beam_major_arcsec=20.0,
    beam_minor_arcsec=16.0, beam_angle_deg=0.0, ra_deg=1.0, dec_deg=2.0, mjd=61000.0, freq_hz=1.4e9, pixels=2048,
    cell_arcsec=6.0, calibration_set="x", calibration_note=None, sources=(), verdict="good", verdict_reasons=(),
    expected_rms_jy=0.0025, minimum_jy=-0.015, bowl_jy=-0.002, unflagged_fraction=0.91, catalogue_matches=4,
    catalogue_offset_arcsec=2.0, catalogue_flux_ratio=0.97, clean_stopped_by="noise", created_at=1.0,
)  # fmt: skip


def off(image: StoredImage) -> list[str]:
    return [row.name for row in quality_rows(image, LIMITS) if row.good is False]


def test_faults_mark_their_row() -> None:
    assert off(IMAGE) == []
    changes = {
        "rms_jy": 0.2, "minimum_jy": -0.4, "bowl_jy": -0.1, "catalogue_flux_ratio": 0.5,
        "catalogue_offset_arcsec": 9.0, "beam_major_arcsec": 90.0, "unflagged_fraction": 0.2,
        "clean_stopped_by": "iterations",
    }  # fmt: skip
    names = {}
    for column, value in changes.items():
        (names[column],) = off(replace(IMAGE, **{column: value}))
    assert len(set(names.values())) == len(changes), "each fault has its own row"
    rows = {row.name: row.value for row in quality_rows(IMAGE, LIMITS)}
    assert rows[names["catalogue_flux_ratio"]] == "0.97 (4)"
    assert rows[names["catalogue_offset_arcsec"]] == "0.12"


def test_unmeasured_value_is_dash() -> None:
    names = ("expected_rms_jy", "minimum_jy", "bowl_jy", "unflagged_fraction", "catalogue_matches",
             "catalogue_offset_arcsec", "catalogue_flux_ratio", "clean_stopped_by")  # fmt: skip
    rows = quality_rows(replace(IMAGE, **dict.fromkeys(names)), LIMITS)
    assert [row.value for row in rows].count("–") == 7
    assert not any(row.good is False for row in rows)


@given(
    rms=st.floats(1e-4, 1), peak=st.floats(1e-3, 20), expected=st.floats(1e-4, 0.1), minimum=st.floats(-2, 0),
    bowl=st.floats(-1, 0.1), left=st.floats(0, 1), ratio=st.floats(0.1, 5), offset=st.floats(0, 40),
    major=st.floats(16, 120),
)  # fmt: skip
def test_marked_rows_agree_with_grade(
    rms: float, peak: float, expected: float, minimum: float, bowl: float, left: float, ratio: float, offset: float,
    major: float,
) -> None:  # fmt: skip
    image = replace(
        IMAGE, rms_jy=rms, peak_jy=peak, expected_rms_jy=expected, minimum_jy=minimum, bowl_jy=bowl,
        unflagged_fraction=left, catalogue_flux_ratio=ratio, catalogue_offset_arcsec=offset, beam_major_arcsec=major,
    )  # fmt: skip
    quality = grade_image(image, LIMITS)
    assert (quality.grade == "good") == (off(image) == [])
    assert len(quality.reasons) == len(off(image))
