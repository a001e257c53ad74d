"""What the visibilities of a file are phased to.

Legacy files say `phase_type`, files of UVH5 1.x have a catalogue of phase centres (UVH5 memo, "phase_center_catalog").
The correlator's own files call themselves a drift scan and yet are fringe-stopped to the meridian: there
`extra_keywords/phase_center_dec` tells.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg.errors import BadFile
from contimg.formats.uvh5.opening import text_of


@dataclass(frozen=True)
class Fixed:
    """To a direction that stands over the array: hour angle 0 at an apparent declination, where the dishes point."""

    declination_rad: float


@dataclass(frozen=True)
class Sidereal:
    """To one place of the sky, ICRS, radians. `pointing_dec_rad` is the drifting dishes' if the file says it."""

    ra_rad: float
    dec_rad: float
    pointing_dec_rad: float | None = None


@dataclass(frozen=True)
class Unprojected:
    """To nothing: no geometric delay was ever taken out, and the array looks at the zenith."""


Phasing = Fixed | Sidereal | Unprojected


def read_phasing(path: Path, header: Any, unprojected: bool) -> Phasing:
    """What one file is phased to.

    Parameters
    ----------
    unprojected : take a file that names no pointing as looking at the zenith; else it is refused.

    Raises
    ------
    BadFile when it has several phase centres, a moving one, or when its declination is unknown.
    """
    declination = _keyword_declination(path, header)
    centre = _centre(path, header)
    if centre["cat_type"] == "sidereal":
        if declination is None and not unprojected:
            raise _unknown_declination(path)
        return _sidereal(path, centre, declination)
    if centre["cat_type"] != "unprojected":
        raise BadFile(path, f"its phase centre is of the kind {centre['cat_type']}; sidereal or unprojected is known")
    if declination is not None:
        return Fixed(declination)
    if unprojected:
        return Unprojected()
    raise _unknown_declination(path)


def _unknown_declination(path: Path) -> BadFile:
    return BadFile(path, "extra_keywords/phase_center_dec is missing, so its declination is unknown")


def _keyword_declination(path: Path, header: Any) -> float | None:
    keywords = header.get("extra_keywords", {})
    if "phase_center_dec" not in keywords:
        return None
    declination = float(keywords["phase_center_dec"][()])
    if not abs(declination) <= np.pi / 2:
        raise BadFile(path, f"phase_center_dec = {declination} is no declination in radians")
    if "ha_phase_center" in keywords and float(keywords["ha_phase_center"][()]) != 0.0:
        raise BadFile(
            path,
            f"ha_phase_center = {float(keywords['ha_phase_center'][()]):g}: it is fringe-stopped off the meridian, "
            "which no known file of this telescope is",
        )
    return declination


def _centre(path: Path, header: Any) -> Mapping[str, Any]:
    """The one phase centre that the rows use, in the words of the catalogue."""
    if "phase_center_catalog" not in header:
        if text_of(header, "phase_type", "drift") != "phased":
            return {"cat_type": "unprojected"}
        return {
            "cat_type": "sidereal",
            "cat_lon": header["phase_center_ra"][()],
            "cat_lat": header["phase_center_dec"][()],
            "cat_frame": text_of(header, "phase_center_frame", "icrs"),
            "cat_epoch": header["phase_center_epoch"][()] if "phase_center_epoch" in header else 2000.0,
        }
    catalogue = _catalogue(header["phase_center_catalog"])
    used = np.unique(header["phase_center_id_array"][:]) if "phase_center_id_array" in header else list(catalogue)
    if len(used) != 1 or int(used[0]) not in catalogue:
        raise BadFile(
            path, f"its rows use {len(used)} phase centres of {len(catalogue)} in its catalogue; one is known"
        )
    return catalogue[int(used[0])]


def _catalogue(group: Any) -> dict[int, Mapping[str, Any]]:
    """Phase centres by id; early 1.x files hold each as JSON under its name, later ones as a group under its id."""
    found: dict[int, Mapping[str, Any]] = {}
    for key, entry in group.items():
        if hasattr(entry, "keys"):
            found[int(key)] = {
                name: text_of(entry, name) if entry[name].dtype.kind in "SO" else entry[name][()]
                for name in entry
                if entry[name].shape is not None
            }
        else:
            said = json.loads(text_of(group, key))
            found[int(said["cat_id"])] = said
    return found


def _sidereal(path: Path, centre: Mapping[str, Any], declination: float | None) -> Sidereal:
    frame, lon, lat = str(centre.get("cat_frame", "icrs")), float(centre["cat_lon"]), float(centre["cat_lat"])
    if frame == "icrs":
        return Sidereal(lon, lat, declination)
    if frame == "fk5":
        # Loaded here: it takes longer than a small conversion, and few files need it.
        import astropy.units as u
        from astropy.coordinates import FK5, SkyCoord
        from astropy.time import Time

        epoch = float(centre.get("cat_epoch") or 2000.0)
        place = SkyCoord(lon * u.rad, lat * u.rad, frame=FK5(equinox=Time(epoch, format="jyear"))).icrs
        return Sidereal(float(place.ra.rad), float(place.dec.rad), declination)
    raise BadFile(path, f"its phase centre is in the frame {frame}; icrs or fk5 is known")
