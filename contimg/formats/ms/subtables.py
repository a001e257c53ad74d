"""The subtables of a Measurement Set of one tile (MeasurementSet definition version 2.0, Kemball & Wieringa 2000)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import table

from contimg import __version__
from contimg.formats.uvh5.group import SubbandGroup
from contimg.instrument import dsa110 as telescope
from contimg.instrument.coordinates import Vectors

# AIPS polarisation to casacore Stokes, and the pair of receptors.
CORRELATION_CODES = {-1: 5, -3: 6, -4: 7, -2: 8, -5: 9, -7: 10, -8: 11, -6: 12}
RECEPTORS = {-1: (0, 0), -3: (0, 1), -4: (1, 0), -2: (1, 1), -5: (0, 0), -7: (0, 1), -8: (1, 0), -6: (1, 1)}
TOPOCENTRIC = 5
DAY_S = 86400.0
JD_OF_MJD_ZERO = 2400000.5


def mjd_s(times_jd: Vectors) -> Vectors:
    """Julian dates to the MJD seconds of a Measurement Set."""
    return (times_jd - JD_OF_MJD_ZERO) * DAY_S


def in_casa_order(polarizations: tuple[int, ...]) -> tuple[int, ...]:
    """AIPS codes in the order that CASA and WSClean expect: XX, XY, YX, YY or RR, RL, LR, LL."""
    return tuple(sorted(polarizations, key=CORRELATION_CODES.__getitem__))


def write_subtables(
    path: Path,
    tile: SubbandGroup,
    name: str,
    phase_centre: Vectors,
    pointing: Vectors,
    tracking: bool,
    notes: Sequence[str],
) -> None:
    """Fill every subtable of the Measurement Set at `path`.

    Parameters
    ----------
    name : the group, which names the field.
    phase_centre : right ascension and declination (ICRS), radians, shape (2,).
    pointing : direction of the dishes at each integration (ICRS), radians, shape (times, 2).
    tracking : whether the dishes follow the sky.
    notes : lines of HISTORY.
    """
    _antenna(path, tile)
    _feed(path, tile)
    _spectral_window(path, tile)
    _polarization(path, tile)
    _field(path, tile, name, phase_centre)
    _pointing(path, tile, pointing, tracking)
    _observation(path, tile)
    _fill(path, "DATA_DESCRIPTION", 1, SPECTRAL_WINDOW_ID=[0], POLARIZATION_ID=[0], FLAG_ROW=[False])
    _fill(
        path,
        "PROCESSOR",
        1,
        TYPE=["CORRELATOR"],
        SUB_TYPE=[_instrument(tile)],
        TYPE_ID=[-1],
        MODE_ID=[-1],
        FLAG_ROW=[False],
    )
    _fill(
        path, "STATE", 1, SIG=[True], REF=[False], CAL=[0.0], LOAD=[0.0], SUB_SCAN=[0],
        OBS_MODE=["OBSERVE_TARGET#UNSPECIFIED"], FLAG_ROW=[False],
    )  # fmt: skip
    _history(path, tile, notes)


def _instrument(tile: SubbandGroup) -> str:
    return "DSA-110" if tile.own_telescope else tile.reference.array.telescope_name


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


def _antenna(path: Path, tile: SubbandGroup) -> None:
    array = tile.reference.array
    slots = array.numbers.size
    _fill(
        path, "ANTENNA", slots,
        NAME=list(array.names), STATION=list(array.names), TYPE=["GROUND-BASED"] * slots,
        MOUNT=["ALT-AZ"] * slots, POSITION=array.centre_m + array.positions_m,
        OFFSET=np.zeros((slots, 3)), DISH_DIAMETER=array.diameters_m,
        FLAG_ROW=np.zeros(slots, dtype=bool),
    )  # fmt: skip


def _feed(path: Path, tile: SubbandGroup) -> None:
    slots = tile.reference.array.numbers.size
    times = mjd_s(tile.times_jd)
    receptors = ["R", "L"] if max(tile.reference.polarizations) > -5 else ["X", "Y"]
    _fill(
        path, "FEED", slots,
        ANTENNA_ID=np.arange(slots), FEED_ID=np.zeros(slots, dtype=int), SPECTRAL_WINDOW_ID=np.full(slots, -1),
        TIME=np.full(slots, times.mean()), INTERVAL=np.zeros(slots), NUM_RECEPTORS=np.full(slots, 2),
        BEAM_ID=np.full(slots, -1), BEAM_OFFSET=np.zeros((slots, 2, 2)), POSITION=np.zeros((slots, 3)),
        POLARIZATION_TYPE={"shape": [slots, 2], "array": receptors * slots},
        POL_RESPONSE=np.tile(np.eye(2, dtype=np.complex64), (slots, 1, 1)),
        RECEPTOR_ANGLE=np.tile([0.0, np.pi / 2], (slots, 1)),
    )  # fmt: skip


def _spectral_window(path: Path, tile: SubbandGroup) -> None:
    freqs = tile.freqs_hz
    widths = np.full(freqs.size, tile.reference.channel_width_hz)
    _fill(
        path, "SPECTRAL_WINDOW", 1,
        NUM_CHAN=[freqs.size], NAME=[_instrument(tile)], REF_FREQUENCY=[tile.band.centre_hz], CHAN_FREQ=freqs[None],
        CHAN_WIDTH=widths[None], EFFECTIVE_BW=widths[None], RESOLUTION=widths[None],
        TOTAL_BANDWIDTH=[widths.sum()], MEAS_FREQ_REF=[TOPOCENTRIC], NET_SIDEBAND=[1], IF_CONV_CHAIN=[0],
        FREQ_GROUP=[0], FREQ_GROUP_NAME=[""], FLAG_ROW=[False],
    )  # fmt: skip


def _polarization(path: Path, tile: SubbandGroup) -> None:
    codes = in_casa_order(tile.reference.polarizations)
    _fill(
        path, "POLARIZATION", 1,
        NUM_CORR=[len(codes)], CORR_TYPE=np.array([[CORRELATION_CODES[code] for code in codes]]),
        CORR_PRODUCT=np.array([[RECEPTORS[code] for code in codes]]), FLAG_ROW=[False],
    )  # fmt: skip


def _field(path: Path, tile: SubbandGroup, name: str, phase_centre: Vectors) -> None:
    direction = np.reshape(phase_centre, (1, 1, 2))
    _icrs(path, "FIELD", "PHASE_DIR", "DELAY_DIR", "REFERENCE_DIR")
    _fill(
        path, "FIELD", 1,
        NAME=[name], CODE=[""], TIME=[mjd_s(tile.times_jd).mean()], NUM_POLY=[0], PHASE_DIR=direction,
        DELAY_DIR=direction, REFERENCE_DIR=direction, SOURCE_ID=[-1], FLAG_ROW=[False],
    )  # fmt: skip


def _pointing(path: Path, tile: SubbandGroup, pointing: Vectors, tracking: bool) -> None:
    """One row per antenna and integration: where dishes stand still their ICRS direction drifts."""
    times, slots = mjd_s(tile.times_jd), tile.reference.array.numbers.size
    rows = times.size * slots
    direction = np.repeat(pointing, slots, axis=0)[:, None, :]
    _icrs(path, "POINTING", "DIRECTION", "TARGET")
    _fill(
        path, "POINTING", rows,
        ANTENNA_ID=np.tile(np.arange(slots), times.size), TIME=np.repeat(times, slots),
        INTERVAL=np.full(rows, tile.reference.integration_s), NAME=["tracked" if tracking else "meridian"] * rows,
        NUM_POLY=np.zeros(rows, dtype=int), TIME_ORIGIN=np.repeat(times, slots), DIRECTION=direction,
        TARGET=direction, TRACKING=np.full(rows, tracking),
    )  # fmt: skip


def _observation(path: Path, tile: SubbandGroup) -> None:
    half = 0.5 * tile.reference.integration_s
    times = mjd_s(tile.times_jd)
    span = np.array([[times[0] - half, times[-1] + half]])
    _fill(
        path, "OBSERVATION", 1,
        TELESCOPE_NAME=[telescope.NAME if tile.own_telescope else _instrument(tile)], TIME_RANGE=span,
        OBSERVER=[_instrument(tile)], PROJECT=["continuum"],
        SCHEDULE_TYPE=[""], RELEASE_DATE=[0.0], FLAG_ROW=[False],
    )  # fmt: skip


def _history(path: Path, tile: SubbandGroup, notes: Sequence[str]) -> None:
    lines = [
        *(f"contimg {__version__}: {note}" for note in notes),
        f"{len(tile.headers)} of {tile.band.subbands} subband files"
        + (f"; missing: {', '.join(map(str, tile.missing))}" if tile.missing else ""),
        *(f"subband {subband:2d} from {header.path.name}" for subband, header in sorted(tile.headers.items())),
    ]
    count = len(lines)
    _fill(
        path, "HISTORY", count,
        TIME=np.full(count, mjd_s(tile.times_jd)[-1]), OBSERVATION_ID=np.zeros(count, dtype=int),
        MESSAGE=lines, PRIORITY=["INFO"] * count, ORIGIN=["contimg.tile.convert"] * count,
        OBJECT_ID=np.zeros(count, dtype=int), APPLICATION=["contimg"] * count,
    )  # fmt: skip
