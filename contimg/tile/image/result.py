"""What the image stage hands back: the product's files and its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contimg.quality.grades import QualityGrade
from contimg.tile.image.sources.agreement import Agreement, FoundSource, Match


@dataclass(frozen=True)
class Beam:
    """An elliptical Gaussian: full widths at half maximum (arcsec) and position angle (deg, north through east)."""

    major_arcsec: float
    minor_arcsec: float
    angle_deg: float


@dataclass(frozen=True)
class Calibration:
    """Which calibration the imaged column carries.

    Attributes
    ----------
    column : the imaged column, CORRECTED_DATA or DATA.
    set : name of the calibration set, None when uncalibrated.
    calibrator, mjd : its calibrator and the time of its observation, where known.
    reason : why it is uncalibrated; empty otherwise.
    """

    column: str
    set: str | None = None
    calibrator: str | None = None
    mjd: float | None = None
    reason: str = ""

    @property
    def calibrated(self) -> bool:
        """Whether a calibration set was applied."""
        return self.set is not None


@dataclass(frozen=True)
class Products:
    """Where a group's image lies.

    Attributes
    ----------
    fits, primary_beam : the image of apparent fluxes and flat noise, and the primary beam.
    corrected : the image over the primary beam: true fluxes, noise that rises outwards.
    png, thumbnail, zoom : the preview, a small one, and the brightest source.
    uv, spectrum : plots; there only when they were asked for.
    votable, csv : tables of the sources found; there only when they were looked for.
    """

    fits: Path
    primary_beam: Path
    corrected: Path
    png: Path
    thumbnail: Path
    zoom: Path
    uv: Path
    spectrum: Path
    votable: Path
    csv: Path

    @classmethod
    def of(cls, group: str, directory: Path) -> "Products":
        """The paths of a group's products in a directory."""
        pictures = (".png", ".thumb.png", ".zoom.png", ".uv.png", ".spectrum.png")
        suffixes = (".fits", ".pb.fits", ".pbcor.fits", *pictures, ".sources.vot", ".sources.csv")
        return cls(*(directory / f"{group}{suffix}" for suffix in suffixes))


@dataclass(frozen=True)
class QuickLook:
    """One image of one group.

    Attributes
    ----------
    group : the group's name.
    ms : the Measurement Set it was made from.
    products : its files.
    phase_centre_deg : right ascension and declination of the middle pixel, ICRS.
    size, pixel_arcsec : pixels on a side and their size.
    beam : the restoring beam.
    rms_jy : noise per beam, from the median absolute deviation of the residual.
    expected_rms_jy : thermal noise per beam of the telescope's SEFD with the samples and weights used.
    peak_jy : brightest pixel, per beam; apparent, so not corrected for the primary beam.
    minimum_jy : faintest pixel, per beam.
    residual_peak_jy : largest absolute residual, per beam.
    iterations, components, cleaned_jy : clean's iterations, its model's pixels and their total flux.
    freq_hz, bandwidth_hz : weighted mean frequency and the width of the band that has data.
    start_mjd_s, mid_mjd_s : beginning and middle of the observation, UTC.
    exposure_s : time integrated.
    unflagged_fraction : samples of cross-correlations that were left to image.
    channel_average : native channels averaged into one.
    calibration : what the data were calibrated with.
    bowl_jy : median around the brightest source, per beam.
    agreement : with the catalogue, of the sources that the image should show.
    sources : found blindly, the brightest first; empty when they were not looked for.
    quality : its grade, and the reasons where it is not good.
    seconds : time of each step.
    """

    group: str
    ms: Path
    products: Products
    phase_centre_deg: tuple[float, float]
    size: int
    pixel_arcsec: float
    beam: Beam
    rms_jy: float
    expected_rms_jy: float
    peak_jy: float
    minimum_jy: float
    residual_peak_jy: float
    iterations: int
    components: int
    cleaned_jy: float
    freq_hz: float
    bandwidth_hz: float
    start_mjd_s: float
    mid_mjd_s: float
    exposure_s: float
    unflagged_fraction: float
    channel_average: int
    calibration: Calibration
    quality: QualityGrade
    seconds: Mapping[str, float]
    bowl_jy: float = 0.0
    agreement: Agreement = field(default_factory=Agreement)
    sources: tuple[FoundSource, ...] = ()

    @property
    def matches(self) -> tuple[Match, ...]:
        """Catalogued sources that the image should show, as it shows them."""
        return self.agreement.matches

    @property
    def beam_major_arcsec(self) -> float:
        """Length of the restoring beam."""
        return self.beam.major_arcsec

    @property
    def beam_minor_arcsec(self) -> float:
        """Width of the restoring beam."""
        return self.beam.minor_arcsec

    @property
    def catalogue_offset_arcsec(self) -> float | None:
        """Median offset from the catalogue; None without a match."""
        return self.agreement.offset_arcsec if self.matches else None

    @property
    def catalogue_flux_ratio(self) -> float | None:
        """Median flux over the catalogue's; None without a match."""
        return self.agreement.flux_ratio if self.matches else None

    @property
    def calibration_set(self) -> str | None:
        """Name of the caltable set applied; None when uncalibrated."""
        return self.calibration.set

    @property
    def calibration_note(self) -> str | None:
        """Why it is uncalibrated; None otherwise."""
        return self.calibration.reason or None

    @property
    def dynamic_range(self) -> float:
        """Peak over noise."""
        return self.peak_jy / self.rms_jy if self.rms_jy > 0 else 0.0
