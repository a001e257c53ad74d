"""The header of one subband file, checked against itself, the band plan and the telescope's place.

Format: UVH5 (pyuvdata memo "UVH5 file format"), the legacy layout that the correlator writes and versions 1.x.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadFile
from contimg.formats.uvh5.antennas import Antennas, read_antennas
from contimg.formats.uvh5.opening import opened, text_of, unreadable
from contimg.formats.uvh5.phasing import Fixed, Phasing, Sidereal, read_phasing
from contimg.formats.uvh5.rows import Rows, integration_s, read_rows
from contimg.instrument.dsa110 import BAND, BandPlan

FEEDS = {-1: "RR", -2: "LL", -3: "RL", -4: "LR", -5: "XX", -6: "YY", -7: "XY", -8: "YX"}


@dataclass(frozen=True)
class SubbandHeader:
    """What one subband file says of itself, checked.

    Attributes
    ----------
    path : the file.
    subband : its place in the band plan, found from the channel edges; None when no plan was given.
    freqs_hz : channel centres in file order, shape (channels,).
    channel_width_hz : positive.
    layout : its rows: integrations, baselines and their order.
    integration_s : length of one integration.
    polarizations : AIPS codes in file order (-5 XX, -6 YY, -1 RR, -2 LL, …).
    array : the antenna table and the array's place.
    phasing : what the data are phased to.
    locking : how HDF5 is to lock the file.
    """

    path: Path
    subband: int | None
    freqs_hz: NDArray[np.float64]
    channel_width_hz: float
    layout: Rows
    integration_s: float
    polarizations: tuple[int, ...]
    array: Antennas
    phasing: Phasing
    locking: str = "best-effort"

    @property
    def times_jd(self) -> NDArray[np.float64]:
        """Integration centres (UTC Julian dates), shape (times,), ascending."""
        return self.layout.times_jd

    @property
    def antenna_1(self) -> NDArray[np.int64]:
        """Number of each baseline's first antenna, in file order, shape (baselines,)."""
        return self.layout.antenna_1

    @property
    def antenna_2(self) -> NDArray[np.int64]:
        """Number of each baseline's second antenna, in file order, shape (baselines,)."""
        return self.layout.antenna_2

    @property
    def antenna_positions_m(self) -> NDArray[np.float64]:
        """ECEF relative to the array's centre, shape (slots, 3)."""
        return self.array.positions_m

    @property
    def baselines(self) -> int:
        """Number of baselines, autocorrelations included."""
        return self.layout.antenna_1.size

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.layout.count

    @property
    def pointing_dec_rad(self) -> float | None:
        """Apparent declination at which the dishes stand; None when the file does not say."""
        match self.phasing:
            case Fixed(declination_rad=declination) | Sidereal(pointing_dec_rad=declination):
                return declination
        return None


def read_header(
    path: Path, band: BandPlan | None = BAND, *, own_telescope: bool = True, locking: str = "best-effort"
) -> SubbandHeader:
    """Read and check one file's header.

    Parameters
    ----------
    band : the plan whose subbands the channels have to fill; None takes any even axis.
    own_telescope : the file has to be of the DSA-110's place and to say its declination.
    locking : see `contimg.formats.uvh5.opening.opened`.

    Raises
    ------
    BadFile with the reason, Transient when the file cannot be reached.
    """
    with opened(path, locking) as file:
        try:
            header = file["Header"]
            _check_version(path, header)
            count = _check_shapes(path, file)
            freqs, width, subband = _read_band(path, header, band)
            array = read_antennas(path, header, own_telescope)
            layout = read_rows(path, header, count, array.numbers)
            return SubbandHeader(
                path=path,
                subband=subband,
                freqs_hz=freqs,
                channel_width_hz=width,
                layout=layout,
                integration_s=integration_s(path, header),
                polarizations=_read_polarizations(path, header),
                array=array,
                phasing=read_phasing(path, header, unprojected=not own_telescope),
                locking=locking,
            )
        except KeyError as error:
            raise BadFile(
                path, f"a part of the file is missing ({error.args[0]}); the writer did not finish it"
            ) from error
        except OSError as error:
            raise unreadable(path, error, "its header cannot be read ({}); the file is damaged") from error


