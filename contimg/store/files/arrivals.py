"""Files and groups: registering files, ending the collection of a group, and listing both."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from contimg.formats.uvh5.grouping import SubbandFile
from contimg.settings.alerts import WARNING
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import order_by_key
from contimg.store.files.groups import (
    Arrival,
    FileRecord,
    FileState,
    GroupFilter,
    GroupOrder,
    GroupRecord,
    files_of,
    group_records,
    groups_with_jobs,
)
from contimg.store.files.rejection import RejectedFiles
from contimg.store.files.sorting import Sorter, make_pending
from contimg.store.jobs.kinds import LIVE, TILE, State
from contimg.store.tables import record_of


class Files(RejectedFiles):
    """Subband files and their groups."""

    def register(self, files: Sequence[SubbandFile]) -> tuple[Arrival, ...]:
        """Sort finished files into their groups, in order and in one transaction. Calling it again is harmless.

        A quarantined file is sorted again when its size (bytes) or mtime (epoch seconds) has changed. A file whose
        group was converted already joins it as late, and one that changes afterwards stays in it, each with an event.
        A file whose directory was moved keeps its group.

        Parameters
        ----------
        files : files that are written to no more, with the subband and the time in their names.

        Returns
        -------
        what became of each file, in the order of `files`.
        """
        if not files:
            return ()
        now, rules, path = self._database.clock(), self._database.rules, tables.SubbandFileRow.path
        with self._database.write_arrivals() as session:
            recorded = select(tables.SubbandFileRow).where(path.in_([str(file.path) for file in files]))
            rows = {row.path: row for row in session.scalars(recorded)}
            changed = [file for file in files if not _is_recorded(file, rows)]
            sorter = Sorter(session, [file.time_s for file in changed], rules, now)
            arrivals = []
            for file in files:
                if _is_recorded(file, rows):
                    arrivals.append((rows[str(file.path)], True, False))
                    continue
                row, is_complete = sorter.record(rows.get(str(file.path)), file)
                rows[row.path] = row
                arrivals.append((row, False, is_complete))
            sorter.finish()
            return tuple(
                Arrival(record_of(FileRecord, row), known=is_known, became_pending=is_complete)
                for row, is_known, is_complete in arrivals
            )

    def check_timeouts(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """End the collections that are past their timeout: (groups now pending, groups now failed)."""
        now, rules = self._database.clock(), self._database.rules
        overdue = (
            groups_with_jobs()
            .where(
                tables.Job.state == State.COLLECTING, tables.Group.collecting_since <= now - rules.collection_timeout_s
            )
            .order_by(tables.Job.reference_s)
            .with_for_update(skip_locked=True)
        )
        pending, failed = [], []
        with self._database.write_arrivals() as session:
            for group, job in session.execute(overdue).all():
                _adopt_strays(session, group, rules.group_tolerance_s)
                present = len(files_of(session, group.id, FileState.PRESENT))
                if present >= rules.min_subbands:
                    make_pending(session, group, job, present, rules.expected_subbands, now)
                    pending.append(group.id)
                else:
                    job.error = _why_incomplete(session, group, present, rules.expected_subbands)
                    job.state, job.updated_at = State.FAILED, now
                    record_event(session, now, WARNING, group.id, f"failed: {job.error}")
                    failed.append(group.id)
        return tuple(pending), tuple(failed)

    def group(self, group: str) -> GroupRecord | None:
        """Return a group by its id, or None.

        Parameters
        ----------
        group : id of the group, its reference time, `YYYY-MM-DDTHH:MM:SS`.
        """
        with self._database.read() as session:
            return next(iter(group_records(session, groups_with_jobs().where(tables.Group.id == group))), None)

    def groups(self, state: State | None = None, limit: int = 50) -> tuple[GroupRecord, ...]:
        """Return the latest groups by observation time, newest first.

        Parameters
        ----------
        state : only groups in this state; None for any.
        limit : largest number of groups.
        """
        return self.find_groups(GroupFilter(state=state), limit)

    def find_groups(
        self,
        groups: GroupFilter,
        limit: int = 50,
        *,
        order: GroupOrder = GroupOrder.OBSERVED,
        ascending: bool = False,
        after: tuple[float, str] | None = None,
    ) -> tuple[GroupRecord, ...]:
        """Return the selected groups, the latest first.

        Parameters
        ----------
        groups : the conditions.
        limit : largest number of groups.
        order, ascending : what to sort by.
        after : only groups after this key, the order's time and the id; a page's last group gives that of the next.
        """
        job = tables.Job
        column = {GroupOrder.OBSERVED: job.reference_s, GroupOrder.UPDATED: job.updated_at}[order]
        query = order_by_key(groups_with_jobs(), column, job.key, ascending, after).limit(limit)
        with self._database.read() as session:
            return group_records(session, query.where(*self._conditions(groups)))

    def count_groups(self, groups: GroupFilter) -> int:
        """Count the selected groups.

        Parameters
        ----------
        groups : the conditions.
        """
        job, has_group_conditions = tables.Job, (groups.partial, groups.incomplete, groups.ids) != (None, None, None)
        query = (
            groups_with_jobs()
            if has_group_conditions
            else select(job).where(job.kind == TILE.name, job.processing == LIVE)
        )
        selected = query.where(*self._conditions(groups)).with_only_columns(func.count())
        with self._database.read() as session:
            return session.execute(selected).scalar_one()

    def group_keys(self, groups: GroupFilter) -> tuple[tuple[float, str], ...]:
        """Return time of observation (epoch seconds) and id of all selected groups, the latest first.

        Parameters
        ----------
        groups : the conditions.
        """
        job = tables.Job
        query = order_by_key(groups_with_jobs(), job.reference_s, job.key, False, None)
        keys = query.where(*self._conditions(groups)).with_only_columns(job.reference_s, job.key)
        with self._database.read() as session:
            return tuple((reference_s, key) for reference_s, key in session.execute(keys))

    def _conditions(self, groups: GroupFilter) -> list[ColumnElement[bool]]:
        return groups.conditions(self._database.rules.expected_subbands)

    def latest(self, state: FileState | None = None, limit: int = 200) -> tuple[FileRecord, ...]:
        """Return the files that arrived last, the last one first.

        Parameters
        ----------
        state : only files in this state; None for any.
        limit : largest number of files.
        """
        file = tables.SubbandFileRow
        query = select(file).order_by(file.arrived_at.desc()).limit(limit)
        return self._fetch(FileRecord, query if state is None else query.where(file.state == state))

    def of_group(self, group: str) -> tuple[FileRecord, ...]:
        """Return all files of a group, whatever their state, in order of subband.

        Parameters
        ----------
        group : id of the group.
        """
        with self._database.read() as session:
            return tuple(record_of(FileRecord, row) for row in files_of(session, group))


def _is_recorded(file: SubbandFile, rows: Mapping[str, tables.SubbandFileRow]) -> bool:
    """Whether the store has a file with its present size and time of modification."""
    row = rows.get(str(file.path))
    return row is not None and (row.size, row.mtime) == (file.size, file.mtime)


def _adopt_strays(session: Session, group: tables.Group, tolerance_s: float) -> None:
    """Give a group the files quarantined before they were sorted, by the time in their name: they explain a gap."""
    file = tables.SubbandFileRow
    near = file.time_s.between(group.reference_s - tolerance_s, group.reference_s + tolerance_s)
    strays = update(file).where(file.state == FileState.QUARANTINED, file.group_id.is_(None), near)
    session.execute(strays.values(group_id=group.id))


def _why_incomplete(session: Session, group: tables.Group, present: int, expected: int) -> str:
    """`incomplete, 11 of 16`, and the reasons."""
    text = f"incomplete, {present} of {expected}"
    quarantined = files_of(session, group.id, FileState.QUARANTINED)
    if quarantined:
        text += f"; {len(quarantined)} quarantined ({Path(quarantined[0].path).name}: {quarantined[0].reason})"
    if group.echo:
        text += "; began with a duplicate: the group beside it already had this subband"
    return text
