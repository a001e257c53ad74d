"""The archive in one record, for the page, the API and the command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from contimg.common.errors import mask_secrets
from contimg.formats.records import NO_UNIT, about
from contimg.store import Store
from contimg.store.survey.archive.overview import FileProblem, NightCopies
from contimg.survey.archive.options import PlaceRule

UNCHECKED = "not checked yet"


@dataclass(frozen=True, kw_only=True)
class PlaceReport:
    """A place with the number of its copies in each state."""

    name: Annotated[str, about("Name of the place", example="vault")]
    url: Annotated[str, about("Where it is", example="file:///mnt/vault/contimg")]
    kinds: Annotated[tuple[str, ...], about("Kinds of products that are copied there", example=["image", "mosaic"])]
    state: Annotated[str, about("available, away or not checked yet", example="available")]
    error: Annotated[str | None, about("Why it is away", example="/mnt/vault: .contimg-archive is missing")]
    changed_at: Annotated[float | None, about("Since when it is available or away; null before the first check")]
    checked_at: Annotated[float | None, about("When it was last checked; null before the first check")]
    last_verified_at: Annotated[float | None, about("When a copy was last verified; null before the first one")]
    copies: Annotated[
        Mapping[str, int], about("Copies by state: pending, copied, verified, missing, corrupt", NO_UNIT,
                                 {"verified": 2304, "pending": 12})
    ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ArchiveReport:
    """The places, the last nights, and what is corrupt or missing."""

    places: Annotated[tuple[PlaceReport, ...], about("The places")]
    nights: Annotated[tuple[NightCopies, ...], about("Files and copies of the last nights, the latest first")]
    problems: Annotated[tuple[FileProblem, ...], about("Files and copies that are corrupt or missing, at most 100")]


def describe_archive(store: Store, rules: Sequence[PlaceRule], nights: int = 14) -> ArchiveReport:
    """Return the state of the archive.

    Parameters
    ----------
    store : with the files and copies.
    rules : the places.
    nights : number of nights.
    """
    states, overview = store.archive.places(), store.archive_overview
    places = []
    for rule in rules:
        checked = states.get(rule.name)
        places.append(
            PlaceReport(
                name=rule.name, url=mask_secrets(rule.url), kinds=rule.kinds,
                state=checked.state if checked else UNCHECKED, error=checked.error if checked else None,
                changed_at=checked.since if checked else None, checked_at=checked.checked_at if checked else None,
                last_verified_at=overview.last_verified_at(rule.name), copies=overview.counts(rule.name),
            )
        )  # fmt: skip
    return ArchiveReport(places=tuple(places), nights=overview.nights(nights), problems=overview.problems())
