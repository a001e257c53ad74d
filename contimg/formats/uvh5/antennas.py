"""The antenna table of a file and the position of its array."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import erfa
import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadFile
from contimg.formats.uvh5.opening import read_text
from contimg.instrument.coordinates import TELESCOPE
from contimg.instrument.dsa110 import DISH_DIAMETER_M

SITE_TOLERANCE_M = 100.0


@dataclass(frozen=True)
class Antennas:
    """Every antenna slot of an array.

    Attributes
    ----------
    numbers, names : shape (slots,).
    positions_m : ECEF relative to the centre, shape (slots, 3).
    diameters_m : of the dishes, shape (slots,); 0 where another telescope's file does not have them.
    centre_m : ECEF of the array's centre, shape (3,).
    telescope_name : from the file.
    """

    numbers: NDArray[np.int64]
    names: tuple[str, ...]
    positions_m: NDArray[np.float64]
    diameters_m: NDArray[np.float64]
    centre_m: NDArray[np.float64]
    telescope_name: str


def read_antennas(path: Path, header: Any, own_telescope: bool) -> Antennas:
    """Read and check the antenna table.

    Parameters
    ----------
    path : the file, for messages.
    header : its HDF5 group `Header`.
    own_telescope : require the DSA-110's position, within 100 m.

    Raises
    ------
    BadFile : the table contradicts itself, or the array is elsewhere.
    """
    numbers = header["antenna_numbers"][:].astype(np.int64)
    names = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in header["antenna_names"][:])
    positions = header["antenna_positions"][:].astype(np.float64)
    if not numbers.size == len(names) == len(positions):
        raise BadFile(path, "antenna_numbers, antenna_names and antenna_positions differ in length")
    if np.unique(numbers).size != numbers.size:
        raise BadFile(path, "antenna_numbers lists an antenna twice")
    if not np.all(np.isfinite(positions)):
        raise BadFile(path, "antenna_positions has values that are not finite")
    diameters = np.full(numbers.size, DISH_DIAMETER_M if own_telescope else 0.0)
    if "antenna_diameters" in header and header["antenna_diameters"].shape == diameters.shape:
        diameters = header["antenna_diameters"][:].astype(np.float64)
    centre = _read_centre(path, header)
    distance_m = float(np.linalg.norm(centre - TELESCOPE.itrf_m))
    if own_telescope and not distance_m <= SITE_TOLERANCE_M:
        raise BadFile(path, f"its array is {distance_m / 1000:.1f} km away; it is another telescope's file")
    return Antennas(numbers, names, positions, diameters, centre, read_text(header, "telescope_name", "unknown"))


def _read_centre(path: Path, header: Any) -> NDArray[np.float64]:
    """ECEF of the array's centre, from longitude, latitude and altitude or, in some early files, as such."""
    frame = read_text(header, "telescope_frame", "itrs")
    if frame not in ("itrs", "?"):
        raise BadFile(path, f"its telescope_frame is {frame}; only itrs is supported")
    if "telescope_location" in header and "latitude" not in header:
        return np.asarray(header["telescope_location"][()], dtype=np.float64).reshape(3)
    longitude, latitude, altitude = (float(header[name][()]) for name in ("longitude", "latitude", "altitude"))
    return np.asarray(erfa.gd2gc(1, np.deg2rad(longitude), np.deg2rad(latitude), altitude))
