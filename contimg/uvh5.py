"""One subband file: its header, the checks that it is what its name says, and a reader of row blocks.

Format: UVH5 (pyuvdata memo "UVH5 file format") in the legacy layout that the correlator writes. The data are
fringe-stopped to the meridian although the file calls itself a drift scan; `SubbandHeader.pointing_dec_rad`
is where.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import erfa
import h5py
import numpy as np
from numpy.typing import NDArray

from contimg import telescope
from contimg.errors import BadFile, Transient
from contimg.telescope import BAND, BandPlan

FIRST_CREDIBLE_JD = 2451544.5  # 2000-01-01: what lies before it is not a Julian date of this telescope
SITE_TOLERANCE_M = 100.0


@dataclass(frozen=True)
class SubbandHeader:
    """What one subband file says of itself, checked.

    Attributes
    ----------
    path : the file.
    subband : its place in the band plan, 0 the highest, found from the channel edges.
    freqs_hz : channel centres in file order, shape (channels,).
    channel_width_hz : positive.
    times_jd : integration centres (UTC Julian dates), shape (times,), ascending.
    integration_s : length of one integration.
    antenna_1, antenna_2 : antenna numbers of each baseline in file order, shape (baselines,).
    polarizations : AIPS codes (-5 XX, -6 YY).
    antenna_numbers, antenna_names, antenna_positions_m : every slot; positions are ECEF relative to the array's
        centre, shape (slots, 3).
    centre_m : ECEF of the array's centre, shape (3,).
    pointing_dec_rad : apparent declination of the pointing, to which the data are fringe-stopped at hour angle 0.
    """

    path: Path
    subband: int
    freqs_hz: NDArray[np.float64]
    channel_width_hz: float
    times_jd: NDArray[np.float64]
    integration_s: float
    antenna_1: NDArray[np.int64]
    antenna_2: NDArray[np.int64]
    polarizations: tuple[int, ...]
    antenna_numbers: NDArray[np.int64]
    antenna_names: tuple[str, ...]
    antenna_positions_m: NDArray[np.float64]
    centre_m: NDArray[np.float64]
    pointing_dec_rad: float

    @property
    def baselines(self) -> int:
        """Number of baselines, autocorrelations included."""
        return self.antenna_1.size

    @property
    def rows(self) -> int:
        """Number of rows: times × baselines."""
        return self.times_jd.size * self.baselines

    @cached_property
    def slot_of(self) -> dict[int, int]:
        """Antenna number to its index in the antenna table."""
        return {int(number): slot for slot, number in enumerate(self.antenna_numbers)}


def read_header(path: Path, band: BandPlan = BAND) -> SubbandHeader:
    """Read and check one file's header; raises BadFile with the reason, Transient when the file cannot be reached."""
    with _opened(path) as file:
        try:
            header = file["Header"]
            rows = _check_shapes(path, file)
            antenna_1, antenna_2, times = _read_rows(path, header, rows)
            freqs, width, subband = _read_band(path, header, band)
            numbers, names, positions, centre = _read_antennas(path, header, antenna_1, antenna_2)
            return SubbandHeader(
                path=path,
                subband=subband,
                freqs_hz=freqs,
                channel_width_hz=width,
                times_jd=times,
                integration_s=float(np.atleast_1d(header["integration_time"][()])[0]),
                antenna_1=antenna_1,
                antenna_2=antenna_2,
                polarizations=tuple(int(code) for code in header["polarization_array"][:]),
                antenna_numbers=numbers,
                antenna_names=names,
                antenna_positions_m=positions,
                centre_m=centre,
                pointing_dec_rad=_read_pointing(path, header),
            )
        except KeyError as error:
            raise BadFile(
                path, f"a part of the file is missing ({error.args[0]}); the writer did not finish it"
            ) from error


