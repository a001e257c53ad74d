"""What the archive holds, for its page, its API and its commands."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sqlalchemy import func, select

from contimg.formats.records import NO_UNIT, about
from contimg.store import tables
from contimg.store.database import Repository
from contimg.store.survey.archive.product_files import CopyState
from contimg.store.tables import record_of


@dataclass(frozen=True, kw_only=True)
class FileProblem:
    """A file or a copy that differs from its checksum, or is missing."""

    path: Annotated[Path, about("The file on the pipeline's machine", example="/data/products/images/a.fits")]
    place: Annotated[str | None, about("Place of the copy; null for the file itself", example="vault")]
    state: Annotated[str, about("corrupt or missing", example="corrupt")]
    error: Annotated[str | None, about("What is wrong", example="SHA-256 is 9f86..., not 2c26...")]


@dataclass(frozen=True, kw_only=True)
class NightCopies:
    """Files of a night, and those of them whose copies are verified, by place."""

    night: Annotated[str, about("UTC date of the observation", example="2026-02-22")]
    files: Annotated[int, about("Files on the pipeline's machine or deleted by retention", "files", 2304)]
    size_bytes: Annotated[int, about("Their size", "bytes", 5200000000)]
    verified: Annotated[Mapping[str, int], about("Verified copies by place", "files", {"vault": 2304})]
    unverified: Annotated[Mapping[str, int], about("Copies that are not verified, by place", NO_UNIT, {"vault": 0})]


class ArchiveOverview(Repository):
    """Counts of files and copies, and what is wrong with them."""

    def problems(self, limit: int = 100) -> tuple[FileProblem, ...]:
        """Return files and copies that are corrupt or missing, the files first.

        Parameters
        ----------
        limit : largest number of each.
        """
        file, copy = tables.ProductFile, tables.ArchiveCopy
        wrong = (CopyState.CORRUPT, CopyState.MISSING)
        files = select(file).where(file.state.in_(wrong)).order_by(file.id).limit(limit)
        copies = select(copy, file.path).join(file, file.id == copy.file_id).where(copy.state.in_(wrong))
        with self._database.read() as session:
            places = list(session.scalars(select(tables.ArchivePlaceRow.name)))
            of_places = copies.where(copy.place.in_(places)).order_by(copy.place, copy.id).limit(limit)
            return (
                *(record_of(FileProblem, row, place=None) for row in session.scalars(files)),
                *(record_of(FileProblem, row, path=Path(path)) for row, path in session.execute(of_places)),
            )

    def counts(self, place: str) -> Mapping[str, int]:
        """Count the copies of a place by state.

        Parameters
        ----------
        place : name of the place.
        """
        copy = tables.ArchiveCopy
        query = select(copy.state, func.count()).where(copy.place == place).group_by(copy.state)
        with self._database.read() as session:
            counted = {state: number for state, number in session.execute(query)}
        return {str(state): counted.get(state, 0) for state in CopyState}

    def last_verified_at(self, place: str) -> float | None:
        """Return when a copy of a place was last verified, epoch seconds, or None.

        Parameters
        ----------
        place : name of the place.
        """
        copy = tables.ArchiveCopy
        query = select(func.max(copy.verified_at)).where(copy.place == place, copy.state == CopyState.VERIFIED)
        with self._database.read() as session:
            return session.scalar(query)

    def nights(self, limit: int = 14) -> tuple[NightCopies, ...]:
        """Return the last nights with their files and copies, the latest first.

        Parameters
        ----------
        limit : largest number of nights.
        """
        file, copy = tables.ProductFile, tables.ArchiveCopy
        with self._database.read() as session:
            nights = session.scalars(select(file.night).distinct().order_by(file.night.desc()).limit(limit)).all()
            sizes = select(file.night, func.count(), func.sum(file.size_bytes)).where(file.night.in_(nights))
            totals = {night: (files, size) for night, files, size in session.execute(sizes.group_by(file.night))}
            places = list(session.scalars(select(tables.ArchivePlaceRow.name)))
            counts = select(copy.place, copy.night, copy.state, func.count()).where(
                copy.place.in_(places), copy.night.in_(nights)
            )
            verified: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(places, 0))
            unverified: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(places, 0))
            for place, night, state, number in session.execute(counts.group_by(copy.place, copy.night, copy.state)):
                (verified if state == CopyState.VERIFIED else unverified)[night][place] += number
        return tuple(
            NightCopies(
                night=night, files=totals[night][0], size_bytes=int(totals[night][1]), verified=verified[night],
                unverified=unverified[night],
            )
            for night in nights
        )  # fmt: skip
