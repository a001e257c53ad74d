"""The header of a subband file, checked against itself, the band plan and the telescope's position.

Format: UVH5 (pyuvdata memo "UVH5 file format"), the legacy layout that the correlator writes and versions 1.x.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg.common.errors import BadFile
from contimg.formats.uvh5.antennas import Antennas, read_antennas
from contimg.formats.uvh5.opening import open_subband_file, read_error, read_text
from contimg.formats.uvh5.phasing import Phasing, read_phasing
from contimg.formats.uvh5.rows import RowLayout, read_row_layout
from contimg.formats.uvh5.uvw import check_uvw
from contimg.instrument.dsa110 import BAND, BandPlan

POLARIZATIONS = {-1: "RR", -2: "LL", -3: "RL", -4: "LR", -5: "XX", -6: "YY", -7: "XY", -8: "YX"}

_SCALARS = ("Nblts", "Nfreqs", "Npols", "Nspws", "longitude", "latitude", "altitude")
_DIMENSIONS = {
    **dict.fromkeys(_SCALARS, (0,)), "ant_1_array": (1,), "ant_2_array": (1,), "time_array": (1,),
    "integration_time": (0, 1), "antenna_numbers": (1,), "antenna_positions": (2,), "antenna_diameters": (0, 1),
    "uvw_array": (2,), "freq_array": (1, 2), "channel_width": (0, 1, 2), "polarization_array": (1,),
    "telescope_location": (1,), "extra_keywords/phase_center_dec": (0,), "extra_keywords/ha_phase_center": (0,),
}  # fmt: skip
# Checked where they are read.
_MAY_BE_NAN = ("antenna_positions", "antenna_diameters", "uvw_array", "time_array", "integration_time")
_DATA_KINDS = {"visdata": "c", "flags": "bfiu", "nsamples": "fiu"}  # of NumPy; integers are a compound of r and i


@dataclass(frozen=True)
class SubbandHeader:
    """The checked header of a subband file.

    Attributes
    ----------
    path : the file.
    subband : its number in the band plan, from the channel edges; None when no plan was given.
    freqs_hz : channel centres in file order, shape (channels,).
    channel_width_hz : positive.
    layout : its rows: integrations, baselines and their order.
    polarizations : AIPS codes in file order (-5 XX, -6 YY, -1 RR, -2 LL, …).
    array : the antenna table and the array's position.
    phasing : what the data are phased to.
    locking : how HDF5 locks the file.
    """

    path: Path
    subband: int | None
    freqs_hz: NDArray[np.float64]
    channel_width_hz: float
    layout: RowLayout
    polarizations: tuple[int, ...]
    array: Antennas
    phasing: Phasing
    locking: str = "best-effort"

    @property
    def times_jd(self) -> NDArray[np.float64]:
        """Integration centres (UTC Julian dates), shape (times,), ascending."""
        return self.layout.times_jd

    @property
    def integrations_s(self) -> NDArray[np.float64]:
        """Lengths of the integrations, shape (times,)."""
        return self.layout.integrations_s

    @property
    def baselines(self) -> int:
        """Number of baselines, autocorrelations included."""
        return self.layout.antenna_1.size

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.layout.count


def read_header(
    path: Path, band: BandPlan | None = BAND, *, own_telescope: bool = True, locking: str = "best-effort"
) -> SubbandHeader:
    """Read and check the header of a file.

    Parameters
    ----------
    path : the file.
    band : the plan of which the channels have to fill a subband; None takes any evenly spaced channels.
    own_telescope : require the DSA-110's position and a declination.
    locking : see `contimg.formats.uvh5.opening.open_subband_file`.

    Raises
    ------
    BadFile : with the reason.
    Transient : the file cannot be reached.
    """
    with open_subband_file(path, locking) as file:
        try:
            header = file["Header"]
            _check_numbers(path, header)
            _check_version(path, header)
            count = _check_shapes(path, file)
            freqs, width, subband = _read_band(path, header, band)
            layout = read_row_layout(path, header, count, own_telescope)
            array = read_antennas(path, header, np.union1d(layout.antenna_1, layout.antenna_2), own_telescope)
            phasing = read_phasing(path, header, allow_unprojected=not own_telescope)
            check_uvw(path, header, layout, array, phasing, own_telescope)
            return SubbandHeader(
                path=path, subband=subband, freqs_hz=freqs, channel_width_hz=width, layout=layout,
                polarizations=_read_polarizations(path, header), array=array, phasing=phasing, locking=locking,
            )  # fmt: skip
        except KeyError as error:
            raise BadFile(path, f"a data set is missing ({error.args[0]}); the writer did not finish it") from error
        except (AttributeError, IndexError, OverflowError, TypeError, ValueError) as error:
            raise BadFile(path, f"its header is not that of a UVH5 file ({type(error).__name__}: {error})") from error
        except OSError as error:
            raise read_error(path, error, "its header cannot be read ({}); the file is damaged") from error


def _check_numbers(path: Path, header: Any) -> None:
    """Check that data sets are finite numbers with the expected number of axes."""
    for name, dimensions in _DIMENSIONS.items():
        dataset = header.get(name)
        if dataset is None:
            continue
        if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "fiu" or dataset.ndim not in dimensions:
            axes = " or ".join(map(str, dimensions))
            raise BadFile(path, f"{name} is not a data set of numbers with {axes} axes; not a UVH5 file")
        checked = dataset.dtype.kind == "f" and name not in _MAY_BE_NAN
        if not dataset.size or (checked and not np.isfinite(dataset[()]).all()):
            raise BadFile(path, f"{name} is empty or not finite; the writer did not finish it")


def _check_version(path: Path, header: Any) -> None:
    version = read_text(header, "version")
    if version and version.split(".")[0] not in ("0", "1"):
        raise BadFile(path, f"it is UVH5 version {version}; the legacy layout and 1.x are supported")
    if "Nspws" in header and int(header["Nspws"][()]) != 1:
        raise BadFile(path, f"it has {int(header['Nspws'][()])} spectral windows; a subband file has one")
    if read_text(header, "timesys", "UTC").upper() != "UTC":
        raise BadFile(path, f"its times are {read_text(header, 'timesys')}, not UTC")


def _check_shapes(path: Path, file: Any) -> int:
    """Number of rows; data and header have to agree. Legacy data have one more axis, of length 1."""
    if not isinstance(file["Data"], h5py.Group):
        raise BadFile(path, "Data is no group; not a UVH5 file")
    for name, kinds in _DATA_KINDS.items():
        dataset = file[f"Data/{name}"]
        dtype = dataset.dtype if isinstance(dataset, h5py.Dataset) else None
        if dtype is None or not (dtype.kind in kinds or (name == "visdata" and dtype.names == ("r", "i"))):
            raise BadFile(path, f"Data/{name} has values of another kind ({dtype}); not a UVH5 file")
    header, shape = file["Header"], file["Data/visdata"].shape
    expected = tuple(int(header[name][()]) for name in ("Nblts", "Nfreqs", "Npols"))
    if shape not in (expected, (expected[0], 1, *expected[1:])):
        raise BadFile(path, f"visdata has the shape {shape} but the header has (Nblts, Nfreqs, Npols) = {expected}")
    if 0 in expected:
        raise BadFile(path, f"it has no data: (Nblts, Nfreqs, Npols) = {expected}")
    for name in ("flags", "nsamples"):
        if file[f"Data/{name}"].shape != shape:
            raise BadFile(path, f"{name} has the shape {file[f'Data/{name}'].shape}, visdata {shape}")
    return expected[0]


def _read_band(path: Path, header: Any, band: BandPlan | None) -> tuple[NDArray[np.float64], float, int | None]:
    freqs = np.asarray(header["freq_array"][()], dtype=np.float64).reshape(-1)
    widths = np.abs(np.atleast_1d(header["channel_width"][()]).astype(np.float64)).ravel()
    width = float(widths[0])
    if freqs.size != int(header["Nfreqs"][()]):
        raise BadFile(path, f"freq_array has {freqs.size} channels but Nfreqs is {int(header['Nfreqs'][()])}")
    if not np.allclose(widths, width, rtol=0, atol=1.0):
        raise BadFile(path, f"its channels are {widths.min():.3f} to {widths.max():.3f} Hz wide; they have to be equal")
    steps = np.diff(freqs)
    rising = band.rising if band else bool(freqs.size > 1 and steps[0] > 0)
    if steps.size and not np.allclose(steps, width if rising else -width, rtol=0, atol=1.0):
        direction = "ascend" if rising else "descend"
        raise BadFile(path, f"its channels do not {direction} in steps of {width:.3f} Hz; the frequency axis is wrong")
    subband = band.subband_of(freqs, width) if band else None
    if band and subband is None:
        raise BadFile(
            path,
            f"its channels, {freqs.min() / 1e6:.6f} to {freqs.max() / 1e6:.6f} MHz, fill no subband of the band plan",
        )
    return freqs, width, subband


def _read_polarizations(path: Path, header: Any) -> tuple[int, ...]:
    codes = tuple(int(code) for code in header["polarization_array"][:])
    count = int(header["Npols"][()])
    if len(codes) != count or len(set(codes)) != len(codes):
        raise BadFile(path, f"polarization_array {codes} does not have Npols = {count} different polarisations")
    if not set(codes) <= POLARIZATIONS.keys() or len({code <= -5 for code in codes}) != 1:
        raise BadFile(path, f"its polarisations {codes} are not all of XX, YY, XY, YX nor all of RR, LL, RL, LR")
    return codes
