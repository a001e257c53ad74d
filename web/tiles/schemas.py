"""Computed fields of the API's answers about tiles. Import it before a model of the records is made."""

from datetime import UTC, datetime
from pathlib import Path

from flask import url_for
from pydantic import computed_field

from contimg.instrument.time import mjd_to_unix
from contimg.store import StoredImage
from web.http.schemas import RecordSchema, computes


@computes(StoredImage)
class ImageLinks(RecordSchema):
    """What an image's answer has beside the fields of its record: time of observation (UTC) and URLs of its files."""

    id: int
    mjd: float
    calibration_set: str | None
    png_path: Path | None
    thumbnail_path: Path | None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def observed_at(self) -> datetime:
        """Time of observation, UTC."""
        return datetime.fromtimestamp(mjd_to_unix(self.mjd), UTC)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def calibrated(self) -> bool:
        """Whether a caltable set was applied."""
        return self.calibration_set is not None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def fits_url(self) -> str:
        """Path of the FITS image."""
        return url_for("images.fits", image_id=self.id)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def png_url(self) -> str | None:
        """Path of the preview."""
        return url_for("images.png", image_id=self.id) if self.png_path else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def thumbnail_url(self) -> str | None:
        """Path of the small preview."""
        return url_for("images.thumbnail", image_id=self.id) if self.thumbnail_path else None
