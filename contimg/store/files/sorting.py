"""Many files into groups in one transaction: the groups around them are read once, and every rule is applied in memory.

A single file is a batch of one. The grouping rule is `contimg.formats.uvh5.grouping.nearest_group`; this module applies
the state of the group to a file that joins it.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg.formats.uvh5.grouping import GroupInReach, SubbandName, founds_echo, nearest_group
from contimg.instrument.dsa110 import BAND
from contimg.settings import QueueRules
from contimg.store import tables as models
from contimg.store.activity.events import INFO, WARNING, note
from contimg.store.records import FileState, Stage, State

# A file of a group in one of these states can still be converted with the rest.
_OPEN = (State.COLLECTING, State.PENDING)


@dataclass
class Gathering:
    """A group's row and the subbands of its files: `taken` by any but those set aside, `present` in the next MS."""

    row: models.Group
    taken: set[int] = field(default_factory=set)
    present: set[int] = field(default_factory=set)


class Sorter:
    """Sorts files within one transaction; `finish` writes what came of it."""

    def __init__(self, session: Session, names: Iterable[SubbandName], rules: QueueRules, now: float) -> None:
        self._session, self._rules, self._now = session, rules, now
        self._groups: dict[str, Gathering] = {}
        self._by_time: list[tuple[float, str]] = []
        self._new: list[models.SubbandFile] = []
        self._load([name.time_s for name in names])

    def sort(self, row: models.SubbandFile, name: SubbandName) -> bool:
        """Give a file its group, or set it aside; True when its group became pending by it."""
        reach = self._in_reach(name.time_s)
        home = nearest_group(name, reach, self._rules.group_tolerance_s)
        self._new.append(row)
        wrong = None
        if name.subband >= BAND.subbands:
            wrong = f"subband {name.subband}: the band has 0 to {BAND.subbands - 1}"
        elif home is None and any(one.id == name.stamp for one in reach):
            row.group_id = name.stamp
            wrong = f"duplicate: group {name.stamp} has its subband {name.subband} from another file"
        if wrong:
            row.state, row.reason = FileState.SET_ASIDE, wrong
            note(self._session, self._now, WARNING, row.group_id, f"{Path(row.path).name} set aside: {wrong}")
            return False
        gathering = self._groups[home] if home else self._found(name, reach)
        row.group_id, row.state, row.reason = gathering.row.id, FileState.PRESENT, None
        return self._admit(gathering, row, name.subband)

    def finish(self) -> None:
        """Write groups first, then the files that refer to them."""
        self._session.flush()
        self._session.add_all(self._new)
        self._session.flush()

    def _load(self, times_s: Sequence[float]) -> None:
        """The groups around these times, held until the transaction ends, and what they have."""
        if not times_s:
            return
        tolerance_s = self._rules.group_tolerance_s
        group, file = models.Group, models.SubbandFile
        near = select(group).where(group.reference_s.between(min(times_s) - tolerance_s, max(times_s) + tolerance_s))
        for row in self._session.scalars(near.order_by(group.reference_s).with_for_update()):
            self._take(Gathering(row))
        files = select(file.group_id, file.subband, file.state).where(
            file.group_id.in_(near.with_only_columns(group.id)), file.state != FileState.SET_ASIDE
        )
        for group_id, subband, state in self._session.execute(files):
            gathering = self._groups.get(group_id or "")
            if gathering is not None and subband is not None:
                gathering.taken.add(subband)
                if state == FileState.PRESENT:
                    gathering.present.add(subband)

    def _take(self, gathering: Gathering) -> Gathering:
        self._groups[gathering.row.id] = gathering
        insort(self._by_time, (gathering.row.reference_s, gathering.row.id))
        return gathering

    def _in_reach(self, time_s: float) -> list[GroupInReach]:
        tolerance_s = self._rules.group_tolerance_s
        first = bisect_left(self._by_time, (time_s - tolerance_s, ""))
        last = bisect_right(self._by_time, (time_s + tolerance_s, "\uffff"))
        near = [self._groups[group] for _, group in self._by_time[first:last]]
        return [GroupInReach(one.row.id, one.row.reference_s, one.taken, one.row.echo) for one in near]

    def _found(self, name: SubbandName, reach: Sequence[GroupInReach]) -> Gathering:
        row = models.Group(
            id=name.stamp,
            reference_s=name.time_s,
            echo=founds_echo(name, reach, self._rules.group_tolerance_s),
            state=State.COLLECTING,
            stage=Stage.CONVERT,
            attempts=0,
            collecting_since=self._now,
            created_at=self._now,
            updated_at=self._now,
        )
        self._session.add(row)
        return self._take(Gathering(row))

    def _admit(self, gathering: Gathering, row: models.SubbandFile, subband: int) -> bool:
        """Take a file into a group according to the group's state; True when that made the group pending."""
        group, expected, now = gathering.row, self._rules.expected_subbands, self._now
        gathering.taken.add(subband)
        if group.state == State.FAILED and group.stage == Stage.CONVERT and group.attempts == 0:
            group.state, group.error, group.collecting_since = State.COLLECTING, None, now
            note(self._session, now, INFO, group.id, f"collecting again: {Path(row.path).name} came after the timeout")
        if group.state not in _OPEN or group.stage != Stage.CONVERT:
            row.state = FileState.LATE
            text = f"{Path(row.path).name} came after its group was {group.state}; `contimg groups retry {group.id}`"
            note(self._session, now, WARNING, group.id, f"{text} makes the group again with it")
            return False
        group.updated_at = now
        gathering.present.add(subband)
        if group.state == State.PENDING:
            group.partial = len(gathering.present) < expected
            return False
        if len(gathering.present) < expected:
            return False
        make_pending(self._session, group, len(gathering.present), expected, now)
        return True


def make_pending(session: Session, group: models.Group, present: int, expected: int, now: float) -> None:
    """Collecting ends: the group waits for its first stage."""
    group.state, group.partial, group.error = State.PENDING, present < expected, None
    group.not_before = group.enqueued_at = None
    group.updated_at = now
    if group.partial:
        note(session, now, WARNING, group.id, f"partial: goes on with {present} of {expected} subbands")
    else:
        note(session, now, INFO, group.id, f"complete: {present} subbands")
