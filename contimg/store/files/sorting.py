"""Sort many files into groups in one transaction: the groups around them are read once, the rules applied in memory.

The grouping rule is `contimg.formats.uvh5.grouping.nearest_group`; this module applies the state of the group's job to
a file that joins it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.common.files.names import printable
from contimg.formats.uvh5.grouping import GroupInReach, SubbandFile, founds_echo, nearest_group
from contimg.instrument.dsa110 import BAND
from contimg.settings import QueueRules
from contimg.settings.alerts import INFO, WARNING
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.files.groups import FileState, groups_with_jobs
from contimg.store.jobs.kinds import LIVE, TILE, Stage, State
from contimg.store.jobs.records import new_job

# A file of a group whose job is in one of these states can still be converted with the others.
_OPEN = (State.COLLECTING, State.PENDING)


@dataclass(frozen=True, kw_only=True)
class Gathering(GroupInReach):
    """A group and its live job; `subbands` are taken by any file not quarantined, `present` are in the next MS."""

    group: tables.Group
    job: tables.Job
    subbands: set[int] = field(default_factory=set)
    present: set[int] = field(default_factory=set)


class Sorter:
    """Sorts files within one transaction; `finish` writes the result.

    Parameters
    ----------
    session : of the caller's transaction, in which no other process sorts files.
    times_s : times of the files to sort, seconds since 1970.
    rules : of grouping.
    now : epoch seconds.
    """

    def __init__(self, session: Session, times_s: Sequence[float], rules: QueueRules, now: float) -> None:
        self._session, self._rules, self._now = session, rules, now
        self._gatherings: dict[str, Gathering] = {}
        self._rows_by_name: dict[str, tables.SubbandFileRow] = {}
        self._new: list[tables.SubbandFileRow] = []
        self._moved: Counter[Path] = Counter()
        self._rewritten: dict[str, list[str]] = {}
        if times_s:
            self._load(min(times_s), max(times_s))

    def record(self, row: tables.SubbandFileRow | None, file: SubbandFile) -> tuple[tables.SubbandFileRow, bool]:
        """Record a file that is new, has another path, or has changed.

        A new file, and a quarantined one that has changed, is sorted into a group.

        Parameters
        ----------
        row : row of the file's path; None when there is none.
        file : the file as it is now.

        Returns
        -------
        row of the file, and whether it completed its group, whose job became pending.
        """
        if row is None and (row := self._find_moved(file)):
            self._moved[Path(row.path).parent] += 1
            row.path = str(file.path)
            has_changed = row.size != file.size  # a copy has another time of modification
        else:
            row = row or tables.SubbandFileRow(path=str(file.path))
            has_changed = True
        row.size, row.mtime, row.arrived_at = file.size, file.mtime, self._now
        if row.state is None or (row.state == FileState.QUARANTINED and has_changed):
            row.subband, row.time_s = file.subband, file.time_s
            return row, self.sort(row, file)
        if has_changed:
            self._note_change(row)
        return row, False

    def sort(self, row: tables.SubbandFileRow, file: SubbandFile, *, except_group: str | None = None) -> bool:
        """Give a file its group, or quarantine it.

        Parameters
        ----------
        row : row of the file; its group, state and reason are set.
        file : path, subband and time of the file.
        except_group : group that it does not belong to.

        Returns
        -------
        True when the file completed its group, whose job became pending.
        """
        gatherings = [gathering for gathering in self._gatherings.values() if gathering.id != except_group]
        tolerance_s = self._rules.group_tolerance_s
        group_id = nearest_group(file, gatherings, tolerance_s)
        self._new.append(row)
        reason = None
        if file.subband >= BAND.subbands:
            reason = f"subband {file.subband}: the band has 0 to {BAND.subbands - 1}"
        elif group_id is None and file.stamp in self._gatherings:
            row.group_id = file.stamp
            reason = f"duplicate: group {file.stamp} has its subband {file.subband} from another file"
        if reason:
            quarantine(self._session, row, reason, self._now)
            return False
        if group_id is None:
            group_id = self._create(file, is_echo=founds_echo(file, gatherings, tolerance_s))
        row.group_id, row.state, row.reason, row.discarded_at = group_id, FileState.PRESENT, None, None
        return self._add(self._gatherings[group_id], row, file)

    def finish(self) -> None:
        """Write groups first, then the files that refer to them."""
        self._session.flush()
        self._session.add_all(self._new)
        self._session.flush()
        for directory, number in self._moved.items():
            text = f"{number} files of {directory} have another path now; their groups continue with it"
            record_event(self._session, self._now, INFO, None, text)
        for group_id, names in self._rewritten.items():
            text = f"{', '.join(names)} was written again when its group was {self._gatherings[group_id].job.state}"
            advice = f"`contimg groups retry {group_id} --stage convert` processes the group again with it"
            record_event(self._session, self._now, WARNING, group_id, f"{text}; {advice}")

    def _load(self, first_s: float, last_s: float) -> None:
        """Read and lock the groups around a span of time, and read their subbands."""
        tolerance_s = self._rules.group_tolerance_s
        group, file = tables.Group, tables.SubbandFileRow
        is_near = group.reference_s.between(first_s - tolerance_s, last_s + tolerance_s)
        query = groups_with_jobs().where(is_near).order_by(group.reference_s).with_for_update()
        for row, job in self._session.execute(query):
            self._take(row, job)
        for file_row in self._session.scalars(select(file).where(file.group_id.in_(select(group.id).where(is_near)))):
            self._rows_by_name[Path(file_row.path).name] = file_row
            gathering = self._gatherings.get(file_row.group_id or "")
            if gathering is None or file_row.subband is None or file_row.state == FileState.QUARANTINED:
                continue
            gathering.subbands.add(file_row.subband)
            if file_row.state == FileState.PRESENT:
                gathering.present.add(file_row.subband)

    def _find_moved(self, file: SubbandFile) -> tables.SubbandFileRow | None:
        """Return the row of a file of this name whose path no longer exists, or leads to this file; None without one.

        A file of this name that is elsewhere as well is a copy, and not moved.
        """
        row = self._rows_by_name.get(file.path.name)
        return row if row is not None and has_moved(row, file.path) else None

    def _note_change(self, row: tables.SubbandFileRow) -> None:
        """Note a file that changed after its group was read; before that, the conversion reads the new content."""
        gathering = self._gatherings.get(row.group_id or "")
        if gathering is None or row.state != FileState.PRESENT:
            return
        if gathering.job.stage != Stage.CONVERT or gathering.job.state not in _OPEN:
            self._rewritten.setdefault(gathering.id, []).append(Path(row.path).name)

    def _take(self, group: tables.Group, job: tables.Job) -> None:
        self._gatherings[group.id] = Gathering(
            id=group.id, reference_s=group.reference_s, echo=group.echo, group=group, job=job
        )

    def _create(self, file: SubbandFile, *, is_echo: bool) -> str:
        group_id, time_s, now = file.stamp, file.time_s, self._now
        group = tables.Group(id=group_id, reference_s=time_s, echo=is_echo, collecting_since=now, created_at=now)
        job = new_job(TILE, group_id, LIVE, time_s, State.COLLECTING, now)
        self._session.add_all((group, job))
        self._take(group, job)
        return group_id

    def _add(self, gathering: Gathering, row: tables.SubbandFileRow, file: SubbandFile) -> bool:
        """Add a file to a group according to the state of its job; True when that made the job pending."""
        group, job, expected, now = gathering.group, gathering.job, self._rules.expected_subbands, self._now
        gathering.subbands.add(file.subband)
        if job.state == State.FAILED and job.stage == Stage.CONVERT and job.attempts == 0:
            job.state, job.error, group.collecting_since = State.COLLECTING, None, now
            text = f"collecting again: {file.path.name} came after the timeout"
            record_event(self._session, now, INFO, group.id, text)
        if job.state not in _OPEN or job.stage != Stage.CONVERT:
            row.state = FileState.LATE
            text = f"{file.path.name} came after its group was {job.state}"
            advice = f"`contimg groups retry {group.id}` processes the group again with it"
            record_event(self._session, now, WARNING, group.id, f"{text}; {advice}")
            return False
        job.updated_at = now
        gathering.present.add(file.subband)
        if job.state == State.PENDING:
            group.partial = len(gathering.present) < expected
            return False
        if len(gathering.present) < expected:
            return False
        make_pending(self._session, group, job, len(gathering.present), expected, now)
        return True


def has_moved(row: tables.SubbandFileRow, path: Path) -> bool:
    """Return whether a file in the store is the one of another path now: its own is gone, or leads there.

    Parameters
    ----------
    row : row of the file.
    path : the other path.
    """
    try:
        return Path(row.path).samefile(path)
    except FileNotFoundError:
        return True
    except OSError:  # its directory cannot be reached now
        return False


def quarantine(session: Session, row: tables.SubbandFileRow, reason: str, now: float) -> None:
    """Quarantine a file, with an event unless it was quarantined for the same reason before.

    Parameters
    ----------
    session : of the caller's transaction.
    row : row of the file.
    reason : for operators.
    now : epoch seconds.
    """
    reason = printable(reason)  # as the store returns it
    if (row.state, row.reason) != (FileState.QUARANTINED, reason):
        record_event(session, now, WARNING, row.group_id, f"{Path(row.path).name} quarantined: {reason}")
        row.discarded_at = None
    row.state, row.reason = FileState.QUARANTINED, reason


def make_pending(
    session: Session, group: tables.Group, job: tables.Job, present: int, expected: int, now: float
) -> None:
    """End the collection of a group: its job waits for the first stage.

    Parameters
    ----------
    session : of the caller's transaction.
    group, job : rows of the group and of its live job.
    present : number of subbands that the group has.
    expected : number of subbands of a complete group; with fewer the group is partial.
    now : epoch seconds.
    """
    job.state, job.error, job.updated_at = State.PENDING, None, now
    job.not_before = job.enqueued_at = None
    group.partial = present < expected
    level, text = INFO, f"complete: {present} subbands"
    if group.partial:
        level, text = WARNING, f"partial: continues with {present} of {expected} subbands"
    record_event(session, now, level, group.id, text)
