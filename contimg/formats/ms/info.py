"""The metadata of a Measurement Set, read once for calibration and imaging."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg.errors import BadInput
from contimg.files.staging import final_path
from contimg.formats.tables import open_table
from contimg.instrument import dsa110

SAME_DISH = 0.05  # difference of two diameters, as a fraction, within which the dishes are alike
CELESTIAL_FRAMES = {"ICRS", "J2000"}
# Codes 1 to 12 of the Measurement Set definition (casacore memo 229).
CORRELATION_NAMES = dict(enumerate(["I", "Q", "U", "V", "RR", "RL", "LR", "LL", "XX", "XY", "YX", "YY"], start=1))


@dataclass(frozen=True)
class MSInfo:
    """Metadata of a Measurement Set with one field and one spectral window.

    Attributes
    ----------
    path : the MS.
    rows : number of rows.
    freqs_hz : channel centres, shape (channels,), ascending.
    channel_width_hz : width of a channel, positive.
    correlations : names, for example ("XX", "YY"), in the order of DATA's last axis.
    phase_centre_rad : right ascension and declination (ICRS), shape (2,).
    times_mjd_s : the distinct integration times (UTC, MJD seconds), shape (times,), ascending.
    integration_s : median length of an integration.
    pointing_rad : direction of the dishes at each of `times_mjd_s` (ICRS), shape (times, 2).
    antenna_names : of every slot in ANTENNA, so that ANTENNA1 indexes it.
    antenna_positions_m : ITRF, shape (slots, 3).
    antennas : the slots that have rows, ascending.
    columns : the main table's columns.
    telescope : name of the telescope; empty where OBSERVATION has none.
    dish_diameter_m : diameter of the dishes of `antennas`; NaN where they differ or ANTENNA does not have it.
    """

    path: Path
    rows: int
    freqs_hz: NDArray[np.float64]
    channel_width_hz: float
    correlations: tuple[str, ...]
    phase_centre_rad: NDArray[np.float64]
    times_mjd_s: NDArray[np.float64]
    integration_s: float
    pointing_rad: NDArray[np.float64]
    antenna_names: tuple[str, ...]
    antenna_positions_m: NDArray[np.float64]
    antennas: NDArray[np.int64]
    columns: frozenset[str]
    telescope: str
    dish_diameter_m: float

    @property
    def name(self) -> str:
        """The group's id: the file name without `.ms`, also under a temporary name."""
        return final_path(self.path).name.removesuffix(".ms")

    @property
    def sefd_jy(self) -> float | None:
        """System equivalent flux density of an antenna, Jy; None where it is not known."""
        is_dsa110 = self.telescope in dsa110.NAMES and self.dish_diameter_m == dsa110.DISH_DIAMETER_M
        return dsa110.SEFD_JY if is_dsa110 else None

    @property
    def samples(self) -> int:
        """Number of values in a column such as DATA."""
        return self.rows * len(self.freqs_hz) * len(self.correlations)

    @property
    def mid_mjd_s(self) -> float:
        """Middle of the tile, UTC, MJD seconds."""
        return float(0.5 * (self.times_mjd_s[0] + self.times_mjd_s[-1]))


def read_ms_info(path: Path) -> MSInfo:
    """Read the metadata of a Measurement Set.

    Parameters
    ----------
    path : the Measurement Set.

    Raises
    ------
    BadInput : it is not a Measurement Set, has no rows, or has several spectral windows.
    """
    if not (path / "table.dat").exists():
        raise BadInput(f"{path}: not a Measurement Set (no table.dat in it); give the path of a .ms directory")
    try:
        return _read(path)
    except RuntimeError as error:
        raise BadInput(f"{path}: casacore cannot read it ({error}); convert the group again") from error


def _read(path: Path) -> MSInfo:
    with open_table(path) as main:
        if main.nrows() == 0:
            raise BadInput(f"{path}: the Measurement Set has no rows; convert the group again")
        times = np.unique(main.getcol("TIME"))
        antennas = np.unique(np.concatenate([main.getcol("ANTENNA1"), main.getcol("ANTENNA2")]))
        integration = float(np.median(main.getcol("INTERVAL")))
        columns, rows = frozenset(main.colnames()), main.nrows()
    with open_table(path / "SPECTRAL_WINDOW") as windows:
        if windows.nrows() != 1:
            raise BadInput(f"{path}: {windows.nrows()} spectral windows, expected 1; combine them first")
        freqs, width = windows.getcell("CHAN_FREQ", 0), abs(float(windows.getcell("CHAN_WIDTH", 0)[0]))
    with open_table(path / "POLARIZATION") as polarization:
        correlations = tuple(CORRELATION_NAMES[int(code)] for code in polarization.getcell("CORR_TYPE", 0))
    with open_table(path / "FIELD") as field:
        phase_centre = np.asarray(field.getcell("PHASE_DIR", 0)[0], dtype=np.float64)
    with open_table(path / "ANTENNA") as antenna:
        names, positions = tuple(antenna.getcol("NAME")), antenna.getcol("POSITION")
        diameters_m = antenna.getcol("DISH_DIAMETER")[antennas]
    with open_table(path / "OBSERVATION") as observation:
        telescope = str(observation.getcell("TELESCOPE_NAME", 0)) if observation.nrows() else ""
    return MSInfo(
        path=path, rows=rows, freqs_hz=freqs, channel_width_hz=width, correlations=correlations,
        phase_centre_rad=phase_centre, times_mjd_s=times, integration_s=integration,
        pointing_rad=_pointing(path, times, phase_centre), antenna_names=names, antenna_positions_m=positions,
        antennas=antennas.astype(np.int64), columns=columns, telescope=telescope,
        dish_diameter_m=_common_diameter_m(diameters_m, telescope),
    )  # fmt: skip


def _common_diameter_m(diameters_m: NDArray[np.float64], telescope: str) -> float:
    """The diameter of all dishes; NaN where they differ or one is not known, which the DSA-110's always are."""
    known = np.isfinite(diameters_m) & (diameters_m > 0)
    if telescope in dsa110.NAMES:
        is_own = np.abs(diameters_m / dsa110.DISH_DIAMETER_M - 1) < SAME_DISH
        diameters_m = np.where(is_own | ~known, dsa110.DISH_DIAMETER_M, diameters_m)
    elif not known.all():
        return float("nan")
    alike = diameters_m.max() <= (1 + SAME_DISH) * diameters_m.min()
    return float(np.median(diameters_m)) if alike else float("nan")


def _pointing(path: Path, times: NDArray[np.float64], phase_centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pointing at each time, interpolated from the first antenna's POINTING rows.

    The phase centre where POINTING has no rows, or azimuth and elevation, as in other writers' Measurement Sets.
    """
    with open_table(path / "POINTING") as pointing:
        frame = pointing.getcolkeyword("DIRECTION", "MEASINFO")["Ref"]
        if pointing.nrows() == 0 or frame not in CELESTIAL_FRAMES:
            return np.tile(phase_centre, (times.size, 1))
        first = pointing.getcol("ANTENNA_ID") == pointing.getcell("ANTENNA_ID", 0)
        stamps = pointing.getcol("TIME")[first]
        directions = np.stack([pointing.getcell("DIRECTION", int(row))[0] for row in np.flatnonzero(first)])
    order = np.argsort(stamps)
    ra = np.unwrap(directions[order, 0])
    return np.stack(
        [np.interp(times, stamps[order], ra), np.interp(times, stamps[order], directions[order, 1])], axis=1
    )
