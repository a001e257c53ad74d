"""Products of an epoch's stages: the fields that the store keeps and the API answers, each defined here alone.

Light to import: no numerical library.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from contimg.formats.records import about
from contimg.quality.mosaic import MosaicNumbers


@dataclass(frozen=True, kw_only=True)
class MosaicMember:
    """A tile image that is in a mosaic, as the mosaic used it."""

    fits_path: Annotated[Path, about("The tile image", example="/data/products/images/2026-02-22T03:04:05.fits")]
    name: Annotated[str, about("Name of the tile image's file", example="2026-02-22T03:04:05.fits")]
    ra_deg: Annotated[float, about("Right ascension of its centre, ICRS", "deg", 24.42)]
    dec_deg: Annotated[float, about("Declination of its centre, ICRS", "deg", 33.16)]
    mjd: Annotated[float | None, about("Middle of its observation, MJD, UTC", "d", 61093.129624)]
    freq_hz: Annotated[float, about("Its frequency", "Hz", 1405000000.0)]
    rms_jy: Annotated[float, about("Its median noise at the common beam", "Jy/beam", 0.00031)]
    weight: Annotated[float, about("Its part of the mosaic's summed weight", "fraction", 0.083)]
    background_jy: Annotated[float, about("Level that was subtracted from it", "Jy/beam", -0.00002)]
    east_arcsec: Annotated[float, about("Shift that was applied to it, to the east", "arcsec", 0.12)]
    north_arcsec: Annotated[float, about("Shift that was applied to it, to the north", "arcsec", -0.05)]
    flux_scale: Annotated[
        float | None, about("Its fluxes over those of its neighbours; null without shared sources", "ratio", 1.003)
    ] = None
    calibration_class: Annotated[
        str | None, about("Class of its calibration; null where its header has none", example="same transit")
    ] = None
    calibration_age_h: Annotated[float | None, about("Age of its calibration", "h", 1.4)] = None
    grade: Annotated[str | None, about("Its QA grade; null where its header has none", example="good")] = None


@dataclass(frozen=True, kw_only=True)
class OmittedMember:
    """A tile image that was left out of a mosaic, and why."""

    fits_path: Annotated[Path, about("The tile image", example="/data/products/images/2026-02-22T03:09:14.fits")]
    reason: Annotated[str, about("Why it was left out", example="graded bad")]


@dataclass(frozen=True, kw_only=True)
class OverlapRatio:
    """Fluxes and positions of sources in two overlapping tiles of a mosaic."""

    first: Annotated[str, about("Name of a member", example="2026-02-22T03:04:05.fits")]
    second: Annotated[str, about("Name of the member that it is compared with", example="2026-02-22T03:09:14.fits")]
    sources: Annotated[int, about("Sources compared", "sources", 31)]
    flux_ratio: Annotated[float, about("Median of the fluxes in the first over those in the second", "ratio", 1.004)]
    flux_ratio_error: Annotated[float, about("Standard error of that median", "ratio", 0.003)]
    position_scatter_arcsec: Annotated[
        float, about("Scatter of the positions between both, after the shifts, one axis", "arcsec", 0.4)
    ]


@dataclass(frozen=True, kw_only=True)
class BeamDeviation:
    """The primary beam, measured in the overlaps, over the one applied, at a distance from the centre of a tile."""

    radius_deg: Annotated[float, about("Distance from the centre of a tile", "deg", 0.75)]
    deviation: Annotated[float, about("Measured over applied primary beam, less 1", "fraction", -0.004)]
    error: Annotated[float, about("Standard error of that", "fraction", 0.003)]
    fluxes: Annotated[int, about("Fluxes that it is the median of", "fluxes", 42)]


@dataclass(frozen=True, kw_only=True)
class Mosaic(MosaicNumbers):
    """Mosaic of tile images: its files, numbers and QA grade. Fluxes are corrected for the primary beam."""

    fits_path: Annotated[
        Path, about("The mosaic as a FITS image", example="/data/products/mosaics/2026-02-22_L0130_D+163.fits")
    ]
    weight_fits_path: Annotated[
        Path,
        about("The weights (1/Jy²) as a FITS image",
              example="/data/products/mosaics/2026-02-22_L0130_D+163.weight.fits"),
    ]  # fmt: skip
    rms_fits_path: Annotated[
        Path,
        about("The noise as a FITS image", example="/data/products/mosaics/2026-02-22_L0130_D+163.rms.fits"),
    ]
    png_path: Annotated[Path, about("The preview", example="/data/products/mosaics/2026-02-22_L0130_D+163.png")]
    thumbnail_path: Annotated[
        Path, about("The small preview", example="/data/products/mosaics/2026-02-22_L0130_D+163.thumb.png")
    ]
    qa_png_path: Annotated[
        Path | None,
        about("Plots of the overlaps' fluxes, positions and primary beam; null without shared sources",
              example="/data/products/mosaics/2026-02-22_L0130_D+163.qa.png"),
    ]  # fmt: skip
    comparison_png_path: Annotated[
        Path | None,
        about("Plots of the comparison with the reference catalogue; null where the mosaic was not compared",
              example="/data/products/mosaics/2026-02-22_L0130_D+163.comparison.png"),
    ] = None  # fmt: skip
    ra_deg: Annotated[float, about("Right ascension of the centre, ICRS", "deg", 24.42)]
    dec_deg: Annotated[float, about("Declination of the centre, ICRS", "deg", 33.16)]
    width_pixels: Annotated[int, about("Pixels from east to west", "pixels", 10350)]
    height_pixels: Annotated[int, about("Pixels from south to north", "pixels", 2180)]
    cell_arcsec: Annotated[float, about("Size of a pixel", "arcsec", 6.0)]
    area_deg2: Annotated[float, about("Area with a weight above the cut-off", "deg²", 38.2)]
    mjd_start: Annotated[
        float | None, about("Beginning of the first member's observation, MJD, UTC; null where unknown", "d", 61093.12)
    ]
    mjd_end: Annotated[
        float | None, about("End of the last member's observation, MJD, UTC; null where unknown", "d", 61093.16)
    ]
    freq_hz: Annotated[float, about("Effective frequency: the mean, weighted as in the mosaic", "Hz", 1405000000.0)]
    bandwidth_hz: Annotated[float, about("Width of the members' band; 0 where unknown", "Hz", 187500000.0)]
    beam_major_arcsec: Annotated[
        float, about("Full width at half maximum of the common beam, major axis", "arcsec", 24.9)
    ]
    beam_angle_deg: Annotated[float, about("Position angle of the common beam, north through east", "deg", 12.0)]
    pb_cutoff: Annotated[float, about("Primary beam below which a tile is not used", "ratio", 0.1)]
    weight_cutoff: Annotated[float, about("Weight below which the mosaic is blank", "1/Jy²", 612000.0)]
    peak_weight: Annotated[float, about("Highest weight", "1/Jy²", 30600000.0)]
    members: Annotated[tuple[MosaicMember, ...], about("The tile images in the mosaic")]
    omitted: Annotated[tuple[OmittedMember, ...], about("The tile images that were left out")] = ()
    overlaps: Annotated[tuple[OverlapRatio, ...], about("Fluxes and positions in overlapping tiles")] = ()
    beam_profile: Annotated[
        tuple[BeamDeviation, ...], about("The primary beam, measured in the overlaps, against the one applied")
    ] = ()
    sources: Annotated[
        tuple[Mapping[str, Any], ...],
        about(
            "The brightest sources: name, `ra_deg`, `dec_deg` (ICRS), `flux_jy` (peak)",
            "keys end in the unit",
            [{"name": "J012345+334455", "ra_deg": 20.9375, "dec_deg": 33.7486, "flux_jy": 0.32}],
        ),
    ] = ()
    verdict: Annotated[str, about("QA grade: good, suspect or bad", example="good")] = ""
    verdict_reasons: Annotated[
        tuple[str, ...],
        about("Why the grade is not good", example=["noise 0.9 mJy/beam is 2.10 times what the weights predict"]),
    ] = ()
    bytes: Annotated[int, about("Size of its files on disk", "bytes", 310000000)] = 0
    seconds: Annotated[
        Mapping[str, float], about("Time of each step", "s", {"measure": 4.1, "add": 12.5, "write": 3.2})
    ]
