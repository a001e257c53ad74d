"""The subband files of one tile: their headers, checked for agreement."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadFile, BadInput, MixedTimes
from contimg.formats.uvh5.bands import infer_band_plan
from contimg.formats.uvh5.grouping import SubbandFile
from contimg.formats.uvh5.header import SubbandHeader, read_header
from contimg.instrument.coordinates import unit_vectors
from contimg.instrument.dsa110 import BAND, CADENCE_S, BandPlan
from contimg.instrument.time import DAY_S, jd_to_unix

TIME_TOLERANCE_S = 0.01
NAME_TOLERANCE_S = CADENCE_S / 2  # a name is stamped near its tile's start; the next tile starts one cadence later
DIRECTION_TOLERANCE_RAD = np.deg2rad(1 / 3600)


@dataclass(frozen=True)
class SubbandGroup:
    """The headers of a group.

    Attributes
    ----------
    headers : by subband.
    band : the plan that the files fill.
    times_jd : integration centres of the tile; a file may lack some, shape (times,).
    integrations_s : length of each integration, shape (times,).
    slots_1, slots_2 : antenna slots of each baseline, slot 1 <= slot 2, sorted; a file may lack some,
        shape (baselines,).
    own_telescope : whether it is the DSA-110's.
    """

    headers: Mapping[int, SubbandHeader]
    band: BandPlan
    times_jd: NDArray[np.float64]
    integrations_s: NDArray[np.float64]
    slots_1: NDArray[np.int64]
    slots_2: NDArray[np.int64]
    own_telescope: bool = True

    @property
    def reference(self) -> SubbandHeader:
        """A header with the antennas, polarisations and phasing, which all headers share."""
        return next(iter(self.headers.values()))

    @property
    def rows(self) -> int:
        """Rows of the tile: times × baselines."""
        return self.times_jd.size * self.slots_1.size

    @property
    def channels(self) -> int:
        """Channels of one subband."""
        return self.reference.freqs_hz.size

    @property
    def correlations(self) -> int:
        """Number of polarisations."""
        return len(self.reference.polarizations)

    @property
    def freqs_hz(self) -> NDArray[np.float64]:
        """Channel centres of the whole band, ascending, missing subbands included, shape (subbands × channels,)."""
        subbands = [self.band.channel_freqs_hz(subband, self.channels) for subband in range(self.band.subbands)]
        return np.sort(np.concatenate(subbands))

    @property
    def notes(self) -> tuple[str, ...]:
        """Corrections of what headers have, with the number of files that each concerns."""
        counts = Counter(note for header in self.headers.values() for note in header.layout.notes)
        return tuple(f"{note} ({count} of {len(self.headers)} files)" for note, count in counts.items())

    @property
    def missing(self) -> tuple[int, ...]:
        """Subbands without a file."""
        return tuple(subband for subband in range(self.band.subbands) if subband not in self.headers)

    def channel_slice(self, subband: int) -> slice:
        """Return the range of a subband's channels in `freqs_hz`.

        Parameters
        ----------
        subband : its number in the band plan; it may be a missing one.
        """
        start = (self.band.subbands - 1 - self.band.subbands_above(subband)) * self.channels
        return slice(start, start + self.channels)


def read_group(
    files: Mapping[int, Path], band: BandPlan | None = BAND, *, own_telescope: bool = True, locking: str = "best-effort"
) -> SubbandGroup:
    """Read and compare the headers of a group.

    Parameters
    ----------
    files : path by the subband in the file's name.
    band : the plan that the files have to fill; None for the one that they show.
    own_telescope : require the DSA-110's position, names and band; otherwise only agreement among the files.
    locking : see `contimg.formats.uvh5.opening.open_subband_file`.

    Raises
    ------
    BadFile : for the first file that is wrong in itself, is not the subband in its name, or differs from the others.
    BadInput : there is no file.
    """
    if not files:
        raise BadInput("a group without files cannot be converted; look for its files in the incoming directory")
    headers = {}
    for subband, path in sorted(files.items()):
        headers[subband] = header = read_header(path, band, own_telescope=own_telescope, locking=locking)
        if band and header.subband != subband:
            raise BadFile(path, f"its channels are those of subband {header.subband}, its name has subband {subband}")
        if own_telescope:
            _check_name(header)
    _check_agreement(headers)
    slots_1, slots_2 = _common_baselines(headers)
    times_jd, integrations_s = _common_times(headers)
    plan = band or infer_band_plan(headers)
    return SubbandGroup(headers, plan, times_jd, integrations_s, slots_1, slots_2, own_telescope)


def antenna_slots(header: SubbandHeader) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the antenna slots of a file's baselines in the order and sense of the file.

    Parameters
    ----------
    header : of the file; a slot is a position in its antenna table, not an antenna number.

    Returns
    -------
    slots of antenna 1 and of antenna 2, each of shape (baselines,).
    """
    return header.array.slots_of(header.layout.antenna_1), header.array.slots_of(header.layout.antenna_2)


def _sorted_slots(header: SubbandHeader) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first, second = antenna_slots(header)
    return np.minimum(first, second), np.maximum(first, second)


