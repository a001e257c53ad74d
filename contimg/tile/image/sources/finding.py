"""Blind source finding with PyBDSF (Mohan & Rafferty 2015), and its tables: VOTable and CSV.

PyBDSF is an optional extra: it is GPL, needs a Fortran runtime, and imaging does not depend on it.
"""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.votable import from_table, writeto
from astropy.table import QTable
from astropy.wcs import WCS

from contimg.common.errors import BadInput, Misconfigured
from contimg.tile.image.fits_image import write_fits
from contimg.tile.image.gridding.gridder import Image
from contimg.tile.image.sources.matches import FoundSource

ISLAND_SIGMA = 3.5  # lower limit of a source's pixels, over the local noise
NOISE_BOX_BEAMS, NOISE_STEP_BEAMS = 30, 8
# PyBDSF drops a Gaussian whose ellipse at this part of its width leaves the island. With its default of 0.5 it drops
# half of the sources of S/N 7 to 10 where the beam is more than twice longer than wide.
MAX_SIZE_FWHM = 0.1
SYSTEMATIC_ERROR = 0.01  # of fluxes, beside the noise: what gains, cleaning and sampling leave in simulated tiles
EDGE_BEAMS = 3.0  # from the edge of the image, within which sources are marked
STRONG_BEAMS, STRONG_FRACTION = 10.0, 0.01  # distance and part of a strong source's peak below which sources are marked
EDGE, NEAR_STRONG = "edge", "near strong"
UNITS = {
    "ra_deg": "deg", "dec_deg": "deg", "ra_error_arcsec": "arcsec", "dec_error_arcsec": "arcsec",
    "peak_jy": "Jy/beam", "peak_error_jy": "Jy/beam", "flux_jy": "Jy", "flux_error_jy": "Jy",
    "major_arcsec": "arcsec", "minor_arcsec": "arcsec", "angle_deg": "deg", "local_rms_jy": "Jy/beam",
    "attenuation": "",
}  # fmt: skip


def find_sources(
    image: Image, pb: Image, header: fits.Header, min_sigma: float, directory: Path
) -> tuple[FoundSource, ...]:
    """Find the sources whose peak exceeds a multiple of the local noise, brightest first.

    Parameters
    ----------
    image, pb : apparent image and primary beam, shape (size, size).
    header : celestial coordinates and synthesized beam of the image.
    min_sigma : minimum peak over the local noise.
    directory : for scratch files.

    Raises
    ------
    Misconfigured : PyBDSF is not installed.
    BadInput : PyBDSF fails on the image.
    """
    try:
        bdsf = import_module("bdsf")
    except ImportError as error:
        raise Misconfigured(
            f"find_sources: PyBDSF cannot be imported ({error}); `pip install 'contimg[sources]'`, or switch it off"
        ) from error
    beam_pixels = header["BMAJ"] / abs(header["CDELT2"])
    box = round(NOISE_BOX_BEAMS * beam_pixels), round(NOISE_STEP_BEAMS * beam_pixels)
    with TemporaryDirectory(prefix="sources-", dir=directory) as scratch:
        path = Path(scratch) / "image.fits"
        write_fits(path, image, header)
        try:
            result = bdsf.process_image(
                str(path), thresh="hard", thresh_pix=min_sigma, thresh_isl=ISLAND_SIGMA, rms_box=box, quiet=True,
                ncores=1, flag_maxsize_fwhm=MAX_SIZE_FWHM,
            )  # fmt: skip
        except RuntimeError as error:
            raise BadInput(f"PyBDSF cannot find sources in the image ({error}); switch find_sources off") from error
    wcs = WCS(header).celestial
    sources = [_convert_source(source, pb, wcs) for source in result.sources]
    return mark_sources(sorted(sources, key=lambda source: -source.peak_jy), header, image.shape)


