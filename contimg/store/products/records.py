"""Records of Measurement Sets and images, as readers get them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from contimg.formats.records import NO_UNIT, ApiPath, GroupId, Page, about
from contimg.instrument.time import mjd_to_unix
from contimg.quality.calibration import CalibrationNumbers
from contimg.quality.image import AppliedSet, AppliedSetNote
from contimg.tile.products import ConvertedMS, TileImage


@dataclass(frozen=True, kw_only=True)
class StoredMS(ConvertedMS, CalibrationNumbers):
    """A Measurement Set of a group, with its calibration. `calibrated_at` and `created_at` are epoch seconds."""

    group: GroupId
    calibrated_at: Annotated[float | None, about("When it was calibrated; null before")]
    calibration_set: AppliedSet
    calibration_note: AppliedSetNote
    bad_antennas: Annotated[
        Mapping[str, str],
        about(
            "Names of the antennas without usable data, and why; empty before calibration",
            example={"37": "no fringes of the calibrator"},
        ),
    ] = field(default_factory=dict)
    created_at: Annotated[float, about("When it was stored")]

    @property
    def observed_at(self) -> Annotated[float, about("Beginning of the first integration")]:
        """Beginning of the first integration, epoch seconds."""
        return mjd_to_unix(self.mjd_start)

    @property
    def observed_until_at(self) -> Annotated[float, about("End of the last integration")]:
        """End of the last integration, epoch seconds."""
        return mjd_to_unix(self.mjd_end)


@dataclass(frozen=True, kw_only=True)
class StoredImage(TileImage):
    """An image of a group."""

    id: Annotated[int, about("Number of the image in the store", NO_UNIT, 12)]
    group: GroupId
    created_at: Annotated[float, about("When the image was stored")]

    @property
    def observed_at(self) -> Annotated[float, about("Middle of the observation")]:
        """Middle of the observation, epoch seconds."""
        return mjd_to_unix(self.mjd)

    @property
    def pbcor_path(self) -> Path:
        """The image corrected for the primary beam, which the image stage writes beside the image."""
        return self.fits_path.with_name(f"{self.fits_path.stem}.pbcor.fits")

    @property
    def comparison_path(self) -> Path | None:
        """The plots of the comparison, which the image stage writes beside the image; None where it is not compared."""
        return self.fits_path.with_suffix(".comparison.png") if self.catalogue_name else None

    @property
    def subtracted_path(self) -> Path | None:
        """The table of the sources outside the image, beside the image; None of images of earlier versions."""
        return None if self.subtracted_count is None else self.fits_path.with_suffix(".subtracted.csv")

    @property
    def calibrated(self) -> Annotated[bool, about("Whether a caltable set was applied", example=True)]:
        """Whether a caltable set was applied."""
        return self.calibration_set is not None

    @property
    def fits_url(self) -> Annotated[ApiPath, about("Path of the FITS image in the API", example="/api/images/12.fits")]:
        """Path of the FITS image in the API."""
        return f"/api/images/{self.id}.fits"

    @property
    def beam_fits_url(
        self,
    ) -> Annotated[ApiPath | None, about("Path of the primary beam", example="/api/images/12.pb.fits")]:
        """Path of the primary beam in the API; None when there is none."""
        return f"/api/images/{self.id}.pb.fits" if self.beam_fits_path else None

    @property
    def pbcor_fits_url(
        self,
    ) -> Annotated[ApiPath, about("Path of the image over the primary beam", example="/api/images/12.pbcor.fits")]:
        """Path of the image corrected for the primary beam in the API."""
        return f"/api/images/{self.id}.pbcor.fits"

    @property
    def png_url(self) -> Annotated[ApiPath | None, about("Path of the preview", example="/api/images/12.png")]:
        """Path of the preview in the API; None when there is none."""
        return f"/api/images/{self.id}.png" if self.png_path else None

    @property
    def comparison_url(
        self,
    ) -> Annotated[
        ApiPath | None,
        about(
            "Path of the plots of the comparison with the reference catalogue", example="/api/images/12/comparison.png"
        ),
    ]:
        """Path of the plots of the comparison in the API; None where the image is not compared."""
        return f"/api/images/{self.id}/comparison.png" if self.catalogue_name else None

    @property
    def subtracted_url(
        self,
    ) -> Annotated[
        ApiPath | None,
        about("Path of the table of all sources outside the image", example="/api/images/12/subtracted.csv"),
    ]:
        """Path of the table of the sources outside the image in the API; None where there is none."""
        return None if self.subtracted_count is None else f"/api/images/{self.id}/subtracted.csv"

    @property
    def thumbnail_url(
        self,
    ) -> Annotated[ApiPath | None, about("Path of the small preview", example="/api/images/12/thumbnail")]:
        """Path of the small preview in the API; None when there is none."""
        return f"/api/images/{self.id}/thumbnail" if self.thumbnail_path else None


@dataclass(frozen=True, kw_only=True)
class ImageList(Page):
    """Images, the latest observed first."""

    images: Annotated[tuple[StoredImage, ...], about("Images, the latest observed first")]
    next_before_mjd: Annotated[
        float | None, about("As `next`, for earlier clients: `before_mjd` of the next page", "d", 61093.129624)
    ]


@dataclass(frozen=True)
class ObservedTile:
    """An image as one mark on a chart or on the sky: its numbers without its files and sources.

    `flux_ratio`: measured over catalogued flux, the median of the sources that were matched.
    """

    id: int
    group: str
    mjd: float
    ra_deg: float
    dec_deg: float
    rms_jy: float
    peak_jy: float
    verdict: str | None
    calibrated: bool
    flux_ratio: float | None
    expected_rms_jy: float | None
    flagged_fraction: float | None
    missing_subbands: tuple[int, ...]

    @property
    def noise_ratio(self) -> float | None:
        """Noise over the thermal rms; None where that is not known."""
        return self.rms_jy / self.expected_rms_jy if self.expected_rms_jy else None
