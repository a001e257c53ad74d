"""The numbers of an image's comparison with the reference catalogue. Light to import."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from contimg.formats.records import about

FLUX_BIN = "`sources`, `flux_ratio` (median of measured over catalogued flux) and `error` of the sources"
KEYS_END_IN_UNIT = "keys end in the unit"


@dataclass(frozen=True, kw_only=True)
class SkyComparison:
    """Positions, fluxes and completeness of an image against a catalogue; null where they were not measured.

    The fields after `catalogue_faint_ratio` are measured against the reference catalogue alone. Those before it are
    measured against the flux calibrators where there is no reference catalogue.
    """

    catalogue_name: Annotated[
        str | None, about("The reference catalogue; null where the image was not compared with any", example="nvss")
    ] = None
    catalogue_kind: Annotated[
        str | None,
        about("Kind of that catalogue: survey, merged, simulated, or pipeline (found in the pipeline's own images)",
              example="survey"),
    ] = None  # fmt: skip
    catalogue_matches: Annotated[
        int | None,
        about(
            "Catalogued sources compared: unresolved, isolated, above the limits of image and catalogue", "sources", 41
        ),
    ] = None
    catalogue_offset_arcsec: Annotated[
        float | None,
        about("Length of the median offset of the sources from the catalogue, before it was corrected", "arcsec", 1.4),
    ] = None
    catalogue_flux_ratio: Annotated[float | None, about("Median of measured over catalogued flux", "ratio", 0.98)] = (
        None
    )
    catalogue_faint_ratio: Annotated[
        float | None,
        about("That median at a signal to noise of 7 to 25, over that of brighter sources", "ratio", 0.97),
    ] = None
    catalogue_offset_east_arcsec: Annotated[
        float | None, about("Median offset of the sources to the east of their catalogued positions", "arcsec", 1.3)
    ] = None
    catalogue_offset_north_arcsec: Annotated[float | None, about("Median offset to the north", "arcsec", -0.4)] = None
    catalogue_offset_error_arcsec: Annotated[
        float | None, about("Standard error of the median offset on an axis", "arcsec", 0.2)
    ] = None
    catalogue_distortion_arcsec: Annotated[
        float | None,
        about("Rms of the offsets over the image, less the median offset and the errors", "arcsec", 0.3),
    ] = None
    catalogue_flux_error: Annotated[float | None, about("Standard error of the flux ratio", "ratio", 0.008)] = None
    catalogue_outer_ratio: Annotated[
        float | None,
        about("Flux ratio where the primary beam is below a half, over that where it is above", "ratio", 1.01),
    ] = None
    catalogue_completeness: Annotated[
        float | None,
        about("Detected part of the sources that the catalogue predicts at a S/N of at least 10", "fraction", 0.99),
    ] = None
    catalogue_offset_field: Annotated[
        tuple[Mapping[str, Any], ...],
        about(
            "Median offsets in cells of a grid of 3 by 3 around the image's centre: position of the cell's middle, "
            "`sources`, offset and the error of an axis",
            KEYS_END_IN_UNIT,
            [
                {
                    "east_deg": -0.8, "north_deg": 0.8, "sources": 6, "offset_east_arcsec": 1.1,
                    "offset_north_arcsec": -0.3, "error_arcsec": 0.5,
                }
            ],
        ),
    ] = ()  # fmt: skip
    catalogue_flux_by_snr: Annotated[
        tuple[Mapping[str, Any], ...],
        about(
            f"{FLUX_BIN} with a predicted S/N of `snr_from` to `snr_to` (null: no limit)",
            KEYS_END_IN_UNIT,
            [{"snr_from": 12.0, "snr_to": 25.0, "sources": 14, "flux_ratio": 0.97, "error": 0.02}],
        ),
    ] = ()
    catalogue_flux_by_radius: Annotated[
        tuple[Mapping[str, Any], ...],
        about(
            f"{FLUX_BIN} between two distances from the image's centre",
            KEYS_END_IN_UNIT,
            [{"from_deg": 0.5, "to_deg": 1.0, "sources": 14, "flux_ratio": 0.97, "error": 0.02}],
        ),
    ] = ()
    catalogue_completeness_by_flux: Annotated[
        tuple[Mapping[str, Any], ...],
        about(
            "Number of catalogued `sources` above `flux_jy` inside half power, and the fraction `detected`",
            KEYS_END_IN_UNIT,
            [{"flux_jy": 0.01, "sources": 52, "detected": 0.98}],
        ),
    ] = ()
    shift_east_arcsec: Annotated[
        float | None,
        about(
            "Shift of the image's coordinates to the east that corrects the offset; null: not applied", "arcsec", -1.3
        ),
    ] = None
    shift_north_arcsec: Annotated[
        float | None, about("Shift of the image's coordinates to the north; null: not applied", "arcsec", 0.4)
    ] = None
