"""The direction that the visibilities of a file are phased to.

Legacy files have `phase_type`, files of UVH5 1.x a catalogue of phase centres (UVH5 memo, "phase_center_catalog").
The correlator's own files have phase type drift and yet are fringe-stopped to the meridian, at the declination in
`extra_keywords/phase_center_dec`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg.common.errors import BadFile
from contimg.formats.uvh5.opening import read_text


@dataclass(frozen=True)
class Phasing:
    """What the data are phased to.

    With a centre: to a direction on the sky. With a declination alone: to hour angle 0 at it. With neither: to nothing,
    the geometric delay is still in the data, and the array points at the zenith.

    Attributes
    ----------
    centre_rad : right ascension and declination (ICRS), radians, of data phased to the sky.
    declination_rad : apparent declination of dishes that do not follow the sky, if known.
    name : of the phase centre or the object, may be empty.
    """

    centre_rad: tuple[float, float] | None
    declination_rad: float | None
    name: str = ""


def read_phasing(path: Path, header: Any, allow_unprojected: bool) -> Phasing:
    """Read the phasing of a file.

    Parameters
    ----------
    path : the file, for messages.
    header : its HDF5 group `Header`.
    allow_unprojected : take a file without a pointing as one of an array that points at the zenith.

    Raises
    ------
    BadFile : it has several phase centres, a moving one, or no declination.
    """
    declination = _read_declination(path, header)
    centre = _read_centre(path, header)
    if centre["cat_type"] not in ("sidereal", "unprojected"):
        raise BadFile(path, f"its phase centre is of type {centre['cat_type']}; sidereal or unprojected is supported")
    if declination is None and not allow_unprojected:
        raise BadFile(path, "extra_keywords/phase_center_dec is missing, so its declination is unknown")
    name = str(centre.get("cat_name") or read_text(header, "object_name"))
    return Phasing(_icrs(path, centre) if centre["cat_type"] == "sidereal" else None, declination, name)


def _read_declination(path: Path, header: Any) -> float | None:
    keywords = header.get("extra_keywords", {})
    if "phase_center_dec" not in keywords:
        return None
    declination = float(keywords["phase_center_dec"][()])
    if not abs(declination) <= np.pi / 2:
        raise BadFile(path, f"phase_center_dec = {declination} is no declination in radians")
    hour_angle = float(keywords["ha_phase_center"][()]) if "ha_phase_center" in keywords else 0.0
    if hour_angle != 0.0:
        raise BadFile(
            path,
            f"ha_phase_center = {hour_angle:g}: it is fringe-stopped off the meridian, which this telescope never does",
        )
    return declination


def _read_centre(path: Path, header: Any) -> Mapping[str, Any]:
    """The phase centre of the rows as an entry of the catalogue."""
    if "phase_center_catalog" not in header:
        if read_text(header, "phase_type", "drift") != "phased":
            return {"cat_type": "unprojected"}
        return {
            "cat_type": "sidereal",
            "cat_lon": header["phase_center_ra"][()],
            "cat_lat": header["phase_center_dec"][()],
            "cat_frame": read_text(header, "phase_center_frame", "icrs"),
            "cat_epoch": header["phase_center_epoch"][()] if "phase_center_epoch" in header else 2000.0,
        }
    catalogue = _read_catalogue(header["phase_center_catalog"])
    center_ids = np.unique(header["phase_center_id_array"][:]) if "phase_center_id_array" in header else list(catalogue)
    if len(center_ids) != 1 or int(center_ids[0]) not in catalogue:
        raise BadFile(
            path, f"its rows use {len(center_ids)} phase centres of {len(catalogue)} in its catalogue; one is supported"
        )
    return catalogue[int(center_ids[0])]


def _read_catalogue(group: Any) -> dict[int, Mapping[str, Any]]:
    """Phase centres by id; early 1.x files hold each as JSON under its name, later ones as a group under its id."""
    catalogue: dict[int, Mapping[str, Any]] = {}
    for key, entry in group.items():
        if hasattr(entry, "keys"):
            catalogue[int(key)] = {
                name: read_text(entry, name) if entry[name].dtype.kind in "SO" else entry[name][()]
                for name in entry
                if entry[name].shape is not None
            }
        else:
            content = json.loads(read_text(group, key))
            catalogue[int(content["cat_id"])] = content
    return catalogue


def _icrs(path: Path, centre: Mapping[str, Any]) -> tuple[float, float]:
    """ICRS right ascension and declination of an entry of the catalogue, radians."""
    frame, lon, lat = str(centre.get("cat_frame", "icrs")), float(centre["cat_lon"]), float(centre["cat_lat"])
    if frame == "icrs":
        return lon, lat
    if frame == "fk5":
        # Imported here: it takes longer than a small conversion, and few files need it.
        import astropy.units as u
        from astropy.coordinates import FK5, SkyCoord
        from astropy.time import Time

        epoch = Time(float(centre.get("cat_epoch") or 2000.0), format="jyear")
        position = SkyCoord(lon * u.rad, lat * u.rad, frame=FK5(equinox=epoch)).icrs
        return float(position.ra.rad), float(position.dec.rad)
    raise BadFile(path, f"its phase centre is in the frame {frame}; icrs or fk5 is supported")