def _check_version(path: Path, header: Any) -> None:
    version = text_of(header, "version")
    if version and version.split(".")[0] not in ("0", "1"):
        raise BadFile(path, f"it is UVH5 version {version}; the legacy layout and 1.x are known")
    if "Nspws" in header and int(header["Nspws"][()]) != 1:
        raise BadFile(path, f"it has {int(header['Nspws'][()])} spectral windows; a subband file has one")
    if text_of(header, "timesys", "UTC").upper() != "UTC":
        raise BadFile(path, f"its times are {text_of(header, 'timesys')}, not UTC")


def _check_shapes(path: Path, file: Any) -> int:
    """Number of rows, provided that data and header agree; legacy data have one axis more, of length 1."""
    if not isinstance(file["Data"], h5py.Group):
        raise BadFile(path, "Data is no group; not a UVH5 file")
    header, shape = file["Header"], file["Data/visdata"].shape
    said = tuple(int(header[name][()]) for name in ("Nblts", "Nfreqs", "Npols"))
    if shape not in (said, (said[0], 1, *said[1:])):
        raise BadFile(path, f"visdata has the shape {shape} but the header says (Nblts, Nfreqs, Npols) = {said}")
    if 0 in said:
        raise BadFile(path, f"it holds nothing: (Nblts, Nfreqs, Npols) = {said}")
    for name in ("flags", "nsamples"):
        if file[f"Data/{name}"].shape != shape:
            raise BadFile(path, f"{name} has the shape {file[f'Data/{name}'].shape}, visdata {shape}")
    return said[0]


def _read_band(path: Path, header: Any, band: BandPlan | None) -> tuple[NDArray[np.float64], float, int | None]:
    freqs = np.asarray(header["freq_array"][()], dtype=np.float64).reshape(-1)
    widths = np.abs(np.atleast_1d(header["channel_width"][()]).astype(np.float64)).ravel()
    width = float(widths[0])
    if freqs.size != int(header["Nfreqs"][()]):
        raise BadFile(path, f"freq_array has {freqs.size} channels but Nfreqs says {int(header['Nfreqs'][()])}")
    if not np.allclose(widths, width, rtol=0, atol=1.0):
        raise BadFile(path, f"its channels are {widths.min():.3f} to {widths.max():.3f} Hz wide; they have to be equal")
    steps = np.diff(freqs)
    rising = band.rising if band else bool(freqs.size > 1 and steps[0] > 0)
    if steps.size and not np.allclose(steps, width if rising else -width, rtol=0, atol=1.0):
        way = "ascend" if rising else "descend"
        raise BadFile(path, f"its channels do not {way} in steps of {width:.3f} Hz; the frequency axis is wrong")
    subband = band.subband_of(freqs, width) if band else None
    if band and subband is None:
        raise BadFile(
            path,
            f"its channels, {freqs.min() / 1e6:.6f} to {freqs.max() / 1e6:.6f} MHz, fill no subband of the band plan",
        )
    return freqs, width, subband


def _read_polarizations(path: Path, header: Any) -> tuple[int, ...]:
    codes = tuple(int(code) for code in header["polarization_array"][:])
    linear = {code <= -5 for code in codes}
    if len(codes) != int(header["Npols"][()]) or len(set(codes)) != len(codes):
        raise BadFile(
            path, f"polarization_array {codes} does not name Npols = {int(header['Npols'][()])} polarisations"
        )
    if not set(codes) <= FEEDS.keys() or len(linear) != 1:
        raise BadFile(path, f"its polarisations {codes} are not all of XX, YY, XY, YX nor all of RR, LL, RL, LR")
    return codes
