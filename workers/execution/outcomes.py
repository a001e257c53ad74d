"""What a stage returned, in the store's words."""

from dataclasses import asdict
from functools import singledispatch
from typing import Any

from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.formats.ms.info import read_ms_info
from contimg.store import AppliedCalibration, CalibrationSetRow, ImageRow, MeasurementSetRow, TableRow
from contimg.tile.calibrate.run import CalibrationResult
from contimg.tile.convert import ConvertedMS
from contimg.tile.image import QuickLook

MOST_SOURCES = 200
_KINDS = {".bcal": "bandpass", ".gcal": "gain", ".kcal": "delay"}


@singledispatch
def rows(product: Any) -> list[Any]:
    """The product rows that a commit writes for a stage's result."""
    raise TypeError(f"no stage returns {type(product).__name__}")


@rows.register
def _converted(made: ConvertedMS) -> list[Any]:
    return [
        MeasurementSetRow(
            path=made.path,
            mjd_start=made.start_mjd,
            mjd_end=made.end_mjd,
            ra_deg=made.ra_deg,
            dec_deg=made.dec_deg,
            integrations=int(read_ms_info(made.path).times_mjd_s.size),
            channels=made.channels,
            antennas=made.antennas,
            missing_subbands=made.missing,
            flagged_fraction=made.flagged_fraction,
            bytes=made.bytes_written,
        )
    ]


@rows.register
def _calibrated(made: CalibrationResult) -> list[Any]:
    applied = AppliedCalibration(made.applied, made.reason, made.flagged_fraction)
    return [calibration_row(made.new_set), applied] if made.new_set else [applied]


@rows.register
def _imaged(made: QuickLook) -> list[Any]:
    products, beam = made.products, made.beam
    return [
        ImageRow(
            fits_path=products.fits,
            beam_fits_path=products.primary_beam,
            png_path=products.png,
            thumbnail_path=products.thumbnail,
            rms_jy=made.rms_jy,
            peak_jy=made.peak_jy,
            dynamic_range=made.dynamic_range,
            beam_major_arcsec=beam.major_arcsec,
            beam_minor_arcsec=beam.minor_arcsec,
            beam_angle_deg=beam.angle_deg,
            ra_deg=made.phase_centre_deg[0],
            dec_deg=made.phase_centre_deg[1],
            mjd=(made.start_mjd_s + 0.5 * made.exposure_s) / 86400.0,
            freq_hz=made.freq_hz,
            pixels=made.size,
            cell_arcsec=made.pixel_arcsec,
            calibration_set=made.calibration_set,
            calibration_note=made.calibration_note,
            verdict=made.quality.grade,
            verdict_reasons=made.quality.reasons,
            sources=_sources(made),
            expected_rms_jy=made.expected_rms_jy,
            minimum_jy=made.minimum_jy,
            bowl_jy=made.bowl_jy,
            unflagged_fraction=made.unflagged_fraction,
            catalogue_matches=len(made.matches),
            catalogue_offset_arcsec=made.catalogue_offset_arcsec,
            catalogue_flux_ratio=made.catalogue_flux_ratio,
        )
    ]


def _sources(made: QuickLook) -> tuple[dict[str, Any], ...]:
    """The sources found blindly; without finding, the catalogued ones that the image shows."""
    if made.sources:
        return tuple(
            {name: value for name, value in asdict(one).items() if value == value}  # JSON knows no nan
            for one in made.sources[:MOST_SOURCES]
        )
    return tuple(
        {
            "name": one.entry.name,
            "ra_deg": one.entry.ra_deg,
            "dec_deg": one.entry.dec_deg,
            "flux_jy": one.apparent_jy,
            "true_flux_jy": one.flux_jy,
            "catalogue_jy": one.entry.flux_jy,
        }
        for one in made.matches
    )


def calibration_row(made: CaltableSet) -> CalibrationSetRow:
    """The registry's row of a set of tables."""
    return CalibrationSetRow(
        name=made.name,
        tables=tuple(TableRow(path, _KINDS.get(path.suffix, path.suffix.lstrip("."))) for path in made.paths),
        calibrator=made.calibrator,
        mjd=made.mjd,
        valid_from_mjd=made.valid_from_mjd,
        valid_to_mjd=made.valid_to_mjd,
        reference_antenna=made.reference_antenna,
        quality={**made.quality, "flagged_fraction": made.flagged_fraction},
        dec_deg=made.dec_deg,
        grade=made.grade,
        reasons=made.reasons,
    )
