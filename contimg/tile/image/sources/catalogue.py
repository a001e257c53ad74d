"""The image against a catalogue: how far its sources are from where they should be, and how bright they are."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from contimg.errors import BadInput, Misconfigured
from contimg.instrument.calibrators import catalogue
from contimg.instrument.flux_scale import COEFFICIENTS
from contimg.tile.image.gridding.gridding import Image
from contimg.tile.image.options import ImageOptions
from contimg.tile.image.sources.agreement import Agreement, Entry, Match
from contimg.tile.image.sources.photometry import measure_in

MIN_SNR = 10.0  # of the flux that a catalogued source should show, over the noise
MIN_ATTENUATION = 0.2  # farther out the primary beam is not known well enough to compare fluxes
FITS_SUFFIXES = (".fits", ".fit", ".fits.gz")


def entries(options: ImageOptions, freq_hz: float) -> list[Entry]:
    """The catalogue that the options name, or the project's flux calibrators with their spectra at this frequency.

    The list's other calibrators have fluxes that were measured decades ago, and vary.

    Raises Misconfigured when the file is not there, no table, or lacks a column.
    """
    if not options.catalogue:
        return [
            Entry(
                one.label,
                float(np.rad2deg(one.ra_rad)),
                float(np.rad2deg(one.dec_rad)),
                float(one.flux_jy(freq_hz)),
            )
            for one in catalogue()
            if one.alias in COEFFICIENTS
        ]
    path = Path(options.catalogue)
    wanted = (options.catalogue_ra, options.catalogue_dec, options.catalogue_flux)
    try:
        rows = list(_rows(path))
        places = [[float(row[column]) for column in wanted] for row in rows]
    except OSError as error:
        raise Misconfigured(f"catalogue={path}: cannot be read ({error}); give a CSV or FITS table") from error
    except KeyError as error:
        raise Misconfigured(
            f"catalogue={path}: has no column {error}; name its columns in catalogue_ra, _dec, _flux"
        ) from error
    except ValueError as error:
        raise Misconfigured(f"catalogue={path}: {error}; positions are degrees and fluxes Jy") from error
    return [
        Entry(str(row.get("name", number)), *place)
        for number, (row, place) in enumerate(zip(rows, places, strict=True), 1)
    ]


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    if path.name.lower().endswith(FITS_SUFFIXES):
        table = Table.read(path, format="fits")
        return [dict(zip(table.colnames, row, strict=True)) for row in table.iterrows()]
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def compare(wanted: Iterable[Entry], image: Image, attenuation: Image, header: fits.Header, rms_jy: float) -> Agreement:
    """Measure every catalogued source that the image should show; one that is not there counts with what is."""
    wcs, matches = WCS(header).celestial, []
    if not rms_jy > 0:
        return Agreement()
    for entry in wanted:
        x, y = (float(value) for value in wcs.all_world2pix(entry.ra_deg, entry.dec_deg, 0))
        inside = 1 <= x < image.shape[1] - 2 and 1 <= y < image.shape[0] - 2
        if not inside or attenuation[round(y), round(x)] < MIN_ATTENUATION:
            continue
        if entry.flux_jy * attenuation[round(y), round(x)] < MIN_SNR * rms_jy:
            continue
        try:
            found = measure_in(image, attenuation, header, entry.ra_deg, entry.dec_deg)
        except BadInput:
            continue
        east = (found.ra_deg - entry.ra_deg + 180) % 360 - 180
        matches.append(
            Match(
                entry=entry,
                apparent_jy=found.apparent_jy,
                flux_jy=found.flux_jy,
                attenuation=found.attenuation,
                east_arcsec=east * 3600 * float(np.cos(np.deg2rad(entry.dec_deg))),
                north_arcsec=(found.dec_deg - entry.dec_deg) * 3600,
            )
        )
    return Agreement(tuple(sorted(matches, key=lambda one: -one.apparent_jy)))
