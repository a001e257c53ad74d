"""Catalogue of an image's field, and its sources as the image shows them: offsets and fluxes."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from contimg.common.errors import BadInput, Misconfigured
from contimg.instrument.calibrators import SPECTRA, catalogue
from contimg.tile.image.gridding.gridder import Image
from contimg.tile.image.options import ImageOptions
from contimg.tile.image.sources.matches import CatalogueSource, Match
from contimg.tile.image.sources.photometry import measure_in_image

MIN_SNR = 10.0  # of the apparent flux that the catalogue predicts
MIN_PB = 0.2  # below it the primary beam is not known well enough to compare fluxes
FITS_SUFFIXES = (".fits", ".fit", ".fits.gz")


def read_catalogue(options: ImageOptions, freq_hz: float) -> list[CatalogueSource]:
    """Read the catalogue of the options, or take the flux calibrators with their spectra at a frequency.

    The other calibrators are left out: their fluxes were measured decades ago, and vary. So are all at a frequency
    outside their spectra.

    Parameters
    ----------
    options : name the file and its columns.
    freq_hz : frequency of the image.

    Raises
    ------
    Misconfigured : the file cannot be read as a table, or lacks a column.
    """
    if not options.catalogue:
        return [
            CatalogueSource(
                calibrator.label, float(np.rad2deg(calibrator.ra_rad)), float(np.rad2deg(calibrator.dec_rad)),
                float(calibrator.flux_jy(freq_hz)),
            )
            for calibrator in catalogue()
            if calibrator.alias in SPECTRA and calibrator.has_flux_at(freq_hz)
        ]  # fmt: skip
    path = Path(options.catalogue)
    columns = (options.catalogue_ra, options.catalogue_dec, options.catalogue_flux)
    try:
        rows = list(_read_rows(path))
        return [
            CatalogueSource(str(row.get("name", number)), *(float(row[column]) for column in columns))
            for number, row in enumerate(rows, 1)
        ]
    except OSError as error:
        raise Misconfigured(f"catalogue={path}: cannot be read ({error}); give a CSV or FITS table") from error
    except KeyError as error:
        raise Misconfigured(
            f"catalogue={path}: has no column {error}; name its columns in catalogue_ra, _dec, _flux"
        ) from error
    except ValueError as error:
        raise Misconfigured(f"catalogue={path}: {error}; positions are degrees and fluxes Jy") from error


def _read_rows(path: Path) -> Iterable[dict[str, Any]]:
    if path.name.lower().endswith(FITS_SUFFIXES):
        table = Table.read(path, format="fits")
        return [dict(zip(table.colnames, row, strict=True)) for row in table.iterrows()]
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def match_catalogue(
    catalogue: Iterable[CatalogueSource], image: Image, pb: Image, header: fits.Header, rms_jy: float
) -> tuple[Match, ...]:
    """Measure every catalogued source that the image should show, brightest first.

    A source that the image does not show counts with the value measured at its position.

    Parameters
    ----------
    catalogue : the sources.
    image, pb : apparent image and primary beam, shape (size, size).
    header : celestial coordinates and synthesized beam of the image.
    rms_jy : noise of the image.
    """
    wcs, matches = WCS(header).celestial, []
    if not rms_jy > 0:
        return ()
    for source in catalogue:
        x, y = (float(value) for value in wcs.all_world2pix(source.ra_deg, source.dec_deg, 0))
        inside = 1 <= x < image.shape[1] - 2 and 1 <= y < image.shape[0] - 2
        response = pb[round(y), round(x)] if inside else 0.0
        if not (response >= MIN_PB and source.flux_jy * response >= MIN_SNR * rms_jy):
            continue  # also where the primary beam is not known
        try:
            measured = measure_in_image(image, pb, header, source.ra_deg, source.dec_deg)
        except BadInput:
            continue
        east_deg = (measured.ra_deg - source.ra_deg + 180) % 360 - 180
        east_arcsec = east_deg * 3600 * float(np.cos(np.deg2rad(source.dec_deg)))
        north_arcsec = (measured.dec_deg - source.dec_deg) * 3600
        matches.append(Match(source, measured.apparent_jy, measured.flux_jy, measured.pb, east_arcsec, north_arcsec))
    return tuple(sorted(matches, key=lambda match: -match.apparent_jy))
