"""The files of one group seen as one tile of sky: their headers, found to agree."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadFile, BadInput
from contimg.formats.uvh5 import Phasing, Sidereal, SubbandHeader, read_header
from contimg.formats.uvh5.bands import plan_from
from contimg.instrument.dsa110 import BAND, CADENCE_S, BandPlan

TIME_TOLERANCE_S = 0.01
NAME_TOLERANCE_S = CADENCE_S / 2  # a name is stamped near its tile's start; the next tile starts one cadence later
DIRECTION_TOLERANCE_RAD = np.deg2rad(1 / 3600)
UNIX_EPOCH_JD = 2440587.5


@dataclass(frozen=True)
class SubbandGroup:
    """One group's headers by subband; `reference` speaks for all in what they share.

    Attributes
    ----------
    headers, band : the files and the plan that they fill.
    times_jd : integration centres of the tile; a file may lack some, shape (times,).
    slots_1, slots_2 : antenna slots of each baseline, slot 1 <= slot 2, sorted; a file may lack some,
        shape (baselines,).
    own_telescope : whether it is the DSA-110's.
    """

    headers: Mapping[int, SubbandHeader]
    band: BandPlan
    times_jd: NDArray[np.float64]
    slots_1: NDArray[np.int64]
    slots_2: NDArray[np.int64]
    own_telescope: bool = True

    @property
    def reference(self) -> SubbandHeader:
        """A header to read antennas, polarisations, integration time and phasing from."""
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
    def freqs_hz(self) -> NDArray[np.float64]:
        """Channel centres of the whole band, ascending, missing subbands included, shape (subbands × channels,)."""
        every = [self.band.channel_freqs_hz(subband, self.channels) for subband in range(self.band.subbands)]
        return np.sort(np.concatenate(every))

    @property
    def missing(self) -> tuple[int, ...]:
        """Subbands that no file fills."""
        return tuple(subband for subband in range(self.band.subbands) if subband not in self.headers)

    def channel_slice(self, subband: int) -> slice:
        """Where a subband's channels lie in `freqs_hz`."""
        start = (self.band.subbands - 1 - self.band.subbands_above(subband)) * self.channels
        return slice(start, start + self.channels)


def read_group(
    files: Mapping[int, Path],
    band: BandPlan | None = BAND,
    *,
    own_telescope: bool = True,
    locking: str = "best-effort",
) -> SubbandGroup:
    """Read and compare the headers of a group.

    Parameters
    ----------
    files : path by the subband that the file's name claims.
    band : the plan that they have to fill; None takes the one that they show.
    own_telescope : hold them to the DSA-110's place, names and band; else only to one another.
    locking : see `contimg.formats.uvh5.opening.opened`.

    Raises
    ------
    BadFile for the first file that is wrong in itself, is not the subband it claims, or differs from the others.
    """
    if not files:
        raise BadInput("a group without files cannot be converted; look at its files in the incoming directory")
    headers = {}
    for subband, path in sorted(files.items()):
        headers[subband] = header = read_header(path, band, own_telescope=own_telescope, locking=locking)
        if band and header.subband != subband:
            raise BadFile(path, f"its channels are those of subband {header.subband}, its name says {subband}")
        if own_telescope:
            _check_name(header)
    _check_agreement(headers)
    slots_1, slots_2 = _baselines(headers)
    return SubbandGroup(headers, band or plan_from(headers), _times(headers), slots_1, slots_2, own_telescope)


def slots_of(header: SubbandHeader) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Antenna slots of a file's baselines in its own order and sense, each of shape (baselines,)."""
    order = np.argsort(header.array.numbers)
    ascending = header.array.numbers[order]
    first, second = (order[np.searchsorted(ascending, one)] for one in (header.antenna_1, header.antenna_2))
    return first, second


