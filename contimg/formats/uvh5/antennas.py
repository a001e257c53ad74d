"""The antenna table of a file and the position of its array."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import erfa
import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadFile
from contimg.formats.uvh5.opening import read_text
from contimg.instrument.coordinates import TELESCOPE
from contimg.instrument.dsa110 import DISH_DIAMETER_M, is_own_dish, stations

SITE_TOLERANCE_M = 100.0


@dataclass(frozen=True)
class Antennas:
    """Every antenna slot of an array.

    Attributes
    ----------
    numbers : shape (slots,).
    names : different from each other.
    positions_m : ECEF relative to the centre, shape (slots, 3); 0 for a slot that no row uses and that has no position.
    diameters_m : of the dishes, 0 where unknown, shape (slots,).
    centre_m : ECEF of the array's centre, shape (3,).
    telescope_name : from the file.
    """

    numbers: NDArray[np.int64]
    names: tuple[str, ...]
    positions_m: NDArray[np.float64]
    diameters_m: NDArray[np.float64]
    centre_m: NDArray[np.float64]
    telescope_name: str

    def slots_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the slots of antenna numbers: their indices in the antenna table.

        Parameters
        ----------
        numbers : antenna numbers, any shape; all are in the table.
        """
        order = np.argsort(self.numbers)
        return np.asarray(order[np.searchsorted(self.numbers[order], numbers)])


def read_antennas(path: Path, header: Any, used_numbers: NDArray[np.int64], own_telescope: bool) -> Antennas:
    """Read and check the antenna table.

    Only antennas that have rows need a position and a name of their own. Geocentric positions are made relative.

    Parameters
    ----------
    path : the file, for messages.
    header : its HDF5 group `Header`.
    used_numbers : numbers of the antennas that have rows, shape (antennas,).
    own_telescope : require the DSA-110's position, within 100 m.

    Raises
    ------
    BadFile : the table contradicts itself, or the array is elsewhere.
    """
    numbers = header["antenna_numbers"][:].astype(np.int64)
    names = [
        name.decode(errors="backslashreplace") if isinstance(name, bytes) else str(name)
        for name in header["antenna_names"][:]
    ]
    positions = header["antenna_positions"][:].astype(np.float64)
    if not numbers.size == len(names) == len(positions):
        raise BadFile(path, "antenna_numbers, antenna_names and antenna_positions differ in length")
    has_data = np.isin(numbers, used_numbers)
    if np.count_nonzero(has_data) != np.unique(used_numbers).size:
        raise BadFile(path, "antenna_numbers lists an antenna with data twice")
    unplaced = ~np.isfinite(positions).all(axis=1)
    if (unplaced & has_data).any():
        listed = ", ".join(names[slot] for slot in np.flatnonzero(unplaced & has_data))
        raise BadFile(path, f"antenna_positions has values that are not finite, for antennas with data: {listed}")
    positions[unplaced] = 0.0
    centre = _read_centre(path, header)
    distance_m = float(np.linalg.norm(centre - TELESCOPE.itrf_m))
    if own_telescope and not distance_m <= SITE_TOLERANCE_M:
        raise BadFile(path, f"its array is {distance_m / 1000:.1f} km away; it is another telescope's file")
    # No relative position of an antenna on the Earth is nearer to the array's centre than to the Earth's.
    geocentric = np.linalg.norm(positions - centre, axis=1) < np.linalg.norm(positions, axis=1)
    positions[geocentric] -= centre
    if own_telescope and _are_negated(numbers[has_data], positions[has_data]):
        raise BadFile(path, "antenna_positions point away from the stations: their sign is wrong; correct it")
    diameters = _read_diameters(header, numbers.size, own_telescope)
    distinct = _distinct_names(path, names, numbers, has_data)
    return Antennas(numbers, distinct, positions, diameters, centre, read_text(header, "telescope_name", "unknown"))


def _are_negated(numbers: NDArray[np.int64], positions_m: NDArray[np.float64]) -> bool:
    """Whether positions relative to the site are opposite to those of the stations, whose numbers are one higher."""
    by_number = {station.number - 1: station for station in stations()}
    is_station = np.isin(numbers, list(by_number))
    listed = [by_number[number] for number in numbers[is_station]]
    geodetic = np.array([(station.longitude_deg, station.latitude_deg, station.elevation_m) for station in listed])
    longitudes, latitudes, heights = geodetic.reshape(-1, 3).T
    stations_m = erfa.gd2gc(1, np.deg2rad(longitudes), np.deg2rad(latitudes), heights) - TELESCOPE.itrf_m
    return bool(np.sum(stations_m * positions_m[is_station]) < 0)


def _distinct_names(
    path: Path, names: list[str], numbers: NDArray[np.int64], has_data: NDArray[np.bool_]
) -> tuple[str, ...]:  # fmt: skip
    """The names, with the slot appended to repeated ones of antennas without rows."""
    of_used = Counter(name for name, has_rows in zip(names, has_data, strict=True) if has_rows)
    for name, count in of_used.items():
        if count > 1:
            slots = [slot for slot in np.flatnonzero(has_data) if names[slot] == name]
            raise BadFile(
                path,
                f"antenna_names has {name!r} for {count} antennas with data, numbers "
                f"{', '.join(str(numbers[slot]) for slot in slots)}: gains are kept by name, so each antenna needs a "
                "name of its own; correct antenna_names",
            )
    counts = Counter(names)
    return tuple(
        name if has_rows or (name and counts[name] == 1) else f"{name}#{slot}"
        for slot, (name, has_rows) in enumerate(zip(names, has_data, strict=True))
    )


def _read_diameters(header: Any, slots: int, own_telescope: bool) -> NDArray[np.float64]:
    """Diameters in metres; of the DSA-110, ones that are unknown or not credible are its own, of others 0."""
    default_m = DISH_DIAMETER_M if own_telescope else 0.0
    if "antenna_diameters" not in header or header["antenna_diameters"].shape not in ((slots,), ()):
        return np.full(slots, default_m)
    diameters = np.broadcast_to(header["antenna_diameters"][()], slots).astype(np.float64)
    credible = np.isfinite(diameters) & (diameters > 0)
    if own_telescope:
        credible &= is_own_dish(diameters)
    return np.where(credible, diameters, default_m)


def _read_centre(path: Path, header: Any) -> NDArray[np.float64]:
    """ECEF of the array's centre, from longitude, latitude and altitude or, in some early files, as such."""
    frame = read_text(header, "telescope_frame", "itrs")
    if frame not in ("itrs", "?"):
        raise BadFile(path, f"its telescope_frame is {frame}; only itrs is supported")
    if "telescope_location" in header and "latitude" not in header:
        return np.asarray(header["telescope_location"][()], dtype=np.float64).reshape(3)
    longitude, latitude, altitude = (float(header[name][()]) for name in ("longitude", "latitude", "altitude"))
    return np.asarray(erfa.gd2gc(1, np.deg2rad(longitude), np.deg2rad(latitude), altitude))
