"""The table of an image's numbers: a row is out of limits exactly when the grade gives a reason."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contimg.quality.image import QualityThresholds, grade_image
from contimg.store import StoredImage
from web.tiles.quality_table import QualityRow, quality_rows

LIMITS = QualityThresholds()
IMAGE = StoredImage(
    id=1, group="2026-02-22T03:04:05", fits_path=Path("/p.fits"), beam_fits_path=None, png_path=None,
    thumbnail_path=None, rms_jy=0.003, peak_jy=0.5, dynamic_range=166.0, beam_major_arcsec=20.0,
    beam_minor_arcsec=16.0, beam_angle_deg=0.0, ra_deg=1.0, dec_deg=2.0, mjd=61000.0, freq_hz=1.4e9, pixels=2048,
    cell_arcsec=6.0, calibration_set="x", calibration_note=None, sources=(), verdict="good", verdict_reasons=(),
    expected_rms_jy=0.0025, history_rms_jy=0.0028, minimum_jy=-0.015, bowl_jy=-0.002, unflagged_fraction=0.91,
    catalogue_matches=4, catalogue_offset_arcsec=2.0, catalogue_flux_ratio=0.97, catalogue_faint_ratio=0.99,
    catalogue_outer_ratio=1.01, catalogue_completeness=1.0, catalogue_distortion_arcsec=0.5, shift_east_arcsec=1.0,
    clean_stopped_by="noise", beam_pixels=5.7,
    edge_noise_ratio=1.05, hands="XX, YY", hand_ratio=1.02, hand_ratio_error=0.003, gain_hand_ratio=1.4,
    calibration_grade="good", created_at=1.0,
)  # fmt: skip


def rows(image: StoredImage) -> dict[str, QualityRow]:
    return {row.name: row for row in quality_rows(image, LIMITS)}


def off(image: StoredImage) -> list[str]:
    return [row.name for row in quality_rows(image, LIMITS) if row.good is False]


def test_faults_mark_their_row() -> None:
    assert off(IMAGE) == []
    changes: dict[str, Any] = {
        "expected_rms_jy": 1e-4, "history_rms_jy": 1e-3, "minimum_jy": -0.4, "bowl_jy": -0.1,
        "catalogue_flux_ratio": 0.5, "catalogue_offset_arcsec": 9.0, "catalogue_faint_ratio": 0.8,
        "beam_major_arcsec": 90.0,
        "unflagged_fraction": 0.2, "clean_stopped_by": "iterations", "edge_noise_ratio": 3.0, "hands": "XX",
        "hand_ratio": 0.8, "missing_subbands": (3, *range(8, 16)), "calibration_grade": "suspect",
    }  # fmt: skip
    names = {}
    for column, value in changes.items():
        (names[column],) = off(replace(IMAGE, **{column: value}))
    assert len(set(names.values())) == len(changes), "each fault has its own row"
    table = rows(IMAGE)
    assert table[names["catalogue_flux_ratio"]].value == "0.970"
    assert table[names["catalogue_offset_arcsec"]].value == "0.125"
    assert table[names["missing_subbands"]].value == "0"
    assert rows(replace(IMAGE, missing_subbands=(3, 8, 9)))[names["missing_subbands"]].value == "3: 3, 8 to 9"
    assert "suspect" in rows(replace(IMAGE, calibration_grade="suspect"))[names["calibration_grade"]].value


def test_source_finder_that_is_off_counts_none() -> None:
    assert rows(IMAGE)["number of sources found"].value == "finder off"
    assert rows(replace(IMAGE, sources_found=0))["number of sources found"].value == "0"


def test_unmeasured_value_is_dash() -> None:
    names = ("expected_rms_jy", "history_rms_jy", "minimum_jy", "bowl_jy", "unflagged_fraction", "catalogue_matches",
             "catalogue_offset_arcsec", "catalogue_flux_ratio", "clean_stopped_by", "edge_noise_ratio", "hands",
             "hand_ratio", "gain_hand_ratio", "catalogue_faint_ratio", "catalogue_outer_ratio",
             "catalogue_completeness", "catalogue_distortion_arcsec", "shift_east_arcsec", "calibration_class",
             "gain_snr", "phase_residual_deg", "beam_pixels", "sun_distance_deg", "sun_jy")  # fmt: skip
    table = quality_rows(replace(IMAGE, **dict.fromkeys(names)), LIMITS)
    assert [row.value for row in table].count("–") == len(names) + 1, "and the flux that the phase residual costs"
    assert not any(row.good is False for row in table)


LEVELS = st.sampled_from(["good", "suspect", "bad"])


@given(
    numbers=st.fixed_dictionaries(
        {
            "rms_jy": st.floats(1e-4, 1), "peak_jy": st.floats(1e-3, 20), "expected_rms_jy": st.floats(1e-4, 0.1),
            "history_rms_jy": st.none() | st.floats(1e-4, 0.1), "minimum_jy": st.floats(-2, 0),
            "bowl_jy": st.floats(-1, 0.1), "unflagged_fraction": st.floats(0, 1),
            "catalogue_flux_ratio": st.floats(0.1, 5), "catalogue_offset_arcsec": st.floats(0, 40),
            "beam_major_arcsec": st.floats(16, 120), "edge_noise_ratio": st.floats(0.5, 5),
            "hand_ratio": st.none() | st.floats(0.3, 3), "hands": st.sampled_from(["XX, YY", "XX"]),
            "missing_subbands": st.sets(st.integers(0, 15)).map(tuple), "calibration_grade": st.none() | LEVELS,
            "sources_found": st.none() | st.integers(0, 99),
        }
    )
)  # fmt: skip
def test_marked_rows_agree_with_grade(numbers: dict[str, Any]) -> None:
    image = replace(IMAGE, **numbers)
    quality = grade_image(image, LIMITS)
    assert (quality.grade == "good") == (off(image) == [])
    assert len(quality.reasons) == len(off(image))
    assert all(row.limit for row in quality_rows(image, LIMITS) if row.good is False), "a limit beside each"
