"""The subtables of a Measurement Set of one tile (MeasurementSet definition version 2.0, Kemball & Wieringa 2000)."""

from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import table

from contimg import __version__, telescope
from contimg.measurement_set.geometry import Vectors
from contimg.tile import Tile

CORRELATION_CODES = {-5: 9, -6: 12, -7: 10, -8: 11}  # AIPS polarisation to casacore Stokes: XX, YY, XY, YX
RECEPTORS = {-5: (0, 0), -6: (1, 1), -7: (0, 1), -8: (1, 0)}
TOPOCENTRIC = 5
DAY_S = 86400.0
JD_OF_MJD_ZERO = 2400000.5


def mjd_s(times_jd: Vectors) -> Vectors:
    """Julian dates to the MJD seconds of a Measurement Set."""
    return (times_jd - JD_OF_MJD_ZERO) * DAY_S


def write_subtables(path: Path, tile: Tile, name: str, phase_centre: Vectors, pointing: Vectors) -> None:
    """Fill every subtable of the Measurement Set at `path`.

    Parameters
    ----------
    name : the group, which names the field.
    phase_centre : right ascension and declination (ICRS), radians, shape (2,).
    pointing : direction of the dishes at each integration (ICRS), radians, shape (times, 2).
    """
    _antenna(path, tile)
    _feed(path, tile)
    _spectral_window(path, tile)
    _polarization(path, tile)
    _field(path, tile, name, phase_centre)
    _pointing(path, tile, pointing)
    _observation(path, tile)
    _fill(path, "DATA_DESCRIPTION", 1, SPECTRAL_WINDOW_ID=[0], POLARIZATION_ID=[0], FLAG_ROW=[False])
    _fill(path, "PROCESSOR", 1, TYPE=["CORRELATOR"], SUB_TYPE=["DSA-110"], TYPE_ID=[-1], MODE_ID=[-1], FLAG_ROW=[False])
    _fill(
        path, "STATE", 1, SIG=[True], REF=[False], CAL=[0.0], LOAD=[0.0], SUB_SCAN=[0],
        OBS_MODE=["OBSERVE_TARGET#UNSPECIFIED"], FLAG_ROW=[False],
    )  # fmt: skip
    _history(path, tile)


def _fill(path: Path, subtable: str, rows: int, **columns: Any) -> None:
    with table(f"{path}::{subtable}", readonly=False, ack=False) as opened:
        opened.addrows(rows - opened.nrows())
        for column, values in columns.items():
            opened.putcol(column, values)


def _icrs(path: Path, subtable: str, *columns: str) -> None:
    """Say in the columns' measure keywords that their directions are ICRS (the default would be J2000)."""
    with table(f"{path}::{subtable}", readonly=False, ack=False) as opened:
        for column in columns:
            opened.putcolkeyword(column, "MEASINFO", {"type": "direction", "Ref": "ICRS"})


def _antenna(path: Path, tile: Tile) -> None:
    header = tile.reference
    slots = header.antenna_numbers.size
    _fill(
        path, "ANTENNA", slots,
        NAME=list(header.antenna_names), STATION=list(header.antenna_names), TYPE=["GROUND-BASED"] * slots,
        MOUNT=["ALT-AZ"] * slots, POSITION=header.centre_m + header.antenna_positions_m,
        OFFSET=np.zeros((slots, 3)), DISH_DIAMETER=np.full(slots, telescope.DISH_DIAMETER_M),
        FLAG_ROW=np.zeros(slots, dtype=bool),
    )  # fmt: skip


def _feed(path: Path, tile: Tile) -> None:
    slots = tile.reference.antenna_numbers.size
    times = mjd_s(tile.reference.times_jd)
    _fill(
        path, "FEED", slots,
        ANTENNA_ID=np.arange(slots), FEED_ID=np.zeros(slots, dtype=int), SPECTRAL_WINDOW_ID=np.full(slots, -1),
        TIME=np.full(slots, times.mean()), INTERVAL=np.zeros(slots), NUM_RECEPTORS=np.full(slots, 2),
        BEAM_ID=np.full(slots, -1), BEAM_OFFSET=np.zeros((slots, 2, 2)), POSITION=np.zeros((slots, 3)),
        POLARIZATION_TYPE={"shape": [slots, 2], "array": ["X", "Y"] * slots},
        POL_RESPONSE=np.tile(np.eye(2, dtype=np.complex64), (slots, 1, 1)),
        RECEPTOR_ANGLE=np.tile([0.0, np.pi / 2], (slots, 1)),
    )  # fmt: skip


