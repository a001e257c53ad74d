"""The subtables of a Measurement Set of one tile (MeasurementSet definition version 2.0, Kemball & Wieringa 2000)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from casacore.tables import makearrcoldesc, maketabdesc, table

from contimg import __version__
from contimg.formats.uvh5.group import SubbandGroup
from contimg.instrument import dsa110 as telescope
from contimg.instrument.coordinates import Vectors
from contimg.instrument.time import jd_to_mjd_s

# AIPS polarisation to casacore Stokes, and the pair of receptors.
CORRELATION_CODES = {-1: 5, -3: 6, -4: 7, -2: 8, -5: 9, -7: 10, -8: 11, -6: 12}
RECEPTORS = {-1: (0, 0), -3: (0, 1), -4: (1, 0), -2: (1, 1), -5: (0, 0), -7: (0, 1), -8: (1, 0), -6: (1, 1)}
TOPOCENTRIC = 5


def in_casa_order(polarizations: tuple[int, ...]) -> tuple[int, ...]:
    """Sort AIPS codes as CASA and WSClean expect them: XX, XY, YX, YY or RR, RL, LR, LL.

    Parameters
    ----------
    polarizations : AIPS codes as in a UVH5 file, -1 to -4 (circular) or -5 to -8 (linear).

    Raises
    ------
    KeyError : a code is not one of these.
    """
    return tuple(sorted(polarizations, key=CORRELATION_CODES.__getitem__))


def write_subtables(
    path: Path, group: SubbandGroup, name: str, phase_centre: Vectors, pointing: Vectors, tracking: bool,
    notes: Sequence[str],
) -> None:  # fmt: skip
    """Fill every subtable of a new Measurement Set.

    Parameters
    ----------
    path : the Measurement Set.
    group : its subband files.
    name : of the field.
    phase_centre : right ascension and declination (ICRS), radians, shape (2,).
    pointing : direction of the dishes at each integration (ICRS), radians, shape (times, 2).
    tracking : whether the dishes follow the sky.
    notes : lines of HISTORY.
    """
    header, array, times = group.reference, group.reference.array, jd_to_mjd_s(group.times_jd)
    slots, freqs, codes = array.numbers.size, group.freqs_hz, in_casa_order(group.reference.polarizations)
    instrument = "DSA-110" if group.own_telescope else array.telescope_name
    _fill(
        path, "ANTENNA", slots,
        NAME=list(array.names), STATION=list(array.names), TYPE=["GROUND-BASED"] * slots,
        MOUNT=["ALT-AZ"] * slots, POSITION=array.centre_m + array.positions_m,
        OFFSET=np.zeros((slots, 3)), DISH_DIAMETER=array.diameters_m,
        FLAG_ROW=np.zeros(slots, dtype=bool),
    )  # fmt: skip
    receptors = ["R", "L"] if max(header.polarizations) > -5 else ["X", "Y"]
    _fill(
        path, "FEED", slots,
        ANTENNA_ID=np.arange(slots), FEED_ID=np.zeros(slots, dtype=int), SPECTRAL_WINDOW_ID=np.full(slots, -1),
        TIME=np.full(slots, times.mean()), INTERVAL=np.zeros(slots), NUM_RECEPTORS=np.full(slots, 2),
        BEAM_ID=np.full(slots, -1), BEAM_OFFSET=np.zeros((slots, 2, 2)), POSITION=np.zeros((slots, 3)),
        POLARIZATION_TYPE={"shape": [slots, 2], "array": receptors * slots},
        POL_RESPONSE=np.tile(np.eye(2, dtype=np.complex64), (slots, 1, 1)),
        RECEPTOR_ANGLE=np.tile([0.0, np.pi / 2], (slots, 1)),
    )  # fmt: skip
    widths = np.full(freqs.size, header.channel_width_hz)
    _fill(
        path, "SPECTRAL_WINDOW", 1,
        NUM_CHAN=[freqs.size], NAME=[instrument], REF_FREQUENCY=[group.band.centre_hz], CHAN_FREQ=freqs[None],
        CHAN_WIDTH=widths[None], EFFECTIVE_BW=widths[None], RESOLUTION=widths[None],
        TOTAL_BANDWIDTH=[widths.sum()], MEAS_FREQ_REF=[TOPOCENTRIC], NET_SIDEBAND=[1], IF_CONV_CHAIN=[0],
        FREQ_GROUP=[0], FREQ_GROUP_NAME=[""], FLAG_ROW=[False],
    )  # fmt: skip
    _fill(
        path, "POLARIZATION", 1,
        NUM_CORR=[len(codes)], CORR_TYPE=np.array([[CORRELATION_CODES[code] for code in codes]]),
        CORR_PRODUCT=np.array([[RECEPTORS[code] for code in codes]]), FLAG_ROW=[False],
    )  # fmt: skip
    direction = np.reshape(phase_centre, (1, 1, 2))
    _set_icrs(path, "FIELD", "PHASE_DIR", "DELAY_DIR", "REFERENCE_DIR")
    _fill(
        path, "FIELD", 1,
        NAME=[name], CODE=[""], TIME=[times.mean()], NUM_POLY=[0], PHASE_DIR=direction, DELAY_DIR=direction,
        REFERENCE_DIR=direction, SOURCE_ID=[-1], FLAG_ROW=[False],
    )  # fmt: skip
    # One row per antenna and integration: the ICRS direction of dishes that do not move drifts.
    rows, direction = times.size * slots, np.repeat(pointing, slots, axis=0)[:, None, :]
    _set_icrs(path, "POINTING", "DIRECTION", "TARGET")
    _fill(
        path, "POINTING", rows,
        ANTENNA_ID=np.tile(np.arange(slots), times.size), TIME=np.repeat(times, slots),
        INTERVAL=np.repeat(group.integrations_s, slots), NAME=["tracked" if tracking else "meridian"] * rows,
        NUM_POLY=np.zeros(rows, dtype=int), TIME_ORIGIN=np.repeat(times, slots), DIRECTION=direction,
        TARGET=direction, TRACKING=np.full(rows, tracking),
    )  # fmt: skip
    start, end = times[[0, -1]] + group.integrations_s[[0, -1]] * [-0.5, 0.5]
    _add_location(path, array.centre_m)
    _fill(
        path, "OBSERVATION", 1,
        TELESCOPE_NAME=[telescope.NAME if group.own_telescope else instrument],
        TIME_RANGE=np.array([[start, end]]), OBSERVER=[instrument], PROJECT=["continuum"], SCHEDULE_TYPE=[""],
        RELEASE_DATE=[0.0], FLAG_ROW=[False], TELESCOPE_LOCATION=array.centre_m[np.newaxis],
    )  # fmt: skip
    _fill(path, "DATA_DESCRIPTION", 1, SPECTRAL_WINDOW_ID=[0], POLARIZATION_ID=[0], FLAG_ROW=[False])
    _fill(
        path, "PROCESSOR", 1, TYPE=["CORRELATOR"], SUB_TYPE=[instrument], TYPE_ID=[-1], MODE_ID=[-1], FLAG_ROW=[False]
    )
    _fill(
        path, "STATE", 1, SIG=[True], REF=[False], CAL=[0.0], LOAD=[0.0], SUB_SCAN=[0],
        OBS_MODE=["OBSERVE_TARGET#UNSPECIFIED"], FLAG_ROW=[False],
    )  # fmt: skip
    lines = _history_lines(group, notes)
    count = len(lines)
    _fill(
        path, "HISTORY", count,
        TIME=np.full(count, times[-1]), OBSERVATION_ID=np.zeros(count, dtype=int),
        MESSAGE=lines, PRIORITY=["INFO"] * count, ORIGIN=["contimg.tile.convert"] * count,
        OBJECT_ID=np.zeros(count, dtype=int), APPLICATION=["contimg"] * count,
    )  # fmt: skip


def _fill(path: Path, subtable: str, rows: int, **columns: Any) -> None:
    with table(f"{path}::{subtable}", readonly=False, ack=False) as filled:
        filled.addrows(rows - filled.nrows())
        for column, values in columns.items():
            filled.putcol(column, values)


def _add_location(path: Path, centre_m: Vectors) -> None:
    """Add the column that pyuvdata keeps the array's centre in; without it, it needs the network for one it knows."""
    keywords = {"QuantumUnits": ["m"] * 3, "MEASINFO": {"type": "position", "Ref": "ITRF"}}
    column = makearrcoldesc("TELESCOPE_LOCATION", centre_m[0], valuetype="double", shape=[3], keywords=keywords)
    with table(f"{path}::OBSERVATION", readonly=False, ack=False) as observation:
        observation.addcols(maketabdesc([column]))


def _set_icrs(path: Path, subtable: str, *columns: str) -> None:
    """Set the reference frame of direction columns to ICRS (the default is J2000)."""
    with table(f"{path}::{subtable}", readonly=False, ack=False) as filled:
        for column in columns:
            filled.putcolkeyword(column, "MEASINFO", {"type": "direction", "Ref": "ICRS"})


def _history_lines(group: SubbandGroup, notes: Sequence[str]) -> list[str]:
    return [
        *(f"contimg {__version__}: {note}" for note in notes),
        f"{len(group.headers)} of {group.band.subbands} subband files"
        + (f"; missing: {', '.join(map(str, group.missing))}" if group.missing else ""),
        *(f"subband {subband:2d} from {header.path.name}" for subband, header in sorted(group.headers.items())),
    ]
