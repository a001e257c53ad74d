"""Failed groups and quarantined files by reason, with what to do; acknowledge a reason, retry or discard its files."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from contimg.common.errors import BadInput
from contimg.common.units import number_of
from contimg.formats.records import about
from contimg.settings.alerts import INFO, WARNING
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.activity.remedies import remedy_of
from contimg.store.database import Repository
from contimg.store.files.groups import FileState
from contimg.store.jobs.kinds import LIVE, TILE, State
from contimg.store.jobs.queue import Jobs

MAX_READ = 1000
_ACKNOWLEDGED = "acknowledged."  # key of a reason in the table of switches; its value is the time of the last failure
_VARIABLE = re.compile(r"\S*\.hdf5|(?<!\w)/\S+|\d+(?:[\s.,:T/-]*\d+)*")


@dataclass(frozen=True)
class AttentionItem:
    """Failed groups, or quarantined files, that have one reason; numbers and names in it may differ."""

    key: Annotated[str, about("Key of the reason", example="3f2a9c81d0e4")]
    kind: Annotated[Literal["group", "file"], about("Failed groups or quarantined files", example="group")]
    reason: Annotated[str, about("The newest reason", example="incomplete, 7 of 16")]
    what_to_do: Annotated[str, about("What to do about it", example="Copy the missing files there and retry.")]
    section: Annotated[str, about("Section of the documentation", example="troubleshoot.md#reason-incomplete")]
    members: Annotated[
        tuple[str, ...], about("Groups, or paths of files, the newest first", example=["2026-02-22T03:04:05"])
    ]
    began_at: Annotated[float, about("When the first of them failed or arrived")]
    last_at: Annotated[float, about("When the last of them failed or arrived")]
    acknowledged_at: Annotated[float | None, about("When it was acknowledged; null when another came since")] = None
    acknowledged_by: Annotated[str | None, about("Who acknowledged it", example="vera")] = None

    @property
    def count(self) -> Annotated[int, about("Number of groups or files", "members", 3)]:
        """Number of groups or files."""
        return len(self.members)

    @property
    def label(self) -> str:
        """The item in a message: `3 groups: incomplete, 7 of 16`."""
        return f"{number_of(self.count, self.kind)}: {self.reason}"


@dataclass(frozen=True)
class _Failure:
    """A failed group or a quarantined file; `job_id` is None for a file."""

    name: str
    reason: str
    at: float
    job_id: int | None = None


class Attention(Repository):
    """What needs an operator: the reasons of failed groups and of quarantined files."""

    def items(self) -> tuple[AttentionItem, ...]:
        """Return the reasons: those not acknowledged first, then the newest; of the newest thousand of each kind."""
        with self._database.read() as session:
            groups, files = _failed_groups(session), _quarantined_files(session)
            items = [*_by_reason(session, "group", groups), *_by_reason(session, "file", files)]
        return tuple(sorted(items, key=lambda item: (item.acknowledged_at is not None, -item.last_at)))

    def item(self, key: str) -> AttentionItem:
        """Return one reason.

        Parameters
        ----------
        key : its key.

        Raises
        ------
        BadInput : nothing has this reason now.
        """
        for item in self.items():
            if item.key == key:
                return item
        raise BadInput(f"{key[:40]}: nothing needs attention for this reason; `contimg attention list` lists the keys")

    def acknowledge(self, key: str, by: str) -> AttentionItem:
        """Record that an operator attends to a reason, until another group or file has it.

        Parameters
        ----------
        key : key of the reason.
        by : who acknowledges it.

        Raises
        ------
        BadInput : nothing has this reason now.
        """
        item, now = self.item(key), self._database.clock()
        with self._database.write() as session:
            session.merge(
                tables.Control(key=f"{_ACKNOWLEDGED}{key}", value=repr(item.last_at), changed_at=now, changed_by=by)
            )
            record_event(session, now, INFO, None, f"acknowledged by {by}: {item.label}", author=by)
        return self.item(key)

    def retry(self, key: str, *, by: str, force: bool = False) -> str:
        """Retry the groups of a reason, or let the next scan examine its files although they have not changed.

        Parameters
        ----------
        key : key of the reason.
        by : who requests it, for the events.
        force : also groups with fewer subbands than the minimum.

        Returns
        -------
        what was done, in one line.

        Raises
        ------
        Incomplete : every group has too few subbands, and `force` is not set.
        BadInput : nothing has this reason now, or none of its groups can be retried.
        """
        item, file, jobs = self.item(key), tables.SubbandFileRow, Jobs(self._database)
        if item.kind == "file":
            values = {file.size: 0, file.mtime: 0.0, file.discarded_at: None}
            return self._change_files(item, values, INFO, "examined again", by)
        return _for_each(item.members, lambda group: jobs.retry(group, by=by, force=force), "pending")

    def discard(self, key: str, *, by: str) -> str:
        """Discard the groups of a reason, or let its files need attention no more; every file stays on disk.

        Parameters
        ----------
        key : key of the reason.
        by : who requests it, for the events.

        Returns
        -------
        what was done, in one line.

        Raises
        ------
        BadInput : nothing has this reason now, or none of its groups can be discarded.
        """
        item, jobs = self.item(key), Jobs(self._database)
        if item.kind == "file":
            values = {tables.SubbandFileRow.discarded_at: self._database.clock()}
            return self._change_files(item, values, WARNING, "discarded", by)
        return _for_each(item.members, lambda group: jobs.discard(group, by=by), "discarded")

    def _change_files(self, item: AttentionItem, values: Mapping[Any, object], level: str, done: str, by: str) -> str:
        file = tables.SubbandFileRow
        with self._database.write_arrivals() as session:
            for path in item.members:
                is_file = (file.path == path) & (file.state == FileState.QUARANTINED)
                session.execute(update(file).where(is_file).values(values))
            text = f"{item.count} quarantined {'file is' if item.count == 1 else 'files are'} {done}"
            event = f"{text}, by {by}: {item.reason}"
            record_event(session, self._database.clock(), level, None, event, author=by)
        return text


def _for_each(groups: Sequence[str], change: Callable[[str], object], done: str) -> str:
    """Change each group; raise the first refusal when every group is refused."""
    refusals: list[BadInput] = []
    for group in groups:
        try:
            change(group)
        except BadInput as refusal:
            refusals.append(refusal)
    if len(refusals) == len(groups):
        raise refusals[0]
    number = len(groups) - len(refusals)
    text = f"{number} {'group is' if number == 1 else 'groups are'} {done}"
    return f"{text}; {len(refusals)} refused, the first: {refusals[0]}" if refusals else text


def _failed_groups(session: Session) -> list[_Failure]:
    job = tables.Job
    query = select(job.key, job.error, job.updated_at, job.id).where(
        job.state == State.FAILED, job.kind == TILE.name, job.processing == LIVE
    )
    rows = session.execute(query.order_by(job.updated_at.desc()).limit(MAX_READ))
    return [_Failure(key, error or "no reason is recorded", at, job_id) for key, error, at, job_id in rows]


def _quarantined_files(session: Session) -> list[_Failure]:
    file = tables.SubbandFileRow
    query = select(file.path, file.reason, file.arrived_at).where(
        file.state == FileState.QUARANTINED, file.discarded_at.is_(None)
    )
    rows = session.execute(query.order_by(file.arrived_at.desc()).limit(MAX_READ))
    return [_Failure(str(path), reason or "no reason is recorded", at) for path, reason, at in rows]


def _by_reason(
    session: Session, kind: Literal["group", "file"], failures: Iterable[_Failure]
) -> Iterable[AttentionItem]:
    """Join the failures, the newest first, whose reasons differ in numbers and names of files only."""
    joined: dict[str, list[_Failure]] = {}
    for failure in failures:
        joined.setdefault(_key(kind, failure.reason), []).append(failure)
    for key, members in joined.items():
        newest = members[0]
        remedy = remedy_of(newest.reason, _error_class(session, newest))
        last_at = max(failure.at for failure in members)
        acknowledgement = session.get(tables.Control, f"{_ACKNOWLEDGED}{key}")
        if acknowledgement is not None and float(acknowledgement.value) < last_at:
            acknowledgement = None
        yield AttentionItem(
            key=key, kind=kind, reason=newest.reason, what_to_do=remedy.text, section=remedy.link,
            members=tuple(failure.name for failure in members), began_at=min(failure.at for failure in members),
            last_at=last_at, acknowledged_at=acknowledgement.changed_at if acknowledgement else None,
            acknowledged_by=acknowledgement.changed_by if acknowledgement else None,
        )  # fmt: skip


def _key(kind: str, reason: str) -> str:
    return hashlib.sha256(f"{kind} {_VARIABLE.sub('0', reason)}".encode()).hexdigest()[:12]


def _error_class(session: Session, failure: _Failure) -> str | None:
    """Class of the error of the last attempt of a group."""
    run = tables.StageRun
    if failure.job_id is None:
        return None
    query = select(run.error_class).where(run.job_id == failure.job_id).order_by(run.id.desc()).limit(1)
    return session.scalar(query)
