"""Campaigns of the store: created with their jobs, paused, resumed, cancelled, and how far they are."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from sqlalchemy import ColumnElement, Select, exists, func, insert, literal, select, update
from sqlalchemy.orm import Session

from contimg.common.errors import BadInput
from contimg.common.units import number_of
from contimg.formats.records import NO_UNIT, about
from contimg.settings.alerts import INFO
from contimg.store import tables
from contimg.store.activity.events import record_event
from contimg.store.database import Repository
from contimg.store.epochs.tiles import UNDECIDED
from contimg.store.files.groups import FileState
from contimg.store.jobs.background import CANCELLED, COMPLETED, DROPPING, PAUSED, PROMOTED, RUNNING
from contimg.store.jobs.kinds import CAMPAIGN_PRIORITY, EPOCH, LIVE, TILE, Stage, State
from contimg.store.tables import record_of

BEFORE = "before-"  # prefix of the processing that holds what a promotion replaced
MAX_NAME = 64
STATES = (RUNNING, PAUSED, CANCELLED, COMPLETED, PROMOTED, DROPPING)
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")

CampaignName = Annotated[str, about("Name of the campaign, the `processing` of its products", example="deep-2026")]


@dataclass(frozen=True)
class NewCampaign:
    """A campaign to create.

    Attributes
    ----------
    name : of the campaign.
    stage : the first stage that its jobs run.
    from_s, to_s : limits of the beginnings of its tiles, epoch seconds; the second is excluded.
    preset_name : of the preset.
    preset : options that differ from those of the stream, by environment variable.
    """

    name: str
    stage: Stage
    from_s: float
    to_s: float
    preset_name: str
    preset: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class CampaignRecord:
    """A campaign and how far it is. Times are epoch seconds."""

    name: CampaignName
    state: Annotated[
        str,
        about("running, paused, cancelled, completed, promoted, or dropping while it is deleted", example="running"),
    ]
    stage: Annotated[Stage, about("First stage that its jobs run", example="image")]
    preset_name: Annotated[str, about("Name of its preset", example="deep")]
    preset: Annotated[
        Mapping[str, str],
        about("Options that differ from those of the stream, by variable", example={"CONTIMG_IMAGE_SIZE": "3600"}),
    ]
    from_at: Annotated[float, about("Tiles that begin at or after this time")]
    to_at: Annotated[float, about("Tiles that begin before this time")]
    created_at: Annotated[float, about("When it was created")]
    created_by: Annotated[str, about("Who created it", example="vera")]
    changed_at: Annotated[float, about("When its state was last changed")]
    changed_by: Annotated[str, about("Who changed its state", example="vera")]
    tiles: Annotated[int, about("Tiles of the campaign", "tiles", 1000)]
    tile_states: Annotated[
        Mapping[State, int], about("Its tiles by the state of their jobs", "tiles", {"pending": 400, "completed": 600})
    ]
    epoch_states: Annotated[
        Mapping[State, int], about("Its epochs by the state of their jobs", "epochs", {"completed": 90})
    ]
    worker_s: Annotated[float, about("Time that workers have spent on it", "s", 5400.0)]
    remaining_s: Annotated[
        float | None, about("Time of workers that its tiles still need; null before the first is done", "s", 3600.0)
    ]

    @property
    def done(self) -> Annotated[int, about("Tiles that are completed, failed or discarded", "tiles", 600)]:
        """Number of tiles that are completed, failed or discarded."""
        return self.tiles - sum(self.tile_states.get(state, 0) for state in UNDECIDED)

    @property
    def is_busy(self) -> bool:
        """Whether a job of it runs, or may still run."""
        in_progress = sum(states.get(State.IN_PROGRESS, 0) for states in (self.tile_states, self.epoch_states))
        return self.state in (RUNNING, PAUSED) or in_progress > 0


@dataclass(frozen=True, kw_only=True)
class CampaignList:
    """All campaigns, the newest first."""

    campaigns: Annotated[tuple[CampaignRecord, ...], about("Campaigns, the newest first")]
    total: Annotated[int, about("Number of campaigns", NO_UNIT, 3)]


def check_campaign_name(name: str) -> str:
    """Check the name of a campaign, which is also that of its directory.

    Parameters
    ----------
    name : the name.

    Raises
    ------
    BadInput : it cannot be used.
    """
    longest = MAX_NAME - len(BEFORE)
    if name == LIVE or name.startswith(BEFORE) or len(name) > longest or not _NAME.fullmatch(name):
        raise BadInput(
            f"campaign {name[:longest]!r}: not a name of a campaign; use at most {longest} of a-z, 0-9, _ . and -, "
            f"a letter or digit first, not {LIVE!r} and not beginning with {BEFORE!r}"
        )
    return name


class Campaigns(Repository):
    """The campaigns of the store."""

    def create(self, new: NewCampaign, by: str) -> CampaignRecord:
        """Create a campaign with a job for each of its tiles, in one transaction.

        Parameters
        ----------
        new : the campaign.
        by : who creates it.

        Raises
        ------
        BadInput : the name cannot be used or is in use, the stage is not one of a tile, or there is no tile.
        """
        check_campaign_name(new.name)
        query, now = select_tiles(new.stage, new.from_s, new.to_s), self._database.clock()
        with self._database.write() as session:
            campaign, job = tables.Campaign, tables.Job
            in_use = select(campaign.id).where(campaign.name == new.name)
            if session.scalar(in_use) or session.scalar(select(job.id).where(of_campaign(new.name)).limit(1)):
                raise BadInput(f"campaign {new.name}: exists; give another name, or drop that one")
            row = campaign(
                name=new.name, stage=str(new.stage), preset_name=new.preset_name, preset=dict(new.preset),
                from_s=new.from_s, to_s=new.to_s, state=RUNNING, created_at=now, created_by=by, changed_at=now,
                changed_by=by,
            )  # fmt: skip
            session.add(row)
            session.flush()
            insert_jobs(session, query, new.name, State.PENDING, new.stage, now)
            record = read_campaign(session, row)
            if not record.tiles:
                raise BadInput(
                    f"campaign {new.name}: no tile in this span has what the stage {new.stage} reads; "
                    "`contimg groups list` shows the groups"
                )
            text = f"created by {by}: {number_of(record.tiles, 'tile')}, from {new.stage}, preset {new.preset_name}"
            record_event(session, now, INFO, None, text, author=by, processing=new.name)
            return record

    def campaign(self, name: str) -> CampaignRecord:
        """Return a campaign.

        Parameters
        ----------
        name : of the campaign.

        Raises
        ------
        BadInput : there is none of this name.
        """
        with self._database.read() as session:
            return read_campaign(session, require_campaign(session, name))

    def campaigns(self) -> CampaignList:
        """Return all campaigns, the newest first."""
        row = tables.Campaign
        with self._database.read() as session:
            rows = session.scalars(select(row).order_by(row.id.desc())).all()
            return CampaignList(campaigns=tuple(read_campaign(session, campaign) for campaign in rows), total=len(rows))

    def preset(self, processing: str) -> Mapping[str, str]:
        """Return the options of a processing that differ from those of the stream; none for the stream.

        Parameters
        ----------
        processing : `live`, or the name of a campaign.
        """
        if processing == LIVE:
            return {}
        with self._database.read() as session:
            return session.scalar(select(tables.Campaign.preset).where(tables.Campaign.name == processing)) or {}

    def pause(self, name: str, by: str) -> CampaignRecord:
        """Let no further stage of a campaign begin until `resume`; stages in progress end as usual.

        Parameters
        ----------
        name, by : the campaign, and who pauses it.

        Raises
        ------
        BadInput : it does not run.
        """
        return self._change(name, (RUNNING,), PAUSED, by)

    def resume(self, name: str, by: str, *, failed: bool = False) -> CampaignRecord:
        """Let the stages of a campaign begin again.

        Parameters
        ----------
        name, by : the campaign, and who resumes it.
        failed : requeue its failed jobs as well, at the stage that failed; it may be completed.

        Raises
        ------
        BadInput : it is not paused, or has no failed job to requeue.
        """
        if not failed:
            return self._change(name, (PAUSED,), RUNNING, by)
        job = tables.Job
        changes = {"state": State.PENDING, "attempts": 0, "not_before": None, "enqueued_at": None, "error": None}
        return self._change(
            name, (RUNNING, PAUSED, COMPLETED), RUNNING, by, jobs=job.state == State.FAILED, changes=changes
        )

    def cancel(self, name: str, by: str) -> CampaignRecord:
        """End a campaign: no further stage begins, and jobs that wait are discarded; products stay.

        Parameters
        ----------
        name, by : the campaign, and who cancels it.

        Raises
        ------
        BadInput : it neither runs nor is paused.
        """
        waiting = tables.Job.state.in_((State.PENDING, State.COLLECTING))
        changes = {"state": State.DISCARDED, "error": f"the campaign was cancelled by {by}", "enqueued_at": None}
        return self._change(name, (RUNNING, PAUSED), CANCELLED, by, jobs=waiting, changes=changes)

    def _change(
        self, name: str, before: tuple[str, ...], state: str, by: str, *, jobs: ColumnElement[bool] | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> CampaignRecord:  # fmt: skip
        """Set the state of a campaign, and change those of its jobs that meet a condition."""
        now = self._database.clock()
        with self._database.write() as session:
            row = require_campaign(session, name, lock=True)
            present = read_campaign(session, row).state
            if present not in before:
                raise BadInput(f"campaign {name}: is {present}; only one that is {' or '.join(before)} can be {state}")
            if jobs is not None:
                values = {**(changes or {}), "updated_at": now}
                changed: Any = session.execute(update(tables.Job).where(of_campaign(name), jobs).values(**values))
                if state == RUNNING and not changed.rowcount:
                    raise BadInput(f"campaign {name}: has no failed job")
            row.state, row.changed_at, row.changed_by = state, now, by
            record_event(session, now, INFO, None, f"{state} by {by}", author=by, processing=name)
            session.flush()
            return read_campaign(session, row)


def insert_jobs(session: Session, tiles: Select[Any], processing: str, state: State, stage: Stage, now: float) -> None:
    """Insert a job of a processing for each of some live jobs of tiles.

    Parameters
    ----------
    session : of the caller's transaction.
    tiles : selects the live jobs.
    processing : of the new jobs.
    state, stage : of the new jobs; completed ones were completed now.
    now : epoch seconds.
    """
    job = tables.Job
    values: dict[str, Any] = {
        "kind": literal(TILE.name), "key": job.key, "processing": literal(processing),
        "priority": literal(CAMPAIGN_PRIORITY), "reference_s": job.reference_s, "state": literal(str(state)),
        "stage": literal(str(stage)), "attempts": literal(0), "fence": literal(0), "created_at": literal(now),
        "updated_at": literal(now), **({"completed_at": literal(now)} if state == State.COMPLETED else {}),
    }  # fmt: skip
    session.execute(insert(job).from_select(list(values), tiles.with_only_columns(*values.values())))


def of_campaign(name: str) -> ColumnElement[bool]:
    """The condition of the jobs of a campaign, as the index of campaigns has it.

    Parameters
    ----------
    name : of the campaign.
    """
    return (tables.Job.processing == name) & (tables.Job.processing != LIVE)


def require_campaign(session: Session, name: str, *, lock: bool = False) -> tables.Campaign:
    """Return the row of a campaign.

    Parameters
    ----------
    session : of the caller's transaction.
    name : of the campaign.
    lock : let no other transaction change the row until this one ends.

    Raises
    ------
    BadInput : there is none of this name.
    """
    query = select(tables.Campaign).where(tables.Campaign.name == name[:MAX_NAME])
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise BadInput(f"campaign {name[:MAX_NAME]}: not in the store; `contimg campaigns list` shows those that are")
    return row


def read_campaign(session: Session, row: tables.Campaign) -> CampaignRecord:
    """Return the record of a campaign with the counts of its jobs.

    Parameters
    ----------
    session : of the caller's transaction.
    row : of the campaign.
    """
    job, run = tables.Job, tables.StageRun
    counts: dict[str, dict[State, int]] = {TILE.name: {}, EPOCH.name: {}}
    query = select(job.kind, job.state, func.count()).where(of_campaign(row.name)).group_by(job.kind, job.state)
    for kind, state, number in session.execute(query):
        counts[kind][State(state)] = number
    runs = run.job_id.in_(select(job.id).where(of_campaign(row.name)))
    worker_s = session.scalar(select(func.sum(run.seconds)).where(runs)) or 0.0
    waits = any(counts[kind].get(state) for kind in counts for state in UNDECIDED)
    states = counts[TILE.name]
    done = states.get(State.COMPLETED, 0) + states.get(State.FAILED, 0)
    undecided = sum(states.get(state, 0) for state in UNDECIDED)
    return record_of(
        CampaignRecord, row, state=COMPLETED if row.state == RUNNING and not waits else row.state, from_at=row.from_s,
        to_at=row.to_s, tiles=sum(states.values()), tile_states=states, epoch_states=counts[EPOCH.name],
        worker_s=worker_s, remaining_s=worker_s / done * undecided if done else (None if undecided else 0.0),
    )  # fmt: skip


def select_tiles(stage: Stage, from_s: float, to_s: float) -> Select[Any]:
    """Select the live jobs of the tiles of a span that have what a stage reads: files, or a Measurement Set.

    Parameters
    ----------
    stage, from_s, to_s : as of `NewCampaign`.

    Raises
    ------
    BadInput : the stage is not one of a tile.
    """
    if stage not in TILE.stages:
        raise BadInput(f"{stage}: not a stage of a tile; give one of {', '.join(TILE.stages)}")
    job, ms, file = tables.Job, tables.MeasurementSet, tables.SubbandFileRow
    if stage is Stage.CONVERT:
        has_input = exists().where(file.group_id == job.key, file.state != FileState.QUARANTINED)
    else:
        has_input = exists().where(ms.group_id == job.key, ms.processing == LIVE)
    live = (job.kind == TILE.name, job.processing == LIVE, job.state != State.COLLECTING)
    return select(job).where(*live, job.reference_s >= from_s, job.reference_s < to_s, has_input)
