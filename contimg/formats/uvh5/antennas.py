"""The antenna table of a file and where the array stands."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import erfa
import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadFile
from contimg.formats.uvh5.opening import text_of
from contimg.instrument import dsa110 as telescope

SITE_TOLERANCE_M = 100.0


@dataclass(frozen=True)
class Antennas:
    """Every slot of the array.

    Attributes
    ----------
    numbers, names : shape (slots,).
    positions_m : ECEF relative to the centre, shape (slots, 3).
    diameters_m : of the dishes, shape (slots,).
    centre_m : ECEF of the array's centre, shape (3,).
    telescope_name : as the file says.
    """

    numbers: NDArray[np.int64]
    names: tuple[str, ...]
    positions_m: NDArray[np.float64]
    diameters_m: NDArray[np.float64]
    centre_m: NDArray[np.float64]
    telescope_name: str


def read_antennas(path: Path, header: Any, own_site: bool) -> Antennas:
    """Read the antenna table; with `own_site` the array has to stand at the DSA-110's place. Raises BadFile."""
    numbers = header["antenna_numbers"][:].astype(np.int64)
    names = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in header["antenna_names"][:])
    positions = header["antenna_positions"][:].astype(np.float64)
    if not numbers.size == len(names) == len(positions):
        raise BadFile(path, "antenna_numbers, antenna_names and antenna_positions differ in length")
    if np.unique(numbers).size != numbers.size:
        raise BadFile(path, "antenna_numbers names an antenna twice")
    if not np.all(np.isfinite(positions)):
        raise BadFile(path, "antenna_positions holds values that are not numbers")
    diameters = np.full(numbers.size, telescope.DISH_DIAMETER_M)
    if "antenna_diameters" in header and header["antenna_diameters"].shape == diameters.shape:
        diameters = header["antenna_diameters"][:].astype(np.float64)
    centre = _centre(path, header)
    if own_site:
        site = erfa.gd2gc(
            1, np.deg2rad(telescope.LONGITUDE_DEG), np.deg2rad(telescope.LATITUDE_DEG), telescope.HEIGHT_M
        )
        away = float(np.linalg.norm(centre - site))
        if not away <= SITE_TOLERANCE_M:
            raise BadFile(
                path, f"it was taken {away / 1000:.1f} km from this telescope; it is another telescope's file"
            )
    return Antennas(numbers, names, positions, diameters, centre, text_of(header, "telescope_name", "unknown"))


def _centre(path: Path, header: Any) -> NDArray[np.float64]:
    """Centre of the array, from longitude, latitude and altitude or, in some early files, from ECEF itself."""
    frame = text_of(header, "telescope_frame", "itrs")
    if frame not in ("itrs", "?"):
        raise BadFile(path, f"its telescope_frame is {frame}; only itrs, the Earth's, is known")
    if "telescope_location" in header and "latitude" not in header:
        return np.asarray(header["telescope_location"][()], dtype=np.float64).reshape(3)
    place = [float(header[name][()]) for name in ("longitude", "latitude", "altitude")]
    return np.asarray(erfa.gd2gc(1, np.deg2rad(place[0]), np.deg2rad(place[1]), place[2]))
