"""What a campaign would cost, by the runs of its stages so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Annotated

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from contimg.formats.records import about
from contimg.store import tables
from contimg.store.database import Repository
from contimg.store.jobs.kinds import LIVE, Stage
from contimg.store.jobs.records import Outcome
from contimg.store.survey.campaigns.campaigns import select_tiles

COSTED_RUNS = 200  # the newest runs of a stage that its cost is the median of


@dataclass(frozen=True)
class StageCost:
    """Cost of one run of a stage: medians of its newest runs; None where not known."""

    stage: Annotated[Stage, about("The stage", example="image")]
    seconds: Annotated[float | None, about("Duration for a tile", "s", 9.7)]
    core_s: Annotated[float | None, about("Time of processor cores for a tile", "core seconds", 14.0)]
    bytes_written: Annotated[float | None, about("Written to disk for a tile", "bytes", 95000000)]


@dataclass(frozen=True, kw_only=True)
class CampaignEstimate:
    """What a campaign would cost, by the runs of its stages so far."""

    tiles: Annotated[int, about("Tiles in the span that have what the stage reads", "tiles", 1000)]
    stages: Annotated[tuple[StageCost, ...], about("Cost of each stage for one tile")]
    based_on: Annotated[
        str, about("Processing whose runs give the cost: a campaign with the same preset, or live", example="live")
    ]
    jobs_at_once: Annotated[int, about("Jobs of campaigns that run at the same time", "jobs", 1)]

    @property
    def core_hours(self) -> Annotated[float | None, about("Time of processor cores", "core hours", 3.9)]:
        """Time of processor cores, hours; None where not known. Where it was not measured, a run counts as one core."""
        per_tile_s = [cost.seconds if cost.core_s is None else cost.core_s for cost in self.stages]
        return _total(per_tile_s, self.tiles / 3600)

    @property
    def disk_bytes(self) -> Annotated[float | None, about("Disk space, at most", "bytes", 95_000_000_000)]:
        """Disk space that it needs at most; None where not known."""
        return _total([cost.bytes_written for cost in self.stages], self.tiles)

    @property
    def duration_s(self) -> Annotated[float | None, about("Expected duration while the stream is idle", "s", 9700.0)]:
        """Expected duration while the stream is idle, s; None where not known."""
        return _total([cost.seconds for cost in self.stages], self.tiles / self.jobs_at_once)


def _total(values: list[float | None], factor: float) -> float | None:
    """The sum of values times a factor; None when one is not known."""
    present = [value for value in values if value is not None]
    return factor * sum(present) if present and len(present) == len(values) else None


class Estimates(Repository):
    """Costs of campaigns."""

    def estimate(
        self, stage: Stage, from_s: float, to_s: float, preset: Mapping[str, str], jobs_at_once: int
    ) -> CampaignEstimate:
        """Estimate what a campaign would cost; nothing is created.

        Parameters
        ----------
        stage, from_s, to_s, preset : as of `NewCampaign`.
        jobs_at_once : jobs of campaigns that run at the same time.

        Raises
        ------
        BadInput : the stage is not one of a tile.
        """
        tiles = select_tiles(stage, from_s, to_s)
        with self._database.read() as session:
            number = session.scalar(select(func.count()).select_from(tiles.subquery())) or 0
            same = [row.name for row in session.scalars(select(tables.Campaign)) if row.preset == dict(preset)]
            for processing in (*reversed(same), LIVE):
                costs = tuple(_read_cost(session, member, processing) for member in stage.remaining)
                if all(cost.seconds is not None for cost in costs):
                    break
        return CampaignEstimate(tiles=number, stages=costs, based_on=processing, jobs_at_once=jobs_at_once)


def _read_cost(session: Session, stage: Stage, processing: str) -> StageCost:
    run = tables.StageRun
    query = (
        select(run.seconds, run.core_s, run.bytes_written)
        .where(run.stage == str(stage), run.outcome == Outcome.COMMITTED, run.processing == processing)
        .order_by(run.id.desc())
        .limit(COSTED_RUNS)
    )
    columns = list(zip(*session.execute(query), strict=True)) or [(), (), ()]
    return StageCost(stage, *(_median(values) for values in columns))


def _median(values: tuple[float | None, ...]) -> float | None:
    present = [value for value in values if value is not None]
    return float(median(present)) if present else None
