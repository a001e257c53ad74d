"""Fluxes at fixed positions of an image: the record that the store keeps and the command writes.

Light to import: no numerical library.
"""

from dataclasses import dataclass, fields, replace
from enum import IntFlag
from pathlib import Path
from typing import TYPE_CHECKING, Self

from contimg.tile.image.result import Beam

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIMIT_SIGMA = 3.0  # upper limit, and the least flux of a detection, over the error of the flux


class MeasurementFlag(IntFlag):
    """What a reader must know of a measurement; the values are stored and do not change.

    HARD flags mark a flux that is wrong though it may look plausible: it enters no light curve and no statistics. SOFT
    flags mark a flux that is less certain than others: it is kept, for leaving such fluxes out biases what is searched.
    """

    UNCALIBRATED = 1 << 0  # the image, or a tile of the mosaic, is not calibrated
    WRONG_STRIP = 1 << 1  # the image is of another declination strip than its epoch
    NO_DATA = 1 << 2  # the pixels around the position are blank
    OUTSIDE = 1 << 3  # the position is outside the image
    BAD_POSITIONS = 1 << 4  # the image's positions differ from the catalogue's by more than half a beam
    BAD_IMAGE = 1 << 5  # the image is graded bad
    EDGE = 1 << 8  # near the edge of the image or a blank area
    HIGH_FLAG_FRACTION = 1 << 9  # much of the image's visibilities is flagged
    LARGE_BEAM = 1 << 10  # the synthesized beam is much larger than usual
    BLENDED = 1 << 11  # fitted together with neighbours
    LOW_PB = 1 << 12  # low response of the primary beam
    NOISY = 1 << 13  # local noise much above the median of the image
    TILE = 1 << 16  # measured in a tile image, not in a mosaic; neither hard nor soft

    HARD = UNCALIBRATED | WRONG_STRIP | NO_DATA | OUTSIDE | BAD_POSITIONS | BAD_IMAGE
    SOFT = EDGE | HIGH_FLAG_FRACTION | LARGE_BEAM | BLENDED | LOW_PB | NOISY


@dataclass(frozen=True, kw_only=True, eq=False)
class Photometry:
    """Fluxes of one image at fixed positions; every array has the shape (positions,).

    Fluxes are true ones, divided by the primary beam. A flux is NaN where `NO_DATA` or `OUTSIDE` is set.

    Attributes
    ----------
    fits_path : the image.
    mjd : middle of its observation, UTC, days; None where the header has no time.
    freq_hz : its frequency; None where the header has none.
    beam : restoring beam.
    error_scale : errors over those that the local noise gives for independent pixels; measured on empty positions.
    calibration_class : class of the image's calibration, of a mosaic the most distant one of its tiles; None where the
        header has none.
    source_id : name of each position, of strings; empty where it has none.
    ra_deg, dec_deg : the position, ICRS.
    flux_jy, flux_error_jy : flux density and its standard error.
    local_rms_jy : noise of a pixel there, Jy per beam, divided by the primary beam.
    pb : response of the primary beam; 1 in an image that is corrected for it.
    edge_distance_deg : distance from the nearest pixel without data, or the edge of the image; 0 outside.
    centre_distance_deg : distance from the centre of the image.
    blend_group : number of the group that was fitted together, from 0; -1 of a position fitted alone.
    flags : of `MeasurementFlag`, integers.
    """

    fits_path: Path
    mjd: float | None
    freq_hz: float | None
    beam: Beam
    error_scale: float
    calibration_class: str | None
    source_id: "NDArray[np.str_]"
    ra_deg: "NDArray[np.float64]"
    dec_deg: "NDArray[np.float64]"
    flux_jy: "NDArray[np.float64]"
    flux_error_jy: "NDArray[np.float64]"
    local_rms_jy: "NDArray[np.float64]"
    pb: "NDArray[np.float64]"
    edge_distance_deg: "NDArray[np.float64]"
    centre_distance_deg: "NDArray[np.float64]"
    blend_group: "NDArray[np.int64]"
    flags: "NDArray[np.int64]"

    def __len__(self) -> int:
        return len(self.ra_deg)

    def __getitem__(self, rows: "NDArray[np.bool_] | NDArray[np.intp] | slice") -> Self:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value[rows] for name, value in values.items() if hasattr(value, "shape")})

    @property
    def limit_jy(self) -> "NDArray[np.float64]":
        """Upper limit of a flux of 0 at 3 sigma."""
        return LIMIT_SIGMA * self.flux_error_jy

    @property
    def is_detected(self) -> "NDArray[np.bool_]":
        """Whether the flux is at least 3 sigma."""
        is_detected: NDArray[np.bool_] = self.flux_jy >= self.limit_jy
        return is_detected

    @property
    def is_usable(self) -> "NDArray[np.bool_]":
        """Whether no hard flag is set."""
        is_usable: NDArray[np.bool_] = (self.flags & int(MeasurementFlag.HARD)) == 0
        return is_usable
