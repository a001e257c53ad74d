"""Photometry as the columns of a table."""

from collections.abc import Mapping

import numpy as np

from contimg.epoch.photometry.products import MeasurementFlag, Photometry
from contimg.formats.source_tables import TableColumn

_ARRAYS = (
    ("ra_deg", "deg", "right ascension, ICRS"),
    ("dec_deg", "deg", "declination, ICRS"),
    ("flux_jy", "Jy", "flux density, divided by the primary beam"),
    ("flux_error_jy", "Jy", "its standard error"),
    ("limit_jy", "Jy", "upper limit, 3 times the error"),
    ("is_detected", "", "whether the flux is at least 3 times its error"),
    ("local_rms_jy", "Jy/beam", "noise of a pixel, divided by the primary beam"),
    ("pb", "", "response of the primary beam; 1 in an image of true fluxes"),
    ("edge_distance_deg", "deg", "distance from the nearest pixel without data"),
    ("centre_distance_deg", "deg", "distance from the centre of the image"),
    ("blend_group", "", "number of the group fitted together; -1 of a position alone"),
    ("flags", "", "sum of the flags"),
)


def flag_names(flags: int) -> str:
    """Return the names of flags, joined by a plus sign; empty without one.

    Parameters
    ----------
    flags : sum of values of `MeasurementFlag`.
    """
    return "+".join(str(flag.name) for flag in MeasurementFlag(flags))


def photometry_columns(photometry: Photometry) -> Mapping[str, TableColumn]:
    """Return the columns of a table of fluxes, in order.

    Parameters
    ----------
    photometry : the fluxes.
    """
    columns = {"name": TableColumn(photometry.source_id, description="name of the position")}
    columns |= {name: TableColumn(getattr(photometry, name), unit, text) for name, unit, text in _ARRAYS}
    words = {flags: flag_names(flags) for flags in np.unique(photometry.flags).tolist()}
    names = np.array([words[flags] for flags in photometry.flags.tolist()], dtype=np.str_)
    return columns | {"flag_names": TableColumn(names, description="names of the flags")}


def photometry_notes(photometry: Photometry) -> Mapping[str, str | float | None]:
    """Return what a table of fluxes is about.

    Parameters
    ----------
    photometry : the fluxes.
    """
    beam = photometry.beam
    return {
        "image": photometry.fits_path.name, "mjd": photometry.mjd, "freq_hz": photometry.freq_hz,
        "bmaj_as": beam.major_arcsec, "bmin_as": beam.minor_arcsec, "bpa_deg": beam.angle_deg,
        "errscale": photometry.error_scale, "calclass": photometry.calibration_class,
    }  # fmt: skip