def nearest_index(times_jd: NDArray[np.float64], common_jd: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index of the nearest of `common_jd` (ascending) to each time, shape (times,).

    Parameters
    ----------
    times_jd : shape (times,).
    common_jd : ascending.
    """
    after = np.clip(np.searchsorted(common_jd, times_jd), 1, max(1, common_jd.size - 1))
    before = after - 1
    after = np.minimum(after, common_jd.size - 1)
    return np.where(np.abs(times_jd - common_jd[before]) <= np.abs(times_jd - common_jd[after]), before, after)


def _check_name(header: SubbandHeader) -> None:
    file = SubbandFile.parse(header.path)
    if file is None:
        return  # a file given on the command line may have any name
    offset_s = jd_to_unix(float(header.times_jd[0])) - file.time_s
    if abs(offset_s) > NAME_TOLERANCE_S:
        raise BadFile(
            header.path,
            f"first integration is {offset_s:.1f} s after the time in its name (limit {NAME_TOLERANCE_S:.1f} s): "
            "the file is of another tile",
        )


def _check_agreement(headers: Mapping[int, SubbandHeader]) -> None:
    for quantity, value in _EQUAL.items():
        _require_equal(headers, quantity, value)
    for quantity, (vector, tolerance) in _NEAR.items():
        _require_near(headers, quantity, vector, tolerance)


def _direction(header: SubbandHeader) -> NDArray[np.float64]:
    """Unit vector to the phase centre; zero where it is not on the sky."""
    centre_rad = header.phasing.centre_rad
    return unit_vectors(*centre_rad) if centre_rad else np.zeros(3)


_EQUAL: dict[str, Callable[[SubbandHeader], Hashable]] = {
    "number of channels": lambda header: header.freqs_hz.size,
    "direction of channels": lambda header: bool(header.freqs_hz[-1] > header.freqs_hz[0]),
    "set of polarisations": lambda header: tuple(sorted(header.polarizations)),
    "antenna table": lambda header: (header.array.numbers.tobytes(), header.array.names),
    "kind of phase centre": lambda header: (header.phasing.centre_rad is None, header.phasing.declination_rad is None),
}
_NEAR: dict[str, tuple[Callable[[SubbandHeader], NDArray[np.float64]], float]] = {
    "array's centre (m)": (lambda header: header.array.centre_m, 1.0),
    "antenna positions (m)": (lambda header: header.array.positions_m, 1e-3),
    "integration time (s)": (lambda header: np.median(header.integrations_s, keepdims=True), 1e-3),
    "declination (rad)": (lambda header: np.asarray(header.phasing.declination_rad or 0.0), DIRECTION_TOLERANCE_RAD),
    "phase centre (rad)": (_direction, DIRECTION_TOLERANCE_RAD),
}


def _common_times(headers: Mapping[int, SubbandHeader]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times of the tile, and the lengths of its integrations.

    A file with fewer times is aligned. One with times that the others lack has a wrong clock.
    """

    def distance_s(times_jd: NDArray[np.float64], common_jd: NDArray[np.float64]) -> float:
        return float(np.abs(common_jd[nearest_index(times_jd, common_jd)] - times_jd).max() * DAY_S)

    times_jd = [header.times_jd for header in headers.values()]
    common_jd = _covering(times_jd, lambda times, common: distance_s(times, common) <= TIME_TOLERANCE_S)
    lengths_s = np.full((len(headers), common_jd.size), np.nan)
    for header, lengths in zip(headers.values(), lengths_s, strict=True):
        if (distance := distance_s(header.times_jd, common_jd)) > TIME_TOLERANCE_S:
            reason = f"its times are up to {distance:.6g} s from those of the other files of its group"
            starts_s = {header.path: float(jd_to_unix(header.times_jd[0])) for header in headers.values()}
            raise MixedTimes(header.path, reason, starts_s)
        lengths[nearest_index(header.times_jd, common_jd)] = header.integrations_s
    return common_jd, np.nanmedian(lengths_s, axis=0)


def _common_baselines(headers: Mapping[int, SubbandHeader]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Slots of the tile's baselines, sorted. A file with fewer is aligned. One with others has another setup."""
    slots = next(iter(headers.values())).array.numbers.size
    codes = [np.sort(first * slots + second) for first, second in map(_sorted_slots, headers.values())]
    common = _covering(codes, lambda baselines, candidate: bool(np.isin(baselines, candidate).all()))
    for header, baselines in zip(headers.values(), codes, strict=True):
        if excess := np.setdiff1d(baselines, common).size:
            raise BadFile(header.path, f"it has {excess} baselines that the other files of its group do not have")
    return common // slots, common % slots


def _covering(values: list[NDArray[Any]], covers: Callable[[NDArray[Any], NDArray[Any]], bool]) -> NDArray[Any]:
    """The values of the file that has all the values of the most files."""
    distinct = {array.tobytes(): array for array in values}.values()
    return max(distinct, key=lambda common: (sum(covers(array, common) for array in values), common.size))


def _require_equal(
    headers: Mapping[int, SubbandHeader], quantity: str, value: Callable[[SubbandHeader], Hashable]
) -> None:
    values = {subband: value(header) for subband, header in headers.items()}
    common, count = Counter(values.values()).most_common(1)[0]
    for subband, value_of_file in values.items():
        if value_of_file != common:
            raise BadFile(
                headers[subband].path, f"its {quantity} differs from that of {count} other files of its group"
            )


def _require_near(
    headers: Mapping[int, SubbandHeader],
    quantity: str,
    value: Callable[[SubbandHeader], NDArray[np.float64]],
    tolerance: float,
) -> None:
    values = np.stack([value(header) for header in headers.values()])
    # The lower median is a value of one of the files, so that the majority of the files is right.
    median = np.sort(values, axis=0)[(len(values) - 1) // 2]
    distances = np.abs(values - median).reshape(len(values), -1).max(axis=1)
    for header, distance in zip(headers.values(), distances, strict=True):
        if distance > tolerance:
            raise BadFile(
                header.path, f"its {quantity} differs by {distance:.6g} from the other files of its group"
                f" (limit {tolerance:.3g})",
            )  # fmt: skip
