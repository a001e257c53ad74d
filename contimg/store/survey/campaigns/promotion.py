"""The end of a campaign: its products become those of the stream, or are deleted."""

from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session, aliased

from contimg.common.errors import BadInput
from contimg.common.units import number_of
from contimg.settings.alerts import INFO, WARNING
from contimg.settings.retention import CALTABLES, IMAGE, MS
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import Repository
from contimg.store.epochs.collecting import open_epochs
from contimg.store.epochs.tiles import UNDECIDED
from contimg.store.jobs.background import CANCELLED, COMPLETED, DROPPING, PROMOTED, RUNNING
from contimg.store.jobs.kinds import EPOCH, LIVE, TILE, Stage, State
from contimg.store.jobs.records import end_lease
from contimg.store.sky.identification import chunks
from contimg.store.survey.campaigns.campaigns import (
    BEFORE,
    CampaignRecord,
    insert_jobs,
    of_campaign,
    read_campaign,
    require_campaign,
)

_KINDS: dict[Any, str] = {tables.Image: IMAGE, tables.MeasurementSet: MS, tables.CalibrationTable: CALTABLES}
"""Tables of the products that are promoted, and the kinds of their files."""


class Promotion(Repository):
    """Transactions that promote and delete campaigns."""

    def promote(self, name: str, by: str) -> CampaignRecord:
        """Make the images of a campaign those of the stream, in one transaction.

        What they replace becomes the campaign `before-<name>`, which can be compared, promoted back and dropped. So do
        Measurement Sets and caltable sets where the campaign has its own. The live epochs that hold the images are
        opened again.

        Parameters
        ----------
        name, by : the campaign, and who promotes it.

        Returns
        -------
        the campaign.

        Raises
        ------
        BadInput : it still runs, has no image, or a live job of one of its tiles waits or is in progress.
        """
        now, before = self._database.clock(), f"{BEFORE}{name}"
        with self._database.write() as session:
            row = require_campaign(session, name, lock=True)
            record = read_campaign(session, row)
            if record.state not in (COMPLETED, CANCELLED) or record.is_busy:
                raise BadInput(
                    f"campaign {name}: is {record.state}; only one that is completed or cancelled is promoted"
                )
            if session.scalar(select(tables.Job.id).where(of_campaign(before)).limit(1)) is not None:
                raise BadInput(f"campaign {before}: holds what an earlier promotion replaced; drop it first")
            lives = _lock_live_jobs(session, name)
            session.add(
                tables.Campaign(
                    name=before, stage=row.stage, preset_name="stream", preset={}, from_s=row.from_s, to_s=row.to_s,
                    state=RUNNING, created_at=now, created_by=by, changed_at=now, changed_by=by,
                )
            )  # fmt: skip
            insert_jobs(session, select(tables.Job).where(*_live_jobs(name)), before, State.COMPLETED, Stage.IMAGE, now)
            for model in _KINDS:
                _swap(session, model, name, before, {live.key for live in lives})
            _end_epochs(session, name, now)
            row.state, row.changed_at, row.changed_by = PROMOTED, now, by
            text = f"{number_of(len(lives), 'image')} of the campaign {name} promoted by {by}; replaced: {before}"
            record_event(session, now, WARNING, None, text, author=by)
            session.flush()
            session.expire_all()
            for live in lives:
                if live.state != State.COMPLETED:
                    end_lease(live, State.COMPLETED, now)
                    live.stage, live.attempts, live.error, live.completed_at = Stage.IMAGE, 0, None, now
                open_epochs(session, live, self._database.rules, now)
            return read_campaign(session, row)

    def begin_drop(self, name: str, by: str) -> tuple[Path, ...]:
        """Mark a campaign as being deleted, so that nothing of it runs, and return what its rows hold on disk.

        It may be called again after a process was killed in the middle.

        Parameters
        ----------
        name, by : the campaign, and who deletes it.

        Returns
        -------
        files, and directories of Measurement Sets and caltable sets; the files of one product share a stem.

        Raises
        ------
        BadInput : it still runs.
        """
        now = self._database.clock()
        with self._database.write() as session:
            row = require_campaign(session, name, lock=True)
            record = read_campaign(session, row)
            if record.is_busy:
                raise BadInput(f"campaign {name}: is {record.state}; cancel it, and wait for the stages in progress")
            row.state, row.changed_at, row.changed_by = DROPPING, now, by
            return tuple(_paths(session, name, own=True))

    def paths_of_others(self, name: str, directory: Path) -> tuple[Path, ...]:
        """Return the products of other processings below a directory, which must stay.

        Parameters
        ----------
        name : of the campaign.
        directory : of the campaign.
        """
        with self._database.read() as session:
            return tuple(path for path in _paths(session, name, own=False) if path.is_relative_to(directory))

    def finish_drop(self, name: str, by: str) -> None:
        """Delete every row of a campaign, and the campaign.

        Parameters
        ----------
        name, by : the campaign, and who deletes it.

        Raises
        ------
        BadInput : `begin_drop` was not called.
        """
        now = self._database.clock()
        with self._database.write() as session:
            row = require_campaign(session, name, lock=True)
            if row.state != DROPPING:
                raise BadInput(f"campaign {name}: is {row.state}, not marked for deletion")
            _delete_rows(session, name)
            session.delete(row)
            record_event(session, now, INFO, None, f"dropped by {by}", author=by, processing=name)

    def dropping(self, before_s: float) -> tuple[str, ...]:
        """Return the names of the campaigns that were marked for deletion before a time and are still there.

        Parameters
        ----------
        before_s : epoch seconds.
        """
        row = tables.Campaign
        query = select(row.name).where(row.state == DROPPING, row.changed_at <= before_s)
        with self._database.read() as session:
            return tuple(session.scalars(query))


