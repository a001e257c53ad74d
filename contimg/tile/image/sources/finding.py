"""Blind source finding with PyBDSF (Mohan & Rafferty 2015), and its tables: VOTable and CSV.

PyBDSF is an optional extra: it is GPL, needs a Fortran runtime, and the pipeline images without it.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.votable import from_table, writeto
from astropy.table import QTable
from astropy.wcs import WCS

from contimg.errors import BadInput, Misconfigured
from contimg.tile.image.fits_image import write_fits
from contimg.tile.image.gridding.gridding import Image
from contimg.tile.image.sources.agreement import FoundSource

ISLAND_SIGMA = 3.5  # how far down a source's pixels reach
NOISE_BOX_BEAMS, NOISE_STEP_BEAMS = 30, 8
UNITS = {
    "ra_deg": "deg",
    "dec_deg": "deg",
    "ra_error_arcsec": "arcsec",
    "dec_error_arcsec": "arcsec",
    "peak_jy": "Jy/beam",
    "peak_error_jy": "Jy/beam",
    "flux_jy": "Jy",
    "flux_error_jy": "Jy",
    "major_arcsec": "arcsec",
    "minor_arcsec": "arcsec",
    "angle_deg": "deg",
    "local_rms_jy": "Jy/beam",
    "attenuation": "",
}


def find_sources(
    image: Image, attenuation: Image, header: fits.Header, sigma: float, directory: Path
) -> tuple[FoundSource, ...]:
    """Sources whose peak exceeds `sigma` times the local noise, the brightest first; scratch files in `directory`.

    Raises Misconfigured when PyBDSF is not installed, BadInput when it cannot work on the image.
    """
    try:
        bdsf = import_module("bdsf")
    except ImportError as error:
        raise Misconfigured(
            f"find_sources: PyBDSF is not there ({error}); `pip install 'contimg[sources]'`, or switch it off"
        ) from error
    beam_pixels = header["BMAJ"] / abs(header["CDELT2"])
    box = round(NOISE_BOX_BEAMS * beam_pixels), round(NOISE_STEP_BEAMS * beam_pixels)
    with TemporaryDirectory(prefix="sources-", dir=directory) as scratch:
        path = Path(scratch) / "image.fits"
        write_fits(path, image, header)
        try:
            found = bdsf.process_image(
                str(path), thresh_pix=sigma, thresh_isl=ISLAND_SIGMA, rms_box=box, quiet=True, ncores=1
            )
        except RuntimeError as error:
            raise BadInput(f"PyBDSF cannot find sources in the image ({error}); switch find_sources off") from error
    wcs = WCS(header).celestial
    return tuple(sorted((_source(one, attenuation, wcs) for one in found.sources), key=lambda one: -one.peak_jy))


def _source(found: Any, attenuation: Image, wcs: WCS) -> FoundSource:
    """PyBDSF's source in our words: it gives degrees, and errors of right ascension in degrees of it."""
    ra, dec = found.posn_sky_centroid
    ra_error, dec_error = found.posn_sky_centroidE
    major, minor, angle = found.size_sky
    x, y = (round(float(value)) for value in wcs.all_world2pix(ra, dec, 0))
    inside = 0 <= x < attenuation.shape[1] and 0 <= y < attenuation.shape[0]
    return FoundSource(
        name=position_name(ra, dec),
        ra_deg=float(ra) % 360,
        dec_deg=float(dec),
        ra_error_arcsec=float(ra_error * np.cos(np.deg2rad(dec)) * 3600),
        dec_error_arcsec=float(dec_error * 3600),
        peak_jy=float(found.peak_flux_max),
        peak_error_jy=float(found.peak_flux_maxE),
        flux_jy=float(found.total_flux),
        flux_error_jy=float(found.total_fluxE),
        major_arcsec=float(major * 3600),
        minor_arcsec=float(minor * 3600),
        angle_deg=float(angle) % 180,
        local_rms_jy=float(found.rms_isl),
        attenuation=float(attenuation[y, x]) if inside else float("nan"),
    )


def position_name(ra_deg: float, dec_deg: float) -> str:
    """`JHHMMSS+DDMMSS`, truncated as the IAU wants it."""
    seconds, arcseconds = int(ra_deg % 360 / 15 * 3600), int(abs(dec_deg) * 3600)
    right = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
    return (
        f"J{right}{'-' if dec_deg < 0 else '+'}{arcseconds // 3600:02d}{arcseconds // 60 % 60:02d}{arcseconds % 60:02d}"
    )


def source_table(sources: Sequence[FoundSource]) -> QTable:
    """The sources as a table with units and descriptions."""
    table = QTable(
        {name: [getattr(one, name) for one in sources] for name in ("name", *UNITS)},
        dtype=["U32", *["f8"] * len(UNITS)],
    )
    for name, unit in UNITS.items():
        table[name].unit = unit
    return table


def write_votable(path: Path, sources: Sequence[FoundSource]) -> None:
    """The sources as a VOTable, with its fields even when there are none."""
    with path.open("wb") as file:
        writeto(from_table(source_table(sources)), file)


def write_csv(path: Path, sources: Sequence[FoundSource]) -> None:
    """The sources as CSV, with a header even when there are none."""
    with path.open("w", encoding="utf-8", newline="") as text:
        source_table(sources).write(text, format="ascii.csv")