class SubbandReader:
    """Reads row blocks of one subband file; a context manager. Values come as they stand in the file."""

    def __init__(self, header: SubbandHeader) -> None:
        self.header = header

    def __enter__(self) -> "SubbandReader":
        self._file = _opened(self.header.path)
        self._visdata, self._flags, self._nsamples = (
            self._file[f"Data/{name}"] for name in ("visdata", "flags", "nsamples")
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def chunk_rows(self) -> int:
        """Rows in one HDF5 chunk of the visibilities: blocks of a multiple of it read each chunk once."""
        return int(self._visdata.chunks[0]) if self._visdata.chunks else 1

    def read(self, start: int, stop: int) -> tuple[NDArray[np.complex64], NDArray[np.bool_], NDArray[np.float32]]:
        """Visibilities, flags and sample counts of rows [start, stop), each of shape (rows, channels, correlations)."""
        try:
            block = (
                self._visdata[start:stop, 0].astype(np.complex64, copy=False),
                self._flags[start:stop, 0].astype(np.bool_, copy=False),
                self._nsamples[start:stop, 0].astype(np.float32, copy=False),
            )
        except OSError as error:
            raise BadFile(
                self.header.path, f"its data cannot be read ({_first_line(error)}); the file is damaged"
            ) from error
        return block


def _opened(path: Path) -> Any:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise BadFile(path, "the file is gone; put it back or discard the group") from None
    except OSError as error:
        raise Transient(f"{path}: cannot be reached ({error.strerror}); check the file system") from error
    if size == 0:
        raise BadFile(path, "the file is empty; the writer never filled it")
    try:
        # A chunk cache that holds one row of chunks of all three data sets keeps every chunk from being read twice.
        return h5py.File(path, "r", rdcc_nbytes=16 << 20, rdcc_nslots=10007)
    except PermissionError as error:
        raise Transient(f"{path}: not readable by this user; give read permission to the incoming directory") from error
    except OSError as error:
        raise BadFile(path, f"not a readable HDF5 file ({_first_line(error)}); truncated or foreign") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _check_shapes(path: Path, file: Any) -> int:
    shape = file["Data/visdata"].shape
    header = file["Header"]
    said = tuple(int(header[name][()]) for name in ("Nblts", "Nfreqs", "Npols"))
    if len(shape) != 4 or (shape[0], shape[2], shape[3]) != said or shape[1] != 1:
        raise BadFile(path, f"visdata has the shape {shape} but the header says (Nblts, Nfreqs, Npols) = {said}")
    for name in ("flags", "nsamples"):
        if file[f"Data/{name}"].shape != shape:
            raise BadFile(path, f"{name} has the shape {file[f'Data/{name}'].shape}, visdata {shape}")
    return int(shape[0])


def _read_rows(path: Path, header: Any, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Baselines and times, provided that every integration holds the same baselines in the same order."""
    antenna_1, antenna_2, stamps = (header[name][:] for name in ("ant_1_array", "ant_2_array", "time_array"))
    if not antenna_1.size == antenna_2.size == stamps.size == rows:
        raise BadFile(path, f"ant_1_array, ant_2_array and time_array do not all have Nblts = {rows} entries")
    if not np.all(np.isfinite(stamps)) or stamps.min() < FIRST_CREDIBLE_JD:
        raise BadFile(path, f"time_array begins at {stamps.min():.3f}, which is no Julian date of this century")
    baselines = int(np.flatnonzero(np.append(stamps[1:] != stamps[:-1], True))[0]) + 1
    if rows % baselines:
        raise BadFile(path, f"{rows} rows are not a whole number of integrations of {baselines} baselines")
    grid_1, grid_2, grid_t = (array.reshape(-1, baselines) for array in (antenna_1, antenna_2, stamps))
    regular = (grid_1 == grid_1[0]).all() and (grid_2 == grid_2[0]).all() and (grid_t == grid_t[:, :1]).all()
    if not regular:
        raise BadFile(path, "its rows are not the same baselines in the same order in every integration")
    times = grid_t[:, 0].astype(np.float64)
    if np.any(np.diff(times) <= 0):
        raise BadFile(path, "its integrations are not in order of time")
    return grid_1[0].astype(np.int64), grid_2[0].astype(np.int64), times


def _read_band(path: Path, header: Any, band: BandPlan) -> tuple[NDArray[np.float64], float, int]:
    freqs = np.asarray(header["freq_array"][()], dtype=np.float64).reshape(-1)
    width = float(np.abs(np.atleast_1d(header["channel_width"][()])).ravel()[0])
    if freqs.size != int(header["Nfreqs"][()]):
        raise BadFile(path, f"freq_array has {freqs.size} channels but Nfreqs says {int(header['Nfreqs'][()])}")
    steps = np.diff(freqs)
    if steps.size and not np.allclose(steps, -width, rtol=0, atol=1.0):
        raise BadFile(path, f"its channels do not descend in steps of {width:.3f} Hz; the frequency axis is wrong")
    subband = band.subband_of(freqs, width)
    if subband is None:
        raise BadFile(
            path,
            f"its channels, {freqs.min() / 1e6:.6f} to {freqs.max() / 1e6:.6f} MHz, fill no subband of the band plan",
        )
    return freqs, width, subband


def _read_antennas(
    path: Path, header: Any, antenna_1: NDArray[np.int64], antenna_2: NDArray[np.int64]
) -> tuple[NDArray[np.int64], tuple[str, ...], NDArray[np.float64], NDArray[np.float64]]:
    numbers = header["antenna_numbers"][:].astype(np.int64)
    names = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in header["antenna_names"][:])
    positions = header["antenna_positions"][:].astype(np.float64)
    if not numbers.size == len(names) == len(positions):
        raise BadFile(path, "antenna_numbers, antenna_names and antenna_positions differ in length")
    unknown = np.setdiff1d(np.concatenate([antenna_1, antenna_2]), numbers)
    if unknown.size:
        raise BadFile(path, f"its rows name antenna {unknown[0]}, which is not in antenna_numbers")
    place = [float(header[name][()]) for name in ("longitude", "latitude", "altitude")]
    centre = np.asarray(erfa.gd2gc(1, np.deg2rad(place[0]), np.deg2rad(place[1]), place[2]))
    site = erfa.gd2gc(1, np.deg2rad(telescope.LONGITUDE_DEG), np.deg2rad(telescope.LATITUDE_DEG), telescope.HEIGHT_M)
    away = float(np.linalg.norm(centre - site))
    if away > SITE_TOLERANCE_M:
        raise BadFile(path, f"it was taken {away / 1000:.1f} km from this telescope; it is another telescope's file")
    return numbers, names, positions, centre


def _read_pointing(path: Path, header: Any) -> float:
    keywords = header.get("extra_keywords")
    if keywords is None or "phase_center_dec" not in keywords:
        raise BadFile(path, "extra_keywords/phase_center_dec is missing, so its declination is unknown")
    declination = float(keywords["phase_center_dec"][()])
    if not abs(declination) <= np.pi / 2:
        raise BadFile(path, f"phase_center_dec = {declination} is no declination in radians")
    return declination