def _live_jobs(name: str) -> tuple[ColumnElement[bool], ...]:
    """The conditions of the live jobs of the tiles of a campaign that have an image."""
    imaged = select(tables.Image.group_id).where(tables.Image.processing == name)
    return tables.Job.kind == TILE.name, tables.Job.processing == LIVE, tables.Job.key.in_(imaged)


def _lock_live_jobs(session: Session, name: str) -> list[tables.Job]:
    """The live jobs of the imaged tiles of a campaign, locked; none of them may wait or be in progress."""
    job = tables.Job
    query = select(job).where(*_live_jobs(name))
    lives = list(session.scalars(query.order_by(job.reference_s).with_for_update()))
    if not lives:
        raise BadInput(f"campaign {name}: has no image to promote")
    if busy := [job.key for job in lives if job.state in UNDECIDED]:
        raise BadInput(f"campaign {name}: group {busy[0]} is being processed by the stream; promote it afterwards")
    return lives


def _swap(session: Session, model: Any, name: str, before: str, tiles: set[str]) -> None:
    """Give the live rows of tiles that a campaign has rows of to `before`, and those of the campaign to the stream.

    Caltable sets are replaced by name; so a set of a tile that the campaign did not solve stays in force.
    """
    key = model.set_name if model is tables.CalibrationTable else model.group_id
    rows = session.execute(select(key, model.group_id).where(model.processing == name))
    owners = {value: group for value, group in rows if group in tiles}
    # The keys are read first: the second statement changes what the first would select.
    for source, target in ((LIVE, before), (name, LIVE)):
        for part in chunks(sorted(owners)):
            of_part = (model.processing == source, key.in_(part), model.group_id.is_not(None))
            session.execute(
                update(model).where(*of_part).values(job_id=_job_id(model, target), processing=target),
                execution_options={"synchronize_session": False},
            )
    _swap_files(session, _KINDS[model], set(owners.values()), name, before)


def _swap_files(session: Session, kind: str, groups: set[str], name: str, before: str) -> None:
    """Give the registered files of products of some tiles to the jobs that have the products now."""
    file, job = tables.ProductFile, tables.Job
    of_tiles = select(job.key, job.id, job.processing).where(job.kind == TILE.name)
    numbers = {
        (processing, key): job_id
        for part in chunks(sorted(groups))
        for key, job_id, processing in session.execute(
            of_tiles.where(job.key.in_(part), job.processing.in_((LIVE, name, before)))
        )
    }
    for source, target in ((LIVE, before), (name, LIVE)):
        for group in groups:
            values = {"processing": target, "job_id": numbers[target, group]}
            of_product = (file.kind == kind, file.job_id == numbers[source, group])
            session.execute(update(file).where(*of_product).values(**values))


def _job_id(model: Any, processing: str) -> Any:
    """The id of the tile's job in a processing, for the row that is updated."""
    job = aliased(tables.Job)
    same = (job.kind == TILE.name, job.processing == processing, job.key == model.group_id)
    return select(job.id).where(*same).correlate(model).scalar_subquery()


def _end_epochs(session: Session, name: str, now: float) -> None:
    """Discard the epochs of a campaign that are not made: their tile images are no longer the campaign's."""
    job = tables.Job
    waiting = select(job).where(of_campaign(name), job.kind == EPOCH.name, job.state.in_(UNDECIDED))
    for row in session.scalars(waiting):
        end_lease(row, State.DISCARDED, now)
        row.error = "the campaign was promoted"


def _paths(session: Session, name: str, *, own: bool) -> set[Path]:
    """The paths in the rows of a processing, or of all others."""
    image, ms, table, mosaic = tables.Image, tables.MeasurementSet, tables.CalibrationTable, tables.MosaicRow
    columns = (
        (image, image.fits_path), (ms, ms.path), (table, table.path), (mosaic, mosaic.record["fits_path"].as_string()),
    )  # fmt: skip
    paths = set()
    for model, column in columns:
        processing: Any = model.processing
        for path in map(Path, session.scalars(select(column).where(processing == name if own else processing != name))):
            paths.add(path.parent if own and model is table else path)
    return paths


def _delete_rows(session: Session, name: str) -> None:
    """Delete the rows of a processing from every table that has them, those that refer to others first."""
    epoch, mosaic, candidate, job = tables.MeasuredEpoch, tables.MosaicRow, tables.Candidate, tables.Job
    details: tuple[tuple[Any, Any, Any], ...] = (
        (tables.Measurement, tables.Measurement.epoch_id, epoch),
        (tables.MosaicInput, tables.MosaicInput.mosaic_id, mosaic),
        (tables.CandidateNote, tables.CandidateNote.candidate_id, candidate),
    )
    for model, column, owner in details:
        session.execute(delete(model).where(column.in_(select(owner.id).where(owner.processing == name))))
    jobs = select(job.id).where(of_campaign(name))
    for table in reversed(tables.Base.metadata.sorted_tables):
        if table.name == job.__tablename__:
            continue
        conditions = [table.c.processing == name] if "processing" in table.c else []
        conditions += [table.c.job_id.in_(jobs)] if "job_id" in table.c else []
        if conditions:
            session.execute(delete(table).where(or_(*conditions)))
    session.execute(delete(job).where(of_campaign(name)))