def mark_sources(
    sources: Sequence[FoundSource], header: fits.Header, shape: tuple[int, ...]
) -> tuple[FoundSource, ...]:
    """Mark the sources that may be false: at the edge of the image, and faint ones around a strong source.

    Parameters
    ----------
    sources : the brightest first.
    header : celestial coordinates and synthesized beam of the image.
    shape : of the image, (y, x).
    """
    if not sources:
        return ()
    sky_deg = np.array([[source.ra_deg, source.dec_deg] for source in sources])
    positions = np.stack(WCS(header).celestial.all_world2pix(*sky_deg.T, 0), axis=1)
    beam_pixels = header["BMAJ"] / abs(header["CDELT2"])
    from_edge = np.minimum(positions, np.array([shape[1], shape[0]]) - 1 - positions).min(axis=1)
    marked = []
    for i, source in enumerate(sources):
        is_strong = np.array([STRONG_FRACTION * brighter.peak_jy > source.peak_jy for brighter in sources[:i]], bool)
        distances = np.hypot(*(positions[:i][is_strong] - positions[i]).T)
        mark = NEAR_STRONG if (distances < STRONG_BEAMS * beam_pixels).any() else ""
        marked.append(replace(source, mark=EDGE if from_edge[i] < EDGE_BEAMS * beam_pixels else mark))
    return tuple(marked)


def _convert_source(source: Any, pb: Image, wcs: WCS) -> FoundSource:
    """A source of PyBDSF, which has degrees, also in the errors of right ascension."""
    ra, dec = source.posn_sky_centroid
    ra_error, dec_error = source.posn_sky_centroidE
    major, minor, angle = source.size_sky
    peak_jy, flux_jy = float(source.peak_flux_max), float(source.total_flux)
    x, y = (round(float(value)) for value in wcs.all_world2pix(ra, dec, 0))
    inside = 0 <= x < pb.shape[1] and 0 <= y < pb.shape[0]
    return FoundSource(
        name=position_name(ra, dec), ra_deg=float(ra) % 360, dec_deg=float(dec),
        ra_error_arcsec=float(ra_error * np.cos(np.deg2rad(dec)) * 3600), dec_error_arcsec=float(dec_error * 3600),
        peak_jy=peak_jy, peak_error_jy=float(np.hypot(source.peak_flux_maxE, SYSTEMATIC_ERROR * peak_jy)),
        flux_jy=flux_jy, flux_error_jy=float(np.hypot(source.total_fluxE, SYSTEMATIC_ERROR * flux_jy)),
        major_arcsec=float(major * 3600),
        minor_arcsec=float(minor * 3600), angle_deg=float(angle) % 180, local_rms_jy=float(source.rms_isl),
        attenuation=float(pb[y, x]) if inside else float("nan"),
    )  # fmt: skip


def position_name(ra_deg: float, dec_deg: float, *, with_tenths: bool = False) -> str:
    """Return `JHHMMSS+DDMMSS` of a position (ICRS), truncated as the IAU specifies.

    Parameters
    ----------
    ra_deg, dec_deg : position, ICRS; right ascension of any turn.
    with_tenths : with a tenth of a second of right ascension, `JHHMMSS.s+DDMMSS`.
    """
    steps = 10 if with_tenths else 1
    seconds, step = divmod(int(ra_deg % 360 / 15 * (3600 * steps)), steps)
    arcseconds = int(abs(dec_deg) * 3600)
    ra, dec = ("".join(f"{part:02d}" for part in (n // 3600, n // 60 % 60, n % 60)) for n in (seconds, arcseconds))
    return f"J{ra}{f'.{step}' if with_tenths else ''}{'-' if dec_deg < 0 else '+'}{dec}"


def make_source_table(sources: Sequence[FoundSource]) -> QTable:
    """Make a table of the sources, with units.

    Parameters
    ----------
    sources : in the order of the rows; may be empty.

    Returns
    -------
    A table with the columns `name`, `UNITS` and `mark`, named as the fields of `FoundSource`.
    """
    table = QTable(
        {name: [getattr(source, name) for source in sources] for name in ("name", *UNITS, "mark")},
        dtype=["U32", *["f8"] * len(UNITS), "U16"],
    )
    for name, unit in UNITS.items():
        table[name].unit = unit
    return table


def write_votable(path: Path, sources: Sequence[FoundSource]) -> None:
    """Write the sources as a VOTable, with its fields also when there are no sources.

    Parameters
    ----------
    path : the file; one that exists is overwritten.
    sources : in the order of the rows; may be empty.
    """
    with path.open("wb") as file:
        writeto(from_table(make_source_table(sources)), file)


def write_csv(path: Path, sources: Sequence[FoundSource]) -> None:
    """Write the sources as CSV, with a header also when there are no sources.

    Parameters
    ----------
    path : the file; one that exists is overwritten.
    sources : in the order of the rows; may be empty.
    """
    with path.open("w", encoding="utf-8", newline="") as text:
        make_source_table(sources).write(text, format="ascii.csv")
