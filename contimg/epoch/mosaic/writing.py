"""Files of a mosaic: FITS images with their header, and pictures; each under a temporary name, renamed at the end."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.time import Time

import contimg
from contimg.common.files.staging import disk_errors, staged
from contimg.epoch.mosaic.assessment import Overlaps, Sky
from contimg.epoch.mosaic.grid import STEP, Grid
from contimg.epoch.mosaic.members import Image
from contimg.epoch.mosaic.plots import write_preview, write_qa, write_thumbnail
from contimg.epoch.mosaic.reprojection import fill_rms
from contimg.epoch.products import Mosaic
from contimg.sky.comparison.astrometry import write_shift
from contimg.sky.comparison.cards import write_comparison
from contimg.sky.comparison.matching import MatchedSources
from contimg.tile.image.fits_image import write_fits
from contimg.tile.image.plots.comparison import write_comparison as write_comparison_plots

SOFTWARE = {"NUMPY": "numpy", "SCIPY": "scipy", "ASTROPY": "astropy", "RADIOBM": "radio-beam"}
BYTES_PER_PIXEL = 4

# Keyword, field of the record and comment; a value of None is an undefined keyword.
CARDS = (
    ("RMS", "rms_jy", "[Jy/beam] noise where the weight is high"),
    ("RMSPRED", "expected_rms_jy", "[Jy/beam] noise the weights predict there"),
    ("RMSHIST", "history_rms_jy", "[Jy/beam] noise of earlier mosaics"),
    ("PEAK", "peak_jy", "[Jy/beam] brightest pixel"),
    ("PBCUT", "pb_cutoff", "tiles are used where the primary beam is above"),
    ("WGTCUT", "weight_cutoff", "[1/Jy2] blank where the weight is below"),
    ("WGTMAX", "peak_weight", "[1/Jy2] highest weight"),
    ("NMEMBERS", "member_count", "tile images in the mosaic"),
    ("NSHARED", "shared_sources", "sources compared between tiles"),
    ("FLUXSCAT", "flux_scatter", "scatter of fluxes between tiles"),
    ("FLUXSTEP", "flux_step", "largest difference of flux scales"),
    ("POSSCAT", "position_scatter_beams", "[beam] scatter of positions between tiles"),
    ("FLUXSEAM", "flux_seam", "step of the flux scale at borders"),
    ("RMSSEAM", "rms_seam", "step of the noise at borders"),
    ("PBDEV", "beam_deviation", "primary beam over the one applied, less 1"),
    ("ARTEFACT", "artefact_ratio", "noise around bright sources over RMSPRED"),
    ("VERDICT", "verdict", "quality"),
)
# Of each member, with its number from 001 on.
MEMBER_CARDS = (
    ("MEMB", "name", "tile image"),
    ("MWGT", "weight", "part of the summed weight"),
    ("MRMS", "rms_jy", "[Jy/beam] its noise"),
    ("MBKG", "background_jy", "[Jy/beam] level subtracted"),
    ("MEAS", "east_arcsec", "[arcsec] shift applied, east"),
    ("MNOR", "north_arcsec", "[arcsec] shift applied, north"),
    ("MSCL", "flux_scale", "its fluxes over its neighbours'"),
    ("MCAL", "calibration_class", "class of its calibration"),
    ("MAGE", "calibration_age_h", "[h] age of its calibration"),
)


Cards = Sequence[tuple[str, str | float | int | bool, str]]
REPROJECTED: Cards = (("INTERPOL", "cubic B-spline", "interpolation of the tile images"),)


@dataclass(frozen=True)
class MosaicFiles:
    """Paths of a mosaic's files.

    Attributes
    ----------
    fits, weight, rms : FITS images of flux, weight (1/Jy²) and noise.
    png, thumbnail, qa, comparison : pictures.
    """

    fits: Path
    weight: Path
    rms: Path
    png: Path
    thumbnail: Path
    qa: Path
    comparison: Path

    @classmethod
    def of(cls, output: Path) -> "MosaicFiles":
        """Return the paths beside a mosaic.

        Parameters
        ----------
        output : the mosaic, `NAME.fits`.
        """
        stem = output.name.removesuffix(".fits")
        suffixes = (".weight.fits", ".rms.fits", ".png", ".thumb.png", ".qa.png", ".comparison.png")
        return cls(output, *(output.with_name(f"{stem}{suffix}") for suffix in suffixes))


def write_mosaic(
    mosaic: Mosaic, files: MosaicFiles, flux: Image, weight: Image, grid: Grid, sky: Sky, overlaps: Overlaps,
    offset: tuple[int, int], matched: MatchedSources | None, cards: Cards,
) -> int:  # fmt: skip
    """Write all files of a mosaic, or none; the mosaic itself is renamed last.

    Parameters
    ----------
    mosaic : the record, graded.
    files : the paths.
    flux, weight : the mosaic (Jy per beam) and its weight (1/Jy²).
    grid : of both.
    sky : local noise.
    overlaps : what the QA plots show.
    offset : first row and column of the mosaic in the grid of `overlaps`.
    matched : sources of the reference catalogue that the mosaic was compared with, for the plots; None: no plots.
    cards : further cards of the header.

    Returns
    -------
    Size of the files, bytes.

    Raises
    ------
    Transient : the disk is full or cannot be written.
    """
    header = mosaic_header(mosaic, grid)
    header.update({keyword: (value, comment) for keyword, value, comment in cards})
    frequency = _frequency_unit(overlaps, grid, offset)
    writers: dict[Path, Callable[[Path], None]] = {
        files.fits: partial(write_fits, image=flux, header=header),
        files.weight: lambda path: write_fits(path, weight, _map_header(header, "Weight", "1/Jy2"), frequency),
        files.rms: lambda path: _write_rms(path, weight, sky, header),
        files.png: partial(write_preview, flux=flux, weight=weight, mosaic=mosaic, wcs=grid.wcs),
        files.thumbnail: partial(write_thumbnail, flux=flux, mosaic=mosaic),
    }
    if mosaic.qa_png_path:
        writers[files.qa] = partial(write_qa, mosaic=mosaic, overlaps=overlaps)
    if matched is not None:
        writers[files.comparison] = partial(write_comparison_plots, tile_image=mosaic, matched=matched)
    need_bytes = 3 * BYTES_PER_PIXEL * flux.size
    with ExitStack() as stack:
        # Leaving the stack renames in the reverse order of entering.
        temporary = {
            target: stack.enter_context(staged(target, need_bytes=need_bytes if target == files.fits else 0))
            for target in writers
        }
        size = 0
        for target, writer in writers.items():
            with disk_errors(target):
                writer(temporary[target])
                size += temporary[target].stat().st_size
    return size


def _write_rms(path: Path, weight: Image, sky: Sky, header: fits.Header) -> None:
    rms = np.empty_like(weight)
    fill_rms(rms, weight, sky.noise.values, sky.noise.first, sky.noise.step)
    write_fits(path, rms, _map_header(header, "Noise", "JY/BEAM"))


def mosaic_header(mosaic: Mosaic, grid: Grid) -> fits.Header:
    """Make the header of a mosaic: coordinates, beam, numbers, members, software.

    Parameters
    ----------
    mosaic : the record.
    grid : its celestial coordinates.
    """
    header = fits.Header()
    wcs = grid.wcs.wcs
    axes = zip(wcs.ctype, wcs.crval, wcs.crpix, wcs.cdelt, strict=True)
    for axis, (kind, value, pixel, step) in enumerate(axes, start=1):
        header.update({f"CTYPE{axis}": kind, f"CRPIX{axis}": float(pixel), f"CRVAL{axis}": float(value)})
        header.update({f"CDELT{axis}": float(step), f"CUNIT{axis}": "deg"})
    header.update(
        {
            "CTYPE3": "FREQ",
            "CRPIX3": 1.0,
            "CRVAL3": mosaic.freq_hz,
            "CDELT3": mosaic.bandwidth_hz or 1.0,
            "CUNIT3": "Hz",
        }
    )
    header.update({"CTYPE4": "STOKES", "CRPIX4": 1.0, "CRVAL4": 1.0, "CDELT4": 1.0, "CUNIT4": ""})
    header.update({"RADESYS": "ICRS", "SPECSYS": "TOPOCENT"})
    header["RESTFRQ"] = (mosaic.freq_hz, "[Hz] effective frequency")
    header.update({"BUNIT": "JY/BEAM", "BTYPE": "Intensity", "OBJECT": mosaic.fits_path.name.removesuffix(".fits")})
    header["BMAJ"] = (mosaic.beam_major_arcsec / 3600, "[deg] common beam, major axis FWHM")
    header["BMIN"] = (mosaic.beam_minor_arcsec / 3600, "[deg] minor axis FWHM")
    header["BPA"] = (mosaic.beam_angle_deg, "[deg] position angle, north through east")
    if mosaic.mjd_start is not None and mosaic.mjd_end is not None:
        header["TIMESYS"] = "UTC"
        for keyword, mjd, comment in (
            ("DATE-BEG", mosaic.mjd_start, "beginning of the first member"),
            ("DATE-OBS", mosaic.mjd_start, "the same"),
            ("DATE-END", mosaic.mjd_end, "end of the last member"),
        ):
            header[keyword] = (Time(mjd, format="mjd", scale="utc").isot, comment)
        middle = (mosaic.mjd_start + mosaic.mjd_end) / 2
        header["DATE-AVG"] = (Time(middle, format="mjd", scale="utc").isot, "middle between both")
        mjds = {"MJD-BEG": mosaic.mjd_start, "MJD-OBS": mosaic.mjd_start, "MJD-END": mosaic.mjd_end, "MJD-AVG": middle}
        header.update(mjds)
    header["ORIGIN"] = "contimg"
    header["PBCOR"] = (True, "fluxes are corrected for the primary beam")
    header.update({keyword: (getattr(mosaic, name), comment) for keyword, name, comment in CARDS})
    write_comparison(header, mosaic)
    if mosaic.shift_east_arcsec is not None and mosaic.shift_north_arcsec is not None:
        write_shift(header, mosaic.shift_east_arcsec, mosaic.shift_north_arcsec)
    header["NOMITTED"] = (len(mosaic.omitted), "tile images left out")
    for number, member in enumerate(mosaic.members, start=1):
        for keyword, name, comment in MEMBER_CARDS:
            header[f"{keyword}{number:03d}"] = (getattr(member, name), comment)
    for number, omitted in enumerate(mosaic.omitted, start=1):
        header[f"OMIT{number:03d}"] = (_ascii(omitted.fits_path.name)[:60], "left out")
        header["COMMENT"] = _ascii(f"Left out: {omitted.fits_path.name}: {omitted.reason}")
    header["CONTIMG"] = (contimg.__version__, "version")
    for keyword, package in SOFTWARE.items():
        header[keyword] = (version(package), "version")
    return header


def _map_header(header: fits.Header, kind: str, unit: str) -> fits.Header:
    header = header.copy()
    header.update({"BTYPE": kind, "BUNIT": unit})
    return header


def _frequency_unit(overlaps: Overlaps, grid: Grid, offset: tuple[int, int]) -> fits.ImageHDU:
    """Extension with the effective frequency on the coarse lattice."""
    first = [-(-start // STEP) for start in offset]
    last = [(start + length - 1) // STEP + 1 for start, length in zip(offset, grid.shape, strict=True)]
    values = overlaps.coarse_freq_hz[first[0] : last[0], first[1] : last[1]]
    unit = fits.ImageHDU(values.astype(">f4"), name="FREQUENCY")
    header = grid.wcs.to_header()
    for axis, number in ((1, 1), (2, 0)):
        start = first[number] * STEP - offset[number]
        header[f"CRPIX{axis}"] = (grid.wcs.wcs.crpix[axis - 1] - 1 - start) / STEP + 1
        header[f"CDELT{axis}"] = grid.wcs.wcs.cdelt[axis - 1] * STEP
    unit.header.update(header)
    unit.header["BUNIT"] = "Hz"
    unit.header["COMMENT"] = "Effective frequency: the mean, weighted as in the mosaic"
    return unit


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii").replace("\n", " ")