def nearest(times_jd: NDArray[np.float64], common_jd: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the nearest of `common_jd` (ascending) to each time."""
    after = np.clip(np.searchsorted(common_jd, times_jd), 1, max(1, common_jd.size - 1))
    before = after - 1
    after = np.minimum(after, common_jd.size - 1)
    return np.where(np.abs(times_jd - common_jd[before]) <= np.abs(times_jd - common_jd[after]), before, after)


def _check_name(header: SubbandHeader) -> None:
    stamp = header.path.name.split("_sb")[0]
    try:
        named = datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return  # a file given by hand may have any name
    away = (float(header.times_jd[0]) - UNIX_EPOCH_JD) * 86400 - named
    if abs(away) > NAME_TOLERANCE_S:
        raise BadFile(
            header.path,
            f"first integration is {away:.1f} s after the time in its name (limit {NAME_TOLERANCE_S:.1f} s): "
            "the file is of another tile",
        )


def _check_agreement(headers: Mapping[int, SubbandHeader]) -> None:
    _same(headers, "number of channels", lambda header: header.freqs_hz.size)
    _same(headers, "direction of channels", lambda header: bool(header.freqs_hz[-1] > header.freqs_hz[0]))
    _same(headers, "set of polarisations", lambda header: tuple(sorted(header.polarizations)))
    _same(headers, "antenna table", lambda header: (header.array.numbers.tobytes(), header.array.names))
    _near(headers, "array's centre (m)", lambda header: header.array.centre_m, 1.0)
    _near(headers, "antenna positions (m)", lambda header: header.antenna_positions_m, 1e-3)
    _near(headers, "integration time (s)", lambda header: np.asarray(header.integration_s), 1e-3)
    _same(headers, "kind of phase centre", lambda header: type(header.phasing).__name__)
    _same(headers, "knowledge of a declination", lambda header: header.pointing_dec_rad is None)
    if headers and next(iter(headers.values())).pointing_dec_rad is not None:
        _near(headers, "declination (rad)", lambda header: np.asarray(header.pointing_dec_rad), DIRECTION_TOLERANCE_RAD)
    _near(headers, "phase centre (rad)", lambda header: _direction(header.phasing), DIRECTION_TOLERANCE_RAD)


def _direction(phasing: Phasing) -> NDArray[np.float64]:
    """A unit vector to the phase centre; zero where there is none on the sky."""
    if not isinstance(phasing, Sidereal):
        return np.zeros(3)
    across = np.cos(phasing.dec_rad)
    return np.array([across * np.cos(phasing.ra_rad), across * np.sin(phasing.ra_rad), np.sin(phasing.dec_rad)])


def _times(headers: Mapping[int, SubbandHeader]) -> NDArray[np.float64]:
    """The tile's times: those of the file that has all the times of the most files.

    A file with fewer is aligned. One with times that the others lack is refused: its clock is wrong.
    """

    def away_s(one: SubbandHeader, common: SubbandHeader) -> float:
        found = common.times_jd[nearest(one.times_jd, common.times_jd)]
        return float(np.abs(found - one.times_jd).max() * 86400)

    def holds(common: SubbandHeader) -> tuple[int, int]:
        inside = sum(away_s(one, common) <= TIME_TOLERANCE_S for one in headers.values())
        return inside, common.times_jd.size

    common = max(headers.values(), key=holds)
    for header in headers.values():
        away = away_s(header, common)
        if away > TIME_TOLERANCE_S:
            raise BadFile(header.path, f"its times (s) lie up to {away:.6g} from those of the other files of its group")
    return common.times_jd


def _baselines(headers: Mapping[int, SubbandHeader]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Slots of the tile's baselines, sorted: those of the file that has all the baselines of the most files.

    A file with fewer is aligned. One with baselines that the others lack is refused: it is of another setup.
    """
    slots = next(iter(headers.values())).array.numbers.size
    codes: dict[int, NDArray[np.int64]] = {}
    for subband, header in headers.items():
        first, second = slots_of(header)
        codes[subband] = np.unique(np.minimum(first, second) * slots + np.maximum(first, second))
    distinct = {one.tobytes(): one for one in codes.values()}

    def holds(common: NDArray[np.int64]) -> tuple[int, int]:
        return sum(bool(np.isin(one, common).all()) for one in codes.values()), common.size

    common = max(distinct.values(), key=holds)
    for subband, one in codes.items():
        strange = np.setdiff1d(one, common)
        if strange.size:
            raise BadFile(
                headers[subband].path, f"it has {strange.size} baselines that the other files of its group do not have"
            )
    return common // slots, common % slots


def _same(headers: Mapping[int, SubbandHeader], what: str, value: Callable[[SubbandHeader], Hashable]) -> None:
    values = {subband: value(header) for subband, header in headers.items()}
    common, count = Counter(values.values()).most_common(1)[0]
    for subband, found in values.items():
        if found != common:
            raise BadFile(headers[subband].path, f"its {what} differs from that of {count} other files of its group")


def _near(
    headers: Mapping[int, SubbandHeader],
    what: str,
    value: Callable[[SubbandHeader], NDArray[np.float64]],
    within: float,
) -> None:
    values = np.stack([value(header) for header in headers.values()])
    # The lower median is a value that some file has, so the majority of the files is right.
    middle = np.sort(values, axis=0)[(len(values) - 1) // 2]
    away = np.abs(values - middle).reshape(len(values), -1).max(axis=1)
    for header, distance in zip(headers.values(), away, strict=True):
        if distance > within:
            raise BadFile(header.path, f"in {what} it is {distance:.6g} from the other files of its group")
