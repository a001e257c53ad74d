"""Sort many files into groups in one transaction: the groups around them are read once, the rules applied in memory.

The grouping rule is `contimg.formats.uvh5.grouping.nearest_group`; this module applies the state of the group's job to
a file that joins it.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.formats.uvh5.grouping import GroupInReach, SubbandFile, founds_echo, nearest_group
from contimg.instrument.dsa110 import BAND
from contimg.settings import QueueRules
from contimg.store import tables
from contimg.store.activity.events import INFO, WARNING, record_event
from contimg.store.files.groups import FileState, groups_with_jobs
from contimg.store.jobs.kinds import LIVE, TILE, Stage, State
from contimg.store.jobs.records import new_job

# A file of a group whose job is in one of these states can still be converted with the others.
_OPEN = (State.COLLECTING, State.PENDING)


@dataclass
class Gathering:
    """A group, its live job, and its subbands: `taken` by any file not quarantined, `present` in the next MS."""

    group: tables.Group
    job: tables.Job
    taken: set[int] = field(default_factory=set)
    present: set[int] = field(default_factory=set)


class Sorter:
    """Sorts files within one transaction; `finish` writes the result."""

    def __init__(self, session: Session, times_s: Sequence[float], rules: QueueRules, now: float) -> None:
        self._session, self._rules, self._now = session, rules, now
        self._groups: dict[str, Gathering] = {}
        self._by_time: list[tuple[float, str]] = []
        self._new: list[tables.SubbandFileRow] = []
        self._load(times_s)

    def sort(self, row: tables.SubbandFileRow, file: SubbandFile) -> bool:
        """Give a file its group, or quarantine it.

        Parameters
        ----------
        row : new or changed row of the file; its group, state and reason are set.
        file : path, subband and time of the file.

        Returns
        -------
        True when the file completed its group, whose job became pending.
        """
        near = self._groups_near(file.time_s)
        group_id = nearest_group(file, near, self._rules.group_tolerance_s)
        self._new.append(row)
        reason = None
        if file.subband >= BAND.subbands:
            reason = f"subband {file.subband}: the band has 0 to {BAND.subbands - 1}"
        elif group_id is None and any(group.id == file.stamp for group in near):
            row.group_id = file.stamp
            reason = f"duplicate: group {file.stamp} has its subband {file.subband} from another file"
        if reason:
            row.state, row.reason = FileState.QUARANTINED, reason
            text = f"{file.path.name} quarantined: {reason}"
            record_event(self._session, self._now, WARNING, row.group_id, text)
            return False
        gathering = self._groups[group_id] if group_id else self._create(file, near)
        row.group_id, row.state, row.reason = gathering.group.id, FileState.PRESENT, None
        return self._add(gathering, row, file.subband)

    def finish(self) -> None:
        """Write groups first, then the files that refer to them."""
        self._session.flush()
        self._session.add_all(self._new)
        self._session.flush()

    def _load(self, times_s: Sequence[float]) -> None:
        """Read and lock the groups around these times, and read their subbands."""
        if not times_s:
            return
        tolerance_s = self._rules.group_tolerance_s
        group, file = tables.Group, tables.SubbandFileRow
        is_near = group.reference_s.between(min(times_s) - tolerance_s, max(times_s) + tolerance_s)
        query = groups_with_jobs().where(is_near).order_by(group.reference_s).with_for_update()
        for row, job in self._session.execute(query):
            self._take(Gathering(row, job))
        files = select(file.group_id, file.subband, file.state).where(
            file.group_id.in_(select(group.id).where(is_near)), file.state != FileState.QUARANTINED
        )
        for group_id, subband, state in self._session.execute(files):
            gathering = self._groups.get(group_id or "")
            if gathering is not None and subband is not None:
                gathering.taken.add(subband)
                if state == FileState.PRESENT:
                    gathering.present.add(subband)

    def _take(self, gathering: Gathering) -> Gathering:
        group = gathering.group
        self._groups[group.id] = gathering
        insort(self._by_time, (group.reference_s, group.id))
        return gathering

    def _groups_near(self, time_s: float) -> list[GroupInReach]:
        tolerance_s = self._rules.group_tolerance_s
        first = bisect_left(self._by_time, (time_s - tolerance_s, ""))
        last = bisect_right(self._by_time, (time_s + tolerance_s, "\uffff"))
        near = [self._groups[group_id] for _, group_id in self._by_time[first:last]]
        return [GroupInReach(item.group.id, item.group.reference_s, item.taken, item.group.echo) for item in near]

    def _create(self, file: SubbandFile, near: Sequence[GroupInReach]) -> Gathering:
        group = tables.Group(
            id=file.stamp,
            reference_s=file.time_s,
            echo=founds_echo(file, near, self._rules.group_tolerance_s),
            collecting_since=self._now,
            created_at=self._now,
        )
        job = new_job(TILE, file.stamp, LIVE, file.time_s, State.COLLECTING, self._now)
        self._session.add_all((group, job))
        return self._take(Gathering(group, job))

    def _add(self, gathering: Gathering, file: tables.SubbandFileRow, subband: int) -> bool:
        """Add a file to a group according to the state of its job; True when that made the job pending."""
        group, job, expected, now = gathering.group, gathering.job, self._rules.expected_subbands, self._now
        gathering.taken.add(subband)
        if job.state == State.FAILED and job.stage == Stage.CONVERT and job.attempts == 0:
            job.state, job.error, group.collecting_since = State.COLLECTING, None, now
            text = f"collecting again: {Path(file.path).name} came after the timeout"
            record_event(self._session, now, INFO, group.id, text)
        if job.state not in _OPEN or job.stage != Stage.CONVERT:
            file.state = FileState.LATE
            text = f"{Path(file.path).name} came after its group was {job.state}"
            advice = f"`contimg groups retry {group.id}` processes the group again with it"
            record_event(self._session, now, WARNING, group.id, f"{text}; {advice}")
            return False
        job.updated_at = now
        gathering.present.add(subband)
        if job.state == State.PENDING:
            group.partial = len(gathering.present) < expected
            return False
        if len(gathering.present) < expected:
            return False
        make_pending(self._session, group, job, len(gathering.present), expected, now)
        return True


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
    if group.partial:
        text = f"partial: continues with {present} of {expected} subbands"
        record_event(session, now, WARNING, group.id, text)
    else:
        record_event(session, now, INFO, group.id, f"complete: {present} subbands")
