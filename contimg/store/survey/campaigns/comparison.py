"""A campaign compared with the stream, tile by tile: noise, flux ratio, grade."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Annotated

from sqlalchemy import select
from sqlalchemy.orm import aliased

from contimg.formats.records import NO_UNIT, Page, about
from contimg.quality.grades import BAD, GOOD, SUSPECT
from contimg.store import tables
from contimg.store.database import Repository
from contimg.store.jobs.background import PROMOTED
from contimg.store.jobs.kinds import LIVE, TILE, State
from contimg.store.survey.campaigns.campaigns import BEFORE, CampaignName, of_campaign, require_campaign

_RANKS = {GOOD: 0, SUSPECT: 1, BAD: 2}


@dataclass(frozen=True, kw_only=True)
class ComparedTile:
    """A tile of a campaign: its image and that which it is compared with; null where there is none."""

    group: Annotated[str, about("Id of its group", example="2026-02-22T03:04:05")]
    observed_at: Annotated[float, about("Beginning of the observation")]
    state: Annotated[State, about("State of its job", example="completed")]
    error: Annotated[str | None, about("Why it failed", example="the Measurement Set is gone")]
    image_id: Annotated[int | None, about("Number of the campaign's image in the store", NO_UNIT, 812)]
    reference_id: Annotated[int | None, about("Number of the image that it is compared with", NO_UNIT, 12)]
    rms_jy: Annotated[float | None, about("Noise of the campaign's image", "Jy/beam", 0.0019)]
    reference_rms_jy: Annotated[float | None, about("Noise of the other image", "Jy/beam", 0.0021)]
    flux_ratio: Annotated[float | None, about("Measured over catalogued flux in the campaign's image", "ratio", 0.99)]
    reference_flux_ratio: Annotated[
        float | None, about("Measured over catalogued flux in the other image", "ratio", 0.97)
    ]
    grade: Annotated[str | None, about("QA grade of the campaign's image", example="good")]
    reference_grade: Annotated[str | None, about("QA grade of the other image", example="suspect")]

    @property
    def noise_ratio(self) -> Annotated[float | None, about("Noise of the campaign over the other", "ratio", 0.9)]:
        """Noise of the campaign's image over that of the other; None where one is missing."""
        return self.rms_jy / self.reference_rms_jy if self.rms_jy is not None and self.reference_rms_jy else None

    @property
    def grade_change(
        self,
    ) -> Annotated[str, about("better, worse, same, or empty where one is missing", example="better")]:
        """Whether the campaign's grade is better or worse; empty where one is missing."""
        if self.grade not in _RANKS or self.reference_grade not in _RANKS:
            return ""
        change = _RANKS[self.grade] - _RANKS[self.reference_grade]
        return "better" if change < 0 else "worse" if change > 0 else "same"


@dataclass(frozen=True, kw_only=True)
class CampaignComparison(Page):
    """A campaign compared with another processing, tile by tile in order of observation."""

    name: CampaignName
    reference: Annotated[str, about("Processing that it is compared with", example="live")]
    compared: Annotated[int, about("Tiles that have an image in both", "tiles", 960)]
    noise_ratio: Annotated[
        float | None, about("Noise of the campaign over the other, the median of the tiles", "ratio", 0.91)
    ]
    flux_ratio: Annotated[float | None, about("Measured over catalogued flux, median of the campaign", "ratio", 0.99)]
    reference_flux_ratio: Annotated[
        float | None, about("Measured over catalogued flux, median of the other", "ratio", 0.97)
    ]
    grades: Annotated[Mapping[str, int], about("Images of the campaign by QA grade", "images", {"good": 900})]
    reference_grades: Annotated[Mapping[str, int], about("Images of the other by QA grade", "images", {"good": 850})]
    grade_changes: Annotated[
        Mapping[str, int], about("Compared tiles by the change of their grade", "tiles", {"better": 60, "same": 900})
    ]
    tiles: Annotated[tuple[ComparedTile, ...], about("The tiles, in order of observation")]


class Comparisons(Repository):
    """Campaigns compared with the stream."""

    def compare(self, name: str, limit: int | None = None, after: str = "") -> CampaignComparison:
        """Compare the images of a campaign with those of the stream.

        A campaign that was promoted is compared with what it replaced.

        Parameters
        ----------
        name : of the campaign.
        limit : largest number of tiles that are listed; None for all. The summary is of all tiles.
        after : group of the last tile of the page before.

        Raises
        ------
        BadInput : there is no such campaign.
        """
        job, image, replaced = tables.Job, aliased(tables.Image), aliased(tables.Image)
        with self._database.read() as session:
            is_promoted = require_campaign(session, name).state == PROMOTED
            processing, reference = (LIVE, f"{BEFORE}{name}") if is_promoted else (name, LIVE)
            query = (
                select(
                    job.key, job.reference_s, job.state, job.error, image.id, replaced.id, image.rms_jy,
                    replaced.rms_jy, image.catalogue_flux_ratio, replaced.catalogue_flux_ratio, image.verdict,
                    replaced.verdict,
                )
                .outerjoin(image, (image.group_id == job.key) & (image.processing == processing))
                .outerjoin(replaced, (replaced.group_id == job.key) & (replaced.processing == reference))
                .where(of_campaign(name), job.kind == TILE.name)
                .order_by(job.key)
            )  # fmt: skip
            tiles = [
                ComparedTile(
                    group=key, observed_at=reference_s, state=State(state), error=error, image_id=own_id,
                    reference_id=other_id, rms_jy=rms, reference_rms_jy=other_rms, flux_ratio=flux,
                    reference_flux_ratio=other_flux, grade=grade, reference_grade=other_grade,
                )
                for key, reference_s, state, error, own_id, other_id, rms, other_rms, flux, other_flux, grade,
                other_grade in session.execute(query)
            ]  # fmt: skip
        both = [tile for tile in tiles if tile.image_id is not None and tile.reference_id is not None]
        listed = [tile for tile in tiles if tile.group > after]
        shown = listed if limit is None else listed[:limit]
        return CampaignComparison(
            name=name, reference=reference, compared=len(both), total=len(tiles), tiles=tuple(shown),
            next=shown[-1].group if len(shown) < len(listed) else None,
            noise_ratio=_median([tile.noise_ratio for tile in both]),
            flux_ratio=_median([tile.flux_ratio for tile in both]),
            reference_flux_ratio=_median([tile.reference_flux_ratio for tile in both]),
            grades=Counter(tile.grade or "none" for tile in tiles if tile.image_id is not None),
            reference_grades=Counter(tile.reference_grade or "none" for tile in tiles if tile.reference_id is not None),
            grade_changes=Counter(tile.grade_change for tile in both if tile.grade_change),
        )  # fmt: skip


def _median(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return median(present) if present else None
