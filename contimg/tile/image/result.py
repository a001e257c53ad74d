"""Result of the image stage: the tile image with its files and what its header and plots state besides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contimg.quality.calibration import CalibrationNumbers
from contimg.tile.image.sources.matches import FoundSource, Match, SubtractedSource
from contimg.tile.products import TileImage


@dataclass(frozen=True)
class Beam:
    """Elliptical Gaussian: full widths at half maximum (arcsec) and position angle (deg, north through east)."""

    major_arcsec: float
    minor_arcsec: float
    angle_deg: float


@dataclass(frozen=True)
class Calibration:
    """Calibration of the imaged column.

    Attributes
    ----------
    column : str
        The imaged column, CORRECTED_DATA or DATA.
    set : str or None
        Name of the calibration set; None when uncalibrated.
    calibrator, mjd : str, float or None
        Its calibrator and the time of that observation, where known.
    reason : str
        Why the column is uncalibrated, or why its set is not good; empty otherwise.
    grade : str or None
        Grade of the set, `bad` of a column that was left uncalibrated; None where it is not known.
    hand_ratio : float or None
        Median of |g_X|^2 / |g_Y|^2 of the gains applied.
    numbers : CalibrationNumbers
        Class and age of the calibration.
    """

    column: str
    set: str | None = None
    calibrator: str | None = None
    mjd: float | None = None
    reason: str = ""
    grade: str | None = None
    hand_ratio: float | None = None
    numbers: CalibrationNumbers = field(default_factory=CalibrationNumbers)


@dataclass(frozen=True)
class Products:
    """Paths of an image's files.

    Attributes
    ----------
    fits, primary_beam : Path
        The image of apparent fluxes and flat noise, and the primary beam.
    corrected : Path
        The image over the primary beam: true fluxes, noise that rises outwards.
    png, thumbnail, zoom : Path
        The preview, a small one, and the brightest source.
    comparison : Path
        Plots of the comparison with the reference catalogue, written where there is one.
    uv, spectrum : Path
        Plots, written with the option `plots`.
    votable, csv : Path
        Tables of the sources, written with the option `find_sources`.
    subtracted : Path
        Table of the sources outside the image that were cleaned.
    """

    fits: Path
    primary_beam: Path
    corrected: Path
    png: Path
    thumbnail: Path
    zoom: Path
    comparison: Path
    uv: Path
    spectrum: Path
    votable: Path
    csv: Path
    subtracted: Path

    @classmethod
    def of(cls, group: str, directory: Path) -> "Products":
        """Return the paths of a group's files in a directory.

        Parameters
        ----------
        group : name of the group; the files' names begin with it.
        directory : where the files are or will be.
        """
        pictures = (".png", ".thumb.png", ".zoom.png", ".comparison.png", ".uv.png", ".spectrum.png")
        suffixes = (".fits", ".pb.fits", ".pbcor.fits", *pictures, ".sources.vot", ".sources.csv", ".subtracted.csv")
        return cls(*(directory / f"{group}{suffix}" for suffix in suffixes))


@dataclass(frozen=True, kw_only=True)
class ImagingResult(TileImage):
    """A tile image with what only the stage, its files and the command line need.

    Attributes
    ----------
    group : str
        Name of the group.
    ms : Path
        The Measurement Set that was imaged.
    products : Products
        All files.
    calibration : Calibration
        The imaged column and its calibration.
    telescope : str
        Name of the telescope.
    bandwidth_hz : float
        Width of the channels that have data.
    start_mjd_s, exposure_s : float
        Beginning of the observation (UTC, MJD seconds) and integrated time.
    channel_average : int
        Native channels averaged into one.
    residual_peak_jy : float
        Largest absolute residual, Jy per beam.
    components, cleaned_jy : int, float
        Pixels of clean's model and their total flux.
    matches : tuple of Match
        Catalogued sources that the image should show, as it shows them, brightest first.
    found_sources : tuple of FoundSource
        Sources found blindly, brightest first; empty without the option `find_sources`.
    subtracted : tuple of SubtractedSource
        Sources outside the image that were cleaned, brightest first.
    seconds : mapping of str to float
        Time of each step, s.
    """

    group: str
    ms: Path
    products: Products
    calibration: Calibration
    telescope: str
    bandwidth_hz: float
    start_mjd_s: float
    exposure_s: float
    channel_average: int
    residual_peak_jy: float
    components: int
    cleaned_jy: float
    verdict: str = ""
    matches: tuple[Match, ...] = ()
    found_sources: tuple[FoundSource, ...] = ()
    subtracted: tuple[SubtractedSource, ...] = ()
    seconds: Mapping[str, float]
