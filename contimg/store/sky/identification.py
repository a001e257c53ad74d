"""Sources of positions: by their id in a catalogue, by name, by position, and new ones."""

from collections.abc import Iterator, Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from contimg.epoch.photometry.products import Photometry
from contimg.sky.catalogue.pixels import pixels_of
from contimg.store import tables
from contimg.store.sky.records import SourceKind

CHUNK = 4000  # values of one statement; SQLite takes 32,766 and PostgreSQL 65,535
SAME_DEG = 5 / 3600  # positions of two catalogues that are one source; the telescope's beam is 15 arcsec and more


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield values in parts that one statement can hold.

    Parameters
    ----------
    values : of any number.
    """
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]


def identify(session: Session, photometry: Photometry, catalogue: str, now: float) -> NDArray[np.int64]:
    """Return the number of the source of each position; positions without one become sources.

    A position whose id the catalogue has not had before is a known source within 5 arcsec that has no id of this
    catalogue yet, the nearest one.

    Parameters
    ----------
    session : of the caller's transaction.
    photometry : the positions and their ids.
    catalogue : of the ids; empty for names of sources.
    now : epoch seconds.

    Returns
    -------
    shape (positions,).
    """
    names = [str(name) for name in photometry.source_id]
    ids_by_name = find_names(session, catalogue, names)
    ids = np.array([ids_by_name.get(name, 0) if name else 0 for name in names], dtype=np.int64)
    missing = np.flatnonzero(ids == 0)
    if missing.size:
        ra_deg, dec_deg = photometry.ra_deg[missing], photometry.dec_deg[missing]
        ids[missing] = _match(session, ra_deg, dec_deg, catalogue, set(ids[ids > 0].tolist()))
        new = missing[ids[missing] == 0]
        if new.size:
            kind = SourceKind.CATALOGUE if catalogue else SourceKind.BLIND
            ids[new] = add_sources(session, photometry.ra_deg[new], photometry.dec_deg[new], kind, now)
        if catalogue:
            identifiers = [
                {"catalogue": catalogue, "identifier": names[index], "source_id": int(ids[index])}
                for index in missing
                if names[index]
            ]
            if identifiers:
                session.execute(insert(tables.SourceIdentifier.__table__), identifiers)  # type: ignore[arg-type]
    return ids


def add_sources(
    session: Session, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], kind: SourceKind, now: float,
    *, names: Sequence[str] = (), flux_jy: Sequence[float | None] = (), position_error_deg: Sequence[float | None] = (),
    by: str | None = None,
) -> NDArray[np.int64]:  # fmt: skip
    """Add sources and return their numbers.

    Parameters
    ----------
    session : of the caller's transaction.
    ra_deg, dec_deg : positions, ICRS, shape (sources,).
    kind : where they come from.
    now : epoch seconds.
    names : of the sources; names from the positions without them.
    flux_jy, position_error_deg : of the sources; unknown without them.
    by : who added them.
    """
    from contimg.tile.image.sources.finding import position_name  # its tables take long to import

    count = len(ra_deg)
    chosen = list(names) or [position_name(ra, dec) for ra, dec in zip(ra_deg.tolist(), dec_deg.tolist(), strict=True)]
    columns = {
        "name": _make_unique(session, chosen), "ra_deg": (ra_deg % 360).tolist(), "dec_deg": dec_deg.tolist(),
        "healpix": pixels_of(ra_deg, dec_deg).tolist(), "flux_jy": list(flux_jy) or [None] * count,
        "position_error_deg": list(position_error_deg) or [None] * count,
    }  # fmt: skip
    rows = [
        {"kind": str(kind), "created_at": now, "created_by": by, **dict(zip(columns, row, strict=True))}
        for row in zip(*columns.values(), strict=True)
    ]
    statement = insert(tables.Source).returning(tables.Source.id, sort_by_parameter_order=True)
    return np.array(session.scalars(statement, rows).all(), dtype=np.int64)


def find_names(session: Session, catalogue: str, names: Sequence[str]) -> dict[str, int]:
    """Return the numbers of known sources by their id in a catalogue, and by name.

    Parameters
    ----------
    session : of the caller's transaction.
    catalogue : of the ids; empty for names of sources.
    names : ids or names.
    """
    identifier, source = tables.SourceIdentifier, tables.Source
    ids_by_name: dict[str, int] = {}
    for part in chunks([name for name in names if name]):
        ids_by_name |= dict(session.execute(select(source.name, source.id).where(source.name.in_(part))).all())
        if catalogue:
            of_catalogue = select(identifier.identifier, identifier.source_id)
            is_listed = (identifier.catalogue == catalogue) & identifier.identifier.in_(part)
            ids_by_name |= dict(session.execute(of_catalogue.where(is_listed)).all())
    return ids_by_name


def _match(
    session: Session, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], catalogue: str, taken: set[int]
) -> NDArray[np.int64]:
    """Numbers of the nearest sources within 5 arcsec that have no id of the catalogue; 0 without one."""
    from scipy.spatial import cKDTree

    from contimg.instrument.coordinates import unit_vectors

    source, identifier = tables.Source, tables.SourceIdentifier
    near = source.dec_deg.between(float(dec_deg.min()) - SAME_DEG, float(dec_deg.max()) + SAME_DEG)
    query = select(source.id, source.ra_deg, source.dec_deg).where(near)
    if catalogue:
        query = query.where(~source.id.in_(select(identifier.source_id).where(identifier.catalogue == catalogue)))
    rows = [row for row in session.execute(query) if row[0] not in taken]
    matched = np.zeros(len(ra_deg), dtype=np.int64)
    if not rows:
        return matched
    numbers, ra, dec = (np.array(column) for column in zip(*rows, strict=True))
    tree = cKDTree(unit_vectors(np.deg2rad(ra), np.deg2rad(dec)))
    distance, index = tree.query(
        unit_vectors(np.deg2rad(ra_deg), np.deg2rad(dec_deg)), distance_upper_bound=np.deg2rad(SAME_DEG)
    )
    used: set[int] = set()
    for position in np.argsort(distance, kind="stable").tolist():
        if np.isfinite(distance[position]) and index[position] not in used:
            used.add(int(index[position]))
            matched[position] = numbers[index[position]]
    return matched


def _make_unique(session: Session, names: Sequence[str]) -> list[str]:
    """Names with a letter appended where another source has the name already."""
    stems = sorted(set(names))
    taken: set[str] = set()
    for part in chunks(stems):
        candidates = [f"{stem}{letter}" for stem in part for letter in ("", *ascii_lowercase[:6])]
        for group in chunks(candidates):
            taken |= set(session.scalars(select(tables.Source.name).where(tables.Source.name.in_(group))))
    unique = []
    for name in names:
        free = next(f"{name}{letter}" for letter in ("", *ascii_lowercase) if f"{name}{letter}" not in taken)
        taken.add(free)
        unique.append(free)
    return unique