def _spectral_window(path: Path, tile: Tile) -> None:
    freqs = tile.freqs_hz
    widths = np.full(freqs.size, tile.reference.channel_width_hz)
    _fill(
        path, "SPECTRAL_WINDOW", 1,
        NUM_CHAN=[freqs.size], NAME=["DSA-110"], REF_FREQUENCY=[tile.band.centre_hz], CHAN_FREQ=freqs[None],
        CHAN_WIDTH=widths[None], EFFECTIVE_BW=widths[None], RESOLUTION=widths[None],
        TOTAL_BANDWIDTH=[widths.sum()], MEAS_FREQ_REF=[TOPOCENTRIC], NET_SIDEBAND=[1], IF_CONV_CHAIN=[0],
        FREQ_GROUP=[0], FREQ_GROUP_NAME=[""], FLAG_ROW=[False],
    )  # fmt: skip


def _polarization(path: Path, tile: Tile) -> None:
    codes = tile.reference.polarizations
    _fill(
        path, "POLARIZATION", 1,
        NUM_CORR=[len(codes)], CORR_TYPE=np.array([[CORRELATION_CODES[code] for code in codes]]),
        CORR_PRODUCT=np.array([[RECEPTORS[code] for code in codes]]), FLAG_ROW=[False],
    )  # fmt: skip


def _field(path: Path, tile: Tile, name: str, phase_centre: Vectors) -> None:
    direction = np.reshape(phase_centre, (1, 1, 2))
    _icrs(path, "FIELD", "PHASE_DIR", "DELAY_DIR", "REFERENCE_DIR")
    _fill(
        path, "FIELD", 1,
        NAME=[name], CODE=[""], TIME=[mjd_s(tile.reference.times_jd).mean()], NUM_POLY=[0], PHASE_DIR=direction,
        DELAY_DIR=direction, REFERENCE_DIR=direction, SOURCE_ID=[-1], FLAG_ROW=[False],
    )  # fmt: skip


def _pointing(path: Path, tile: Tile, pointing: Vectors) -> None:
    """One row per antenna and integration: the dishes stand still, so their ICRS direction drifts."""
    times, slots = mjd_s(tile.reference.times_jd), tile.reference.antenna_numbers.size
    rows = times.size * slots
    direction = np.repeat(pointing, slots, axis=0)[:, None, :]
    _icrs(path, "POINTING", "DIRECTION", "TARGET")
    _fill(
        path, "POINTING", rows,
        ANTENNA_ID=np.tile(np.arange(slots), times.size), TIME=np.repeat(times, slots),
        INTERVAL=np.full(rows, tile.reference.integration_s), NAME=["meridian"] * rows,
        NUM_POLY=np.zeros(rows, dtype=int), TIME_ORIGIN=np.repeat(times, slots), DIRECTION=direction,
        TARGET=direction, TRACKING=np.zeros(rows, dtype=bool),
    )  # fmt: skip


def _observation(path: Path, tile: Tile) -> None:
    half = 0.5 * tile.reference.integration_s
    times = mjd_s(tile.reference.times_jd)
    span = np.array([[times[0] - half, times[-1] + half]])
    _fill(
        path, "OBSERVATION", 1,
        TELESCOPE_NAME=[telescope.NAME], TIME_RANGE=span, OBSERVER=["DSA-110"], PROJECT=["continuum"],
        SCHEDULE_TYPE=[""], RELEASE_DATE=[0.0], FLAG_ROW=[False],
    )  # fmt: skip


def _history(path: Path, tile: Tile) -> None:
    lines = [
        f"contimg {__version__}: fringe-stop to the meridian undone, phased to the meridian of mid-tile",
        f"{len(tile.headers)} of {tile.band.subbands} subband files"
        + (f"; missing: {', '.join(map(str, tile.missing))}" if tile.missing else ""),
        *(f"subband {subband:2d} from {header.path.name}" for subband, header in sorted(tile.headers.items())),
    ]
    count = len(lines)
    _fill(
        path, "HISTORY", count,
        TIME=np.full(count, mjd_s(tile.reference.times_jd)[-1]), OBSERVATION_ID=np.zeros(count, dtype=int),
        MESSAGE=lines, PRIORITY=["INFO"] * count, ORIGIN=["contimg.conversion"] * count,
        OBJECT_ID=np.zeros(count, dtype=int), APPLICATION=["contimg"] * count,
    )  # fmt: skip
