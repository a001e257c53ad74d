"""Reads for the published survey: which mosaics a selection holds, and the record of each."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.epoch.windows import strip_of
from contimg.instrument.time import mjd_to_unix
from contimg.quality.grades import GOOD
from contimg.store import tables
from contimg.store.epochs.mosaics import StoredMosaic, make_stored_mosaic
from contimg.store.jobs.kinds import LIVE


@dataclass(frozen=True, kw_only=True)
class PublicationSelection:
    """Which mosaics are published, with the measurements in them.

    Attributes
    ----------
    processing : `live`, or the name of a campaign.
    grades : QA grades.
    since_mjd, until_mjd : limits of the beginnings of the epochs' windows, MJD, UTC; the second is excluded; None for
        no limit.
    declination_deg : apparent declination of the strip; None for all.
    """

    processing: str = LIVE
    grades: tuple[str, ...] = (GOOD,)
    since_mjd: float | None = None
    until_mjd: float | None = None
    declination_deg: float | None = None


@dataclass(frozen=True)
class MosaicReference:
    """A mosaic: key of its epoch, number of its row, and when it was stored (epoch seconds)."""

    epoch: str
    mosaic_id: int
    created_at: float


def select_mosaics(session: Session, selection: PublicationSelection) -> tuple[MosaicReference, ...]:
    """Return the mosaics of a selection, in the order of their epochs' keys.

    Parameters
    ----------
    session : of the caller's transaction.
    selection : which.
    """
    row = tables.MosaicRow
    query = select(row.epoch, row.id, row.created_at).where(row.processing == selection.processing)
    query = query.where(row.verdict.in_(selection.grades))
    if selection.since_mjd is not None:
        query = query.where(row.reference_s >= mjd_to_unix(selection.since_mjd))
    if selection.until_mjd is not None:
        query = query.where(row.reference_s < mjd_to_unix(selection.until_mjd))
    if selection.declination_deg is not None:
        query = query.where(row.strip == strip_of(selection.declination_deg))
    return tuple(
        sorted((MosaicReference(*values) for values in session.execute(query)), key=lambda mosaic: mosaic.epoch)
    )


def find_mosaics(session: Session, processing: str, epochs: Collection[str]) -> tuple[MosaicReference, ...]:
    """Return the mosaics of epochs, in the order of their keys; those that are no longer in the store are left out.

    Parameters
    ----------
    session : of the caller's transaction.
    processing : of the mosaics.
    epochs : keys.
    """
    row = tables.MosaicRow
    query = select(row.epoch, row.id, row.created_at).where(row.processing == processing)
    chosen = frozenset(epochs)
    mosaics = (MosaicReference(*values) for values in session.execute(query) if values.epoch in chosen)
    return tuple(sorted(mosaics, key=lambda mosaic: mosaic.epoch))


def read_mosaics(session: Session, references: Collection[MosaicReference]) -> Iterator[StoredMosaic]:
    """Yield the records of mosaics one by one; those that are no longer in the store are left out.

    Parameters
    ----------
    session : of the caller's transaction.
    references : of `select_mosaics`.
    """
    for reference in references:
        row = session.get(tables.MosaicRow, reference.mosaic_id)
        if row is not None:
            yield make_stored_mosaic(row)
            session.expunge(row)
