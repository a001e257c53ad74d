"""The stages of a job of the archive: copy the files of a night to a place, then read every copy back."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from contimg.common.errors import BadInput
from contimg.common.files.checksums import checksum
from contimg.instrument.time import DAY_S
from contimg.store import Store
from contimg.store.survey.archive.copies import FileCopy
from contimg.store.survey.archive.product_files import CopyState, LocalState, StoredFile
from contimg.survey.archive.objects import ObjectPlace
from contimg.survey.archive.options import PlaceRule
from contimg.survey.archive.places import Absent, MountPlace, Place, PlaceAway, SourceDiffers
from contimg.survey.archive.remote import RemotePlace

log = logging.getLogger(__name__)
_PLACES: dict[str, type[Place]] = {"file": MountPlace, "ssh": RemotePlace, "s3": ObjectPlace, "memory": ObjectPlace}
_TO_COPY = (CopyState.PENDING, CopyState.MISSING, CopyState.CORRUPT)
_SAMPLE = 100
RECHECK_S = 300.0


def open_place(rule: PlaceRule) -> Place:
    """Return the place of a rule.

    Parameters
    ----------
    rule : name and location.
    """
    return _PLACES[rule.scheme](rule)


def find_place(rules: Iterable[PlaceRule], name: str) -> Place:
    """Return the place of a name.

    Parameters
    ----------
    rules : the places.
    name : of the place.

    Raises
    ------
    BadInput : there is no such place.
    """
    names = {rule.name: rule for rule in rules}
    if name not in names:
        raise BadInput(f"place {name}: not in CONTIMG_ARCHIVE_PLACES; known: {', '.join(names) or 'none'}")
    return open_place(names[name])


def check_places(store: Store, rules: Iterable[PlaceRule]) -> dict[str, Place]:
    """Check places, record what was found, and return those that are available, by name.

    Parameters
    ----------
    store : where the state of each is recorded.
    rules : the places.
    """
    available = {}
    for rule in rules:
        place = open_place(rule)
        try:
            place.check()
        except PlaceAway as error:
            store.archive.record_place(rule.name, str(error))
        else:
            store.archive.record_place(rule.name, None)
            available[rule.name] = place
    return available


def copy_night(store: Store, place: Place, night: str) -> int:
    """Copy the files of a night that a place lacks, and return their number.

    Parameters
    ----------
    store : with the copies to make.
    place : where they are made.
    night : UTC date.

    Raises
    ------
    PlaceAway : the place is away; what was copied is recorded.
    Transient : the place cannot be written.
    """
    copied = 0
    for copy in _walk(store, place, night, _TO_COPY):
        file = copy.file
        if file.state is not LocalState.PRESENT:
            continue
        try:
            digest = place.copy(file.path, file.name, file.sha256)
        except SourceDiffers as error:
            store.archive.record_local(file, LocalState.CORRUPT, _difference(error.sha256, file.sha256))
        except FileNotFoundError:
            store.archive.record_local(file, LocalState.MISSING, "does not exist")
        else:
            copied += store.archive.record_copy(copy, CopyState.COPIED, sha256=digest)
    return copied


def verify_night(store: Store, place: Place, night: str) -> int:
    """Read the new copies of a night back, and return how many are verified.

    Parameters
    ----------
    store : with the copies.
    place : where they are.
    night : UTC date.

    Raises
    ------
    PlaceAway : the place is away; what was read is recorded.
    Transient : the place cannot be read.
    """
    copies = _walk(store, place, night, (CopyState.COPIED,))
    return sum(verify_copy(store, place, copy) is CopyState.VERIFIED for copy in copies)


def verify_copy(store: Store, place: Place, copy: FileCopy) -> CopyState:
    """Read a copy back, record whether it is what was made, and return its state.

    Parameters
    ----------
    store : where it is recorded.
    place : of the copy.
    copy : the copy, and the checksum of its file.
    """
    state, digest, error = CopyState.VERIFIED, None, None
    try:
        digest = place.read_back(copy.file.name)
    except Absent:
        state, error = CopyState.MISSING, "does not exist"
    if digest is not None and digest != copy.file.sha256:
        state, error = CopyState.CORRUPT, _difference(digest, copy.file.sha256)
    store.archive.record_copy(copy, state, sha256=digest, error=error)
    return state


def verify_local(store: Store, file: StoredFile) -> LocalState:
    """Read a local file, record whether it is what was made, and return its state.

    Parameters
    ----------
    store : where it is recorded.
    file : the file and its checksum; one without a checksum is only looked for.
    """
    state, error = LocalState.PRESENT, None
    try:
        digest = checksum(file.path).sha256 if file.sha256 else None
        if digest is None:
            file.path.stat()
        elif digest != file.sha256:
            state, error = LocalState.CORRUPT, _difference(digest, file.sha256)
    except FileNotFoundError:
        state, error = LocalState.MISSING, "does not exist"
    store.archive.record_local(file, state, error)
    return state


def audit(store: Store, places: Sequence[Place], verify_days: float, limit_s: float) -> int:
    """Read the local files and the copies again that were read longest ago, and return their number.

    Parameters
    ----------
    store : with the times.
    places : the places that are available.
    verify_days : what was read within these days is left out; 0: nothing is read.
    limit_s : time after which no further file is read, s.
    """
    if not verify_days:
        return 0
    before, end, number = store.database.clock() - verify_days * DAY_S, time.monotonic() + limit_s, 0
    for file in store.archive.oldest_checked(before, _SAMPLE):
        if time.monotonic() > end:
            return number
        verify_local(store, file)
        number += 1
    for place in places:
        for copy in store.archive.oldest_verified(place.rule.name, before, _SAMPLE):
            if time.monotonic() > end:
                return number
            try:
                verify_copy(store, place, copy)
            except PlaceAway as error:
                store.archive.record_place(place.rule.name, str(error))
                break
            number += 1
    return number


@dataclass(frozen=True)
class Verification:
    """Numbers of what `verify_files` has read, and of what was wrong."""

    files: int
    copies: int
    wrong: int


def verify_files(
    store: Store, places: Sequence[Place], since: str, until: str, kinds: Sequence[str], *, local: bool = True
) -> Verification:
    """Read files and their copies, and record those that differ from their checksums or are missing.

    Parameters
    ----------
    store : with the checksums.
    places : the places whose copies are read.
    since, until : first and last night, UTC dates; empty for no limit.
    kinds : kinds of products; empty for all.
    local : whether the local files are read, too.
    """
    files = copies = wrong = 0
    for file in walk_files(store, since, until, kinds):
        if local and file.state is not LocalState.RETIRED:
            files += 1
            wrong += verify_local(store, file) is not LocalState.PRESENT
        of_place = {copy.place: copy for copy in store.archive.copies_of(file.id)}
        for place in places:
            copy = of_place.get(place.rule.name)
            if copy is None or copy.state is CopyState.PENDING:
                continue
            copies += 1
            wrong += verify_copy(store, place, copy) is not CopyState.VERIFIED
    return Verification(files, copies, wrong)


def walk_files(store: Store, since: str, until: str, kinds: Sequence[str]) -> Iterator[StoredFile]:
    """Yield files in the order of their numbers, without holding all of them.

    Parameters
    ----------
    store : with the files.
    since, until : first and last night, UTC dates; empty for no limit.
    kinds : kinds of products; empty for all.
    """
    after = 0
    while files := store.archive.files(since, until, kinds, after=after):
        yield from files
        after = files[-1].id


def _walk(store: Store, place: Place, night: str, states: Iterable[CopyState]) -> Iterator[FileCopy]:
    """The copies of a night one by one; in a long night the place is checked again, so that it counts as available."""
    after, of_states, checked_at = 0, tuple(states), store.database.clock()
    while copies := store.archive.copies(place.rule.name, night, of_states, after=after):
        for copy in copies:
            yield copy
            if store.database.clock() - checked_at > RECHECK_S:
                place.check()
                store.archive.record_place(place.rule.name, None)
                checked_at = store.database.clock()
        after = copies[-1].file.id


def _difference(digest: str | None, expected: str | None) -> str:
    return f"differs from its checksum: SHA-256 is {digest}, was {expected}"


def check_target(path: Path, directories: Iterable[Path]) -> None:
    """Raise BadInput for a path that is not below one of some directories, also through symbolic links.

    Parameters
    ----------
    path : where a file is to be written.
    directories : where files may be written.
    """
    parent = path.parent.resolve()
    if not any(parent.is_relative_to(directory.resolve()) for directory in directories):
        raise BadInput(f"{path}: not below the directories of the stream; restore it with --into DIRECTORY")
