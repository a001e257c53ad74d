"""The files of one group seen as one tile of sky: their headers, found to agree."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadFile, BadInput
from contimg.telescope import BAND, CADENCE_S, BandPlan
from contimg.uvh5 import SubbandHeader, read_header

TIME_TOLERANCE_S = 0.01
NAME_TOLERANCE_S = 2 * CADENCE_S  # a name is stamped near its tile's start; a file of another tile is further away
POINTING_TOLERANCE_RAD = np.deg2rad(1 / 3600)
UNIX_EPOCH_JD = 2440587.5


@dataclass(frozen=True)
class Tile:
    """One group's headers by subband; `reference` speaks for all in what they share."""

    headers: Mapping[int, SubbandHeader]
    band: BandPlan

    @property
    def reference(self) -> SubbandHeader:
        """A header to read times, baselines, antennas, polarisations and pointing from."""
        return next(iter(self.headers.values()))

    @property
    def channels(self) -> int:
        """Channels of one subband."""
        return self.reference.freqs_hz.size

    @property
    def freqs_hz(self) -> NDArray[np.float64]:
        """Channel centres of the whole band, ascending, missing subbands included, shape (subbands × channels,)."""
        descending = [self.band.channel_freqs_hz(subband, self.channels) for subband in range(self.band.subbands)]
        return np.concatenate(descending)[::-1]

    @property
    def missing(self) -> tuple[int, ...]:
        """Subbands that no file fills."""
        return tuple(subband for subband in range(self.band.subbands) if subband not in self.headers)

    def channel_slice(self, subband: int) -> slice:
        """Where a subband's channels lie in `freqs_hz`."""
        start = (self.band.subbands - 1 - subband) * self.channels
        return slice(start, start + self.channels)


def read_tile(files: Mapping[int, Path], band: BandPlan = BAND) -> Tile:
    """Read and compare the headers of a group.

    Parameters
    ----------
    files : path by the subband that the file's name claims.

    Raises
    ------
    BadFile for the first file that is wrong in itself, is not the subband it claims, or differs from the others.
    """
    if not files:
        raise BadInput("a group without files cannot be converted; look at its files in the incoming directory")
    headers = {}
    for subband, path in sorted(files.items()):
        headers[subband] = header = read_header(path, band)
        if header.subband != subband:
            raise BadFile(path, f"its channels are those of subband {header.subband}, its name says {subband}")
        _check_name(header)
    _check_agreement(headers)
    return Tile(headers, band)


def _check_name(header: SubbandHeader) -> None:
    stamp = header.path.name.split("_sb")[0]
    try:
        named = datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return  # a file given by hand may have any name
    away = (float(header.times_jd[0]) - UNIX_EPOCH_JD) * 86400 - named
    if abs(away) > NAME_TOLERANCE_S:
        raise BadFile(header.path, f"its data begin {away:.0f} s from the time in its name; it is of another tile")


def _check_agreement(headers: Mapping[int, SubbandHeader]) -> None:
    _same(headers, "number of channels", lambda header: header.freqs_hz.size)
    _same(headers, "polarisations", lambda header: header.polarizations)
    _same(headers, "number of integrations", lambda header: header.times_jd.size)
    _same(headers, "baselines", lambda header: header.antenna_1.tobytes() + header.antenna_2.tobytes())
    _same(headers, "antenna table", lambda header: (header.antenna_numbers.tobytes(), header.antenna_names))
    _near(headers, "antenna positions (m)", lambda header: header.antenna_positions_m, 1e-3)
    _near(headers, "integration time (s)", lambda header: np.asarray(header.integration_s), 1e-3)
    _near(headers, "declination (rad)", lambda header: np.asarray(header.pointing_dec_rad), POINTING_TOLERANCE_RAD)
    start = float(next(iter(headers.values())).times_jd[0])
    _near(headers, "times (s)", lambda header: (header.times_jd - start) * 86400, TIME_TOLERANCE_S)


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
            raise BadFile(header.path, f"its {what} lie {distance:.6g} from those of the other files of its group")
