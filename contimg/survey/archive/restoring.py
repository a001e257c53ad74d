"""The way back: local files that are missing or corrupt are replaced by verified copies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from contimg.common.errors import ContimgError, Transient
from contimg.common.files.checksums import checksum
from contimg.common.files.staging import staged
from contimg.formats.records import about
from contimg.store import Store
from contimg.store.survey.archive.product_files import CopyState, LocalState, StoredFile
from contimg.survey.archive.copying import check_target, walk_files
from contimg.survey.archive.places import Place, check_relative


@dataclass(frozen=True)
class RestoredFile:
    """What became of a file that was missing or corrupt."""

    path: Annotated[Path, about("The file", example="/data/products/images/2026-02-22T03:04:05.fits")]
    place: Annotated[str | None, about("Place of the copy; null where there was none", example="vault")]
    error: Annotated[str | None, about("Why it was not restored", example="no verified copy in a place that is there")]


def restore_files(
    store: Store, places: Mapping[str, Place], directories: Sequence[Path], since: str, until: str,
    kinds: Sequence[str], *, into: Path | None = None, dry_run: bool = False,
) -> tuple[RestoredFile, ...]:  # fmt: skip
    """Restore local files that are missing, or recorded as corrupt and still so; no other file is written over.

    Parameters
    ----------
    store : with the files and their checksums.
    places : the places that are available, by name.
    directories : the files' own paths must be below one of them.
    since, until : first and last night, UTC dates; empty for no limit.
    kinds : kinds of products; empty for all.
    into : directory that all selected files are written to instead, also those that retention has deleted.
    dry_run : write nothing.

    Returns
    -------
    the files that were restored, or would be, or could not be.
    """
    restored = []
    for file in walk_files(store, since, until, kinds):
        target = file.path if into is None else into / check_relative(file.name)
        if into is None and file.state is LocalState.RETIRED:
            continue
        if not _is_wanting(store, file, target, is_own=into is None):
            continue
        try:
            place = _restore(store, file, target, places, directories if into is None else (into,), dry_run=dry_run)
            restored.append(RestoredFile(target, place, None))
        except ContimgError as error:
            restored.append(RestoredFile(target, None, str(error)))
    return tuple(restored)


def _is_wanting(store: Store, file: StoredFile, target: Path, *, is_own: bool) -> bool:
    """Whether the target of a file is missing or corrupt; a file that is good again is recorded as such."""
    if not target.exists():
        return True
    if not is_own:
        return checksum(target).sha256 != file.sha256
    if file.state is not LocalState.CORRUPT:
        return False
    is_good = checksum(target).sha256 == file.sha256
    if is_good:
        store.archive.record_local(file, LocalState.PRESENT)
    return not is_good


def _restore(
    store: Store, file: StoredFile, target: Path, places: Mapping[str, Place], directories: Sequence[Path], *,
    dry_run: bool,
) -> str:  # fmt: skip
    """Write a file from the first verified copy that still has its checksum; return the place."""
    check_target(target, directories)
    problems = []
    for copy in store.archive.copies_of(file.id):
        place = places.get(copy.place)
        if copy.state is not CopyState.VERIFIED or place is None:
            continue
        if dry_run:
            return copy.place
        try:
            with staged(target, durable=True) as temporary:
                digest = place.fetch(file.name, temporary)
                if digest != file.sha256:
                    error = f"differs from its checksum: SHA-256 is {digest}, was {file.sha256}"
                    store.archive.record_copy(copy, CopyState.CORRUPT, sha256=digest, error=error)
                    raise Transient(f"the copy in {copy.place} {error}")
        except ContimgError as error:
            problems.append(str(error))
            continue
        if target == file.path:
            store.archive.record_local(file, LocalState.PRESENT)
        return copy.place
    raise Transient("; ".join(problems) or "no verified copy in a place that is available")
