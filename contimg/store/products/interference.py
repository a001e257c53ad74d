"""Interference by channel: written with a calibrated tile, averaged over the tiles of a span."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from contimg.formats.records import about
from contimg.instrument.dsa110 import BAND
from contimg.store import tables
from contimg.store.jobs.kinds import LIVE
from contimg.tile.products import ChannelInterference

UNIT = 1e-4  # of a stored fraction
_NO_DATA, _STORED = 65535, "<u2"


@dataclass(frozen=True)
class SubbandInterference:
    """Interference in a subband: mean and maximum over its channels."""

    subband: Annotated[int, about("Number of the subband, 0 to 15", "subband number", 3)]
    mean_fraction: Annotated[float, about("Mean over its channels", "fraction", 0.021)]
    max_fraction: Annotated[float, about("Largest of its channels", "fraction", 0.34)]
    max_freq_hz: Annotated[float, about("Frequency of that channel", "Hz", 1381000000.0)]


@dataclass(frozen=True)
class MeanInterference:
    """Interference by channel, the mean over tiles: the part of the samples that flagging added."""

    tiles: Annotated[int, about("Tiles that it is the mean of", "tiles", 279)]
    first_freq_hz: Annotated[float, about("Frequency of the first channel", "Hz", 1311250000.0)]
    channel_width_hz: Annotated[float, about("From one channel to the next", "Hz", 244140.625)]
    fractions: Annotated[
        tuple[float | None, ...],
        about("Mean of each channel; null for one without data in every tile", "fraction", [0.001, 0.0, 0.34]),
    ]
    subbands: Annotated[tuple[SubbandInterference, ...], about("By subband; those without data are left out")]

    @property
    def mean_fraction(self) -> Annotated[float, about("Mean over the channels", "fraction", 0.012)]:
        """Mean over the channels."""
        values = [fraction for fraction in self.fractions if fraction is not None]
        return sum(values) / len(values) if values else 0.0


def write_interference(interference: ChannelInterference | None, session: Session, row: tables.MeasurementSet) -> None:
    """Write the interference of a calibrated tile within its commit.

    Parameters
    ----------
    interference : of the stage's result; None where it was not measured.
    session : of the transaction of the commit.
    row : of the tile's Measurement Set.
    """
    table = tables.TileInterference
    session.execute(delete(table).where(table.job_id == row.job_id))
    if interference is None:
        return
    values = [_NO_DATA if fraction is None else round(fraction / UNIT) for fraction in interference.fractions]
    session.add(
        table(
            job_id=row.job_id, processing=row.processing, group_id=row.group_id,
            reference_s=session.get_one(tables.Job, row.job_id).reference_s, first_freq_hz=interference.first_freq_hz,
            channel_width_hz=interference.channel_width_hz, fractions=np.array(values, _STORED).tobytes(),
        )
    )  # fmt: skip


def read_mean_interference(session: Session, since_s: float, until_s: float) -> MeanInterference | None:
    """Return the mean interference of the live tiles of a span; None without one.

    Of tiles of several arrangements of channels only those arranged as the first are averaged.

    Parameters
    ----------
    session : of the caller's transaction.
    since_s, until_s : limits of the times of the groups, epoch seconds; the second is excluded.
    """
    row = tables.TileInterference
    query = select(row.first_freq_hz, row.channel_width_hz, row.fractions)
    of_span = (row.processing == LIVE, row.reference_s >= since_s, row.reference_s < until_s)
    tiles = session.execute(query.where(*of_span).order_by(row.reference_s, row.id)).all()
    if not tiles:
        return None
    first_freq_hz, width_hz, first = tiles[0]
    alike = [stored for *freqs, stored in tiles if (*freqs, len(stored)) == (first_freq_hz, width_hz, len(first))]
    values = np.frombuffer(b"".join(alike), _STORED).reshape(len(alike), -1)
    has_data = values != _NO_DATA
    counts = has_data.sum(axis=0)
    means = UNIT * np.where(has_data, values, 0).sum(axis=0, dtype=np.int64) / np.maximum(counts, 1)
    fractions = tuple(float(mean) if count else None for mean, count in zip(means, counts, strict=True))
    return MeanInterference(
        len(alike), first_freq_hz, width_hz, fractions, _by_subband(fractions, first_freq_hz, width_hz)
    )


def _by_subband(
    fractions: Sequence[float | None], first_freq_hz: float, width_hz: float
) -> tuple[SubbandInterference, ...]:
    of_subband: dict[int, list[tuple[float, float]]] = {}
    for channel, fraction in enumerate(fractions):
        freq_hz = first_freq_hz + channel * width_hz
        above = int((BAND.top_hz - freq_hz) // BAND.subband_width_hz)
        if fraction is not None and 0 <= above < BAND.subbands:
            of_subband.setdefault(BAND.subbands_above(above), []).append((fraction, freq_hz))
    return tuple(
        SubbandInterference(subband, sum(part for part, _ in parts) / len(parts), *max(parts))
        for subband, parts in sorted(of_subband.items())
    )
