"""The metadata of a Measurement Set, read and checked once for flagging, calibration and imaging."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import table
from numpy.typing import NDArray

from contimg.common.errors import BadInput
from contimg.common.files.staging import final_path
from contimg.formats.tables import open_table
from contimg.instrument import dsa110
from contimg.instrument.time import DAY_S

log = logging.getLogger(__name__)

ALIKE_DISHES = 0.05  # difference of two diameters, as a fraction, within which the dishes are alike
MAX_WEIGHT = 1e30  # sums of larger ones overflow
MAX_UVW_M = 1.3e7  # the diameter of the Earth
CELESTIAL_FRAMES = {"ICRS", "J2000"}
# Codes 1 to 12 of the Measurement Set definition (casacore memo 229).
CORRELATION_NAMES = dict(enumerate(["I", "Q", "U", "V", "RR", "RL", "LR", "LL", "XX", "XY", "YX", "YY"], start=1))
_SAME_CENTRE_RAD = 1e-9


@dataclass(frozen=True)
class MSInfo:
    """Metadata of a Measurement Set with one field and one spectral window.

    Attributes
    ----------
    path : the MS.
    rows : number of rows.
    usable_rows : rows whose UVW and weights of the parallel hands are finite and within MAX_UVW_M and MAX_WEIGHT,
        shape (rows,).
    freqs_hz : channel centres, shape (channels,), ascending.
    channel_width_hz : width of a channel, positive.
    correlations : names, for example ("XX", "YY"), in the order of DATA's last axis.
    phase_centre_rad : right ascension and declination (ICRS), shape (2,).
    times_mjd_s : the distinct integration times (UTC, MJD seconds), shape (times,), ascending.
    integration_s : median length of an integration.
    exposure_s : length of all integrations together.
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
    usable_rows: NDArray[np.bool_]
    freqs_hz: NDArray[np.float64]
    channel_width_hz: float
    correlations: tuple[str, ...]
    phase_centre_rad: NDArray[np.float64]
    times_mjd_s: NDArray[np.float64]
    integration_s: float
    exposure_s: float
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
    def time_step_s(self) -> float:
        """Time from one integration to the next; longer than an integration where some are missing between."""
        times_mjd_s = self.times_mjd_s
        return float(np.median(np.diff(times_mjd_s))) if times_mjd_s.size > 1 else self.integration_s

    @property
    def mid_mjd_s(self) -> float:
        """Middle of the tile, UTC, MJD seconds."""
        return float(0.5 * (self.times_mjd_s[0] + self.times_mjd_s[-1]))

    @property
    def mid_mjd(self) -> float:
        """Middle of the tile, UTC, MJD."""
        return self.mid_mjd_s / DAY_S

    @property
    def receptors(self) -> NDArray[np.int64]:
        """The receptors of each correlation's two antennas, 0 for X and R, 1 for Y and L, shape (correlations, 2)."""
        return np.array([["XRYL".index(hand) // 2 for hand in name] for name in self.correlations], dtype=np.int64)

    def require_products(self) -> None:
        """Raise BadInput where the correlations are Stokes parameters, or have no parallel hands."""
        names = self.correlations
        if not self.parallel_hands.size or any(len(name) != 2 for name in names):
            raise BadInput(
                f"{self.path}: its correlations are {', '.join(names)}; flagging and calibration need products of "
                "receptors such as XX and YY, so give the Measurement Set from before their conversion"
            )

    @property
    def parallel_hands(self) -> NDArray[np.int64]:
        """Positions of XX and YY, or RR and LL, in `correlations`."""
        return _find_parallel_hands(self.correlations)

    def select_parallel_hands(self, values: NDArray[Any]) -> NDArray[Any]:
        """Give the values of the parallel hands; the array itself where there are no others.

        Parameters
        ----------
        values : shape (..., correlations).
        """
        hands = self.parallel_hands
        return values if hands.size == values.shape[-1] else np.ascontiguousarray(values[..., hands])


def read_ms_info(path: Path) -> MSInfo:
    """Read and check the metadata of a Measurement Set.

    Rows that cannot be used are left out by the stages (`MSInfo.usable_rows`), and their number is logged.

    Parameters
    ----------
    path : the Measurement Set.

    Raises
    ------
    BadInput : it is not a Measurement Set or cannot be read, has no usable row, rows of several fields, spectral
        windows or polarization set-ups, a phase centre that is not ICRS or J2000, two antennas of
        one name, or times, frequencies or shapes that are not valid.
    Transient : another process has locked it.
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
        stamps = main.getcol("TIME")
        _require(np.isfinite(stamps).all(), path, "TIME is not finite in some rows", "remove them")
        antennas = np.unique(np.concatenate([main.getcol("ANTENNA1"), main.getcol("ANTENNA2")]))
        intervals = main.getcol("INTERVAL")
        integration = float(np.median(intervals))
        _require(0 < integration < np.inf, path, f"INTERVAL is {integration:g} s", "correct it")
        fields, setup = np.unique(main.getcol("FIELD_ID")), _read_setup(path, np.unique(main.getcol("DATA_DESC_ID")))
        freqs, width, correlations = setup
        _check_shapes(path, main, (freqs.size, len(correlations)))
        usable_rows = _find_usable_rows(path, main, correlations)
        columns, rows = frozenset(main.colnames()), main.nrows()
        times, first_rows = np.unique(stamps, return_index=True)
    phase_centre = _read_phase_centre(path, fields)
    with open_table(path / "ANTENNA") as antenna:
        names, positions = tuple(antenna.getcol("NAME")), antenna.getcol("POSITION")
        _check_antennas(path, antennas, names, positions)
        diameters_m = antenna.getcol("DISH_DIAMETER")[antennas]
    with open_table(path / "OBSERVATION") as observation:
        telescope = str(observation.getcell("TELESCOPE_NAME", 0)) if observation.nrows() else ""
    return MSInfo(
        path=path, rows=rows, usable_rows=usable_rows, freqs_hz=freqs, channel_width_hz=width,
        correlations=correlations, phase_centre_rad=phase_centre, times_mjd_s=times, integration_s=integration,
        exposure_s=float(intervals[first_rows].sum()), pointing_rad=_pointing(path, times, phase_centre),
        antenna_names=names, antenna_positions_m=positions,
        antennas=antennas.astype(np.int64), columns=columns, telescope=telescope,
        dish_diameter_m=_common_diameter_m(diameters_m, telescope),
    )  # fmt: skip


def _common_diameter_m(diameters_m: NDArray[np.float64], telescope: str) -> float:
    """The diameter of all dishes; NaN where they differ or one is not known, which the DSA-110's always are."""
    has_diameter = np.isfinite(diameters_m) & (diameters_m > 0)
    if telescope in dsa110.NAMES:
        diameters_m = np.where(dsa110.is_own_dish(diameters_m) | ~has_diameter, dsa110.DISH_DIAMETER_M, diameters_m)
    elif not has_diameter.all():
        return float("nan")
    alike = diameters_m.max() <= (1 + ALIKE_DISHES) * diameters_m.min()
    return float(np.median(diameters_m)) if alike else float("nan")


def _require(condition: bool | np.bool_, path: Path, fault: str, remedy: str) -> None:
    if not condition:
        raise BadInput(f"{path}: {fault}; {remedy}")


def _read_setup(path: Path, used_ids: NDArray[np.int32]) -> tuple[NDArray[np.float64], float, tuple[str, ...]]:
    """Read frequencies, channel width and correlations of the only DATA_DESC_ID that has rows."""
    fault = f"{used_ids.size} spectral windows or polarization set-ups have rows, expected 1"
    _require(used_ids.size == 1, path, fault, "combine them first (CASA's mstransform)")
    with open_table(path / "DATA_DESCRIPTION") as descriptions:
        window, polarization = (
            int(descriptions.getcell(name, int(used_ids[0]))) for name in ("SPECTRAL_WINDOW_ID", "POLARIZATION_ID")
        )
    with open_table(path / "SPECTRAL_WINDOW") as windows:
        freqs, widths = (np.asarray(windows.getcell(name, window)) for name in ("CHAN_FREQ", "CHAN_WIDTH"))
    valid = np.isfinite(freqs).all() and (freqs > 0).all() and np.isfinite(widths).all() and widths.all()
    _require(valid, path, "CHAN_FREQ or CHAN_WIDTH has values that are no frequencies", "correct SPECTRAL_WINDOW")
    with open_table(path / "POLARIZATION") as polarizations:
        codes = [int(code) for code in polarizations.getcell("CORR_TYPE", polarization)]
    fault = f"its correlations have the codes {codes}, expected 1 to 12 (I to YY)"
    _require({*codes} <= {*CORRELATION_NAMES}, path, fault, "correct CORR_TYPE")
    return freqs, abs(float(widths[0])), tuple(CORRELATION_NAMES[code] for code in codes)


def _check_shapes(path: Path, main: table, expected: tuple[int, int]) -> None:
    for column in {"DATA", "CORRECTED_DATA", "FLAG"} & set(main.colnames()):
        shape = main.getcell(column, 0).shape
        fault = f"{column} has cells of shape {shape}, expected {expected} (channels, correlations)"
        _require(shape == expected, path, fault, "convert the group again")


def _find_parallel_hands(correlations: tuple[str, ...]) -> NDArray[np.int64]:
    return np.array([i for i, name in enumerate(correlations) if name in ("XX", "YY", "RR", "LL")], dtype=np.int64)


def _find_usable_rows(path: Path, main: table, correlations: tuple[str, ...]) -> NDArray[np.bool_]:
    """Find the rows whose UVW and weights can be used; of other than parallel hands all weights count."""
    hands = _find_parallel_hands(correlations)
    weight = main.getcol("WEIGHT")[:, hands if hands.size else slice(None)]
    usable = {
        "UVW": (np.abs(main.getcol("UVW")) < MAX_UVW_M).all(axis=1),
        "WEIGHT": ((weight >= 0) & (weight < MAX_WEIGHT)).all(axis=1),
    }
    limits = {"UVW": f"{MAX_UVW_M:g} m", "WEIGHT": f"0 to {MAX_WEIGHT:g}"}
    for column, rows in usable.items():
        if bad := np.count_nonzero(~rows):
            log.warning(
                "%s: %d of %d rows left out: %s is not finite, or not within %s", path, bad, rows.size, column,
                limits[column],
            )  # fmt: skip
    both = usable["UVW"] & usable["WEIGHT"]
    fault = f"no row has WEIGHT and UVW that are finite and within {limits['WEIGHT']} and {limits['UVW']}"
    _require(both.any(), path, fault, "convert the group again")
    return np.asarray(both)


def _read_phase_centre(path: Path, fields: NDArray[np.int32]) -> NDArray[np.float64]:
    """Read the direction that all rows are phased to, shape (2,)."""
    with open_table(path / "FIELD") as table_of_fields:
        is_listed = (fields >= 0) & (fields < table_of_fields.nrows())
        _require(
            is_listed.all(), path, f"FIELD has no row {fields[~is_listed]}, which rows of data name", "correct FIELD_ID"
        )
        directions = [table_of_fields.getcell("PHASE_DIR", int(field)) for field in fields]
        frames = {_frame(table_of_fields, "PHASE_DIR", int(field)) for field in fields}
    _require(
        frames <= CELESTIAL_FRAMES, path, f"the phase centre is in frame {', '.join(sorted(frames))}, expected ICRS "
        "or J2000", "recompute UVW with CASA's fixvis(refcode='J2000')",
    )  # fmt: skip
    _require(
        all(np.isfinite(direction).all() and not direction[1:].any() for direction in directions), path,
        "PHASE_DIR is not finite, or moves", "phase the data to one direction (CASA's phaseshift)",
    )  # fmt: skip
    centres = np.array([direction[0] for direction in directions], dtype=np.float64)
    places = ", ".join(f"{np.rad2deg(ra) % 360:.4f} {np.rad2deg(dec):+.4f} deg" for ra, dec in centres)
    turn = np.abs(np.exp(1j * centres) - np.exp(1j * centres[0])).max()
    _require(
        turn < _SAME_CENTRE_RAD, path, f"{fields.size} fields with different phase centres ({places}), expected 1",
        "split it by field (CASA's split)",
    )  # fmt: skip
    return np.asarray(centres[0])


def _frame(directions: table, column: str, row: int) -> str:
    """Read the reference frame of a direction in a row, which all rows share or a column of its own has."""
    measure = directions.getcolkeyword(column, "MEASINFO")
    if "VarRefCol" not in measure:
        return str(measure.get("Ref", "unknown"))
    reference = directions.getcell(measure["VarRefCol"], row)
    if isinstance(reference, str):
        return reference
    codes = [int(code) for code in measure.get("TabRefCodes", ())]
    return str(measure["TabRefTypes"][codes.index(int(reference))]) if int(reference) in codes else "unknown"


def _check_antennas(
    path: Path, antennas: NDArray[np.int32], names: tuple[str, ...], positions: NDArray[np.float64]
) -> None:  # fmt: skip
    is_listed = (antennas >= 0) & (antennas < len(names))
    fault = f"ANTENNA has {len(names)} rows, and rows of data name antenna {antennas[~is_listed]}"
    _require(is_listed.all(), path, fault, "convert the group again")
    twice = sorted({names[slot] for slot in antennas if names.count(names[slot]) > 1})
    fault = f"ANTENNA has the name {', '.join(twice)} more than once, and solutions are matched by name"
    _require(not twice, path, fault, "correct NAME")
    lost = [names[slot] for slot in antennas if not np.isfinite(positions[slot]).all()]
    _require(not lost, path, f"POSITION of antenna {', '.join(lost)} is not finite", "correct ANTENNA")


def _pointing(path: Path, times: NDArray[np.float64], phase_centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pointing at each time, interpolated from the first antenna's POINTING rows.

    The phase centre where POINTING has no finite rows, or another frame, as in other writers' Measurement Sets.
    """
    with open_table(path / "POINTING") as pointing:
        if pointing.nrows() == 0 or _frame(pointing, "DIRECTION", 0) not in CELESTIAL_FRAMES:
            return np.tile(phase_centre, (times.size, 1))
        first = np.flatnonzero(pointing.getcol("ANTENNA_ID") == pointing.getcell("ANTENNA_ID", 0))
        stamps = pointing.getcol("TIME")[first]
        directions = np.stack([pointing.getcell("DIRECTION", int(row))[0] for row in first])
    usable = np.isfinite(stamps) & np.isfinite(directions).all(axis=1)
    order = np.flatnonzero(usable)[np.argsort(stamps[usable])]
    if not order.size:
        return np.tile(phase_centre, (times.size, 1))
    ra = np.unwrap(directions[order, 0])
    return np.stack(
        [np.interp(times, stamps[order], ra), np.interp(times, stamps[order], directions[order, 1])], axis=1
    )
