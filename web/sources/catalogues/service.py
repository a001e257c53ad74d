"""The installed reference catalogues and what they cover, for the API and the pages."""

from dataclasses import dataclass, fields
from typing import Annotated

from contimg.common.errors import ContimgError
from contimg.formats.records import about
from contimg.sky.catalogue import Catalogue, installed_catalogues, open_catalogue
from contimg.sky.coverage import measure_strip_coverage
from web.context import current_panel
from workers.housekeeping.catalogue import check_tiles


@dataclass(frozen=True, kw_only=True)
class InstalledCatalogue(Catalogue):
    """An installed catalogue, and the part of today's declination strip that it covers."""

    is_reference: Annotated[bool, about("Whether images are compared with it", example=True)]
    strip_fraction: Annotated[
        float | None,
        about("Part of the newest tile's declination circle that it covers; null without a tile", "fraction", 1.0),
    ]


@dataclass(frozen=True)
class CatalogueList:
    """The installed catalogues, by name."""

    catalogues: Annotated[tuple[InstalledCatalogue, ...], about("Installed catalogues, by name")]
    reference: Annotated[
        str | None,
        about("Name of the catalogue that images are compared with; null: they are not compared", example="nvss"),
    ]
    dec_deg: Annotated[float | None, about("Declination of the newest tile, ICRS; null without one", "deg", 33.16)]
    problem: Annotated[
        str | None,
        about(
            "What is wrong with the reference catalogue, and what to do; null: nothing",
            example="12 of the last 12 tiles, at declination +54.57 deg, are outside catalogue nvss",
        ),
    ]


def list_catalogues() -> CatalogueList:
    """Return the installed catalogues; one that cannot be read, or a named one that is missing, is the problem."""
    panel = current_panel()
    pointing = panel.store.science.pointing()
    dec_deg = None if pointing is None else pointing[1]
    problems: list[str] = []
    opened: list[Catalogue] = []
    for path in installed_catalogues(panel.settings.state_dir):
        try:
            opened.append(open_catalogue(path))
        except ContimgError as error:
            problems.append(str(error))
    reference_path = None
    try:
        reference_path = panel.settings.reference_path
        if reference_path is not None and reference_path not in [catalogue.path for catalogue in opened]:
            opened.append(open_catalogue(reference_path))
        coverage = check_tiles(panel.store, reference_path)
        if coverage is not None and coverage.problem is not None:
            problems.append(coverage.problem.removeprefix("catalogue: "))
    except ContimgError as error:
        problems.append(str(error))
    return CatalogueList(
        tuple(_describe(catalogue, catalogue.path == reference_path, dec_deg) for catalogue in opened),
        next((catalogue.name for catalogue in opened if catalogue.path == reference_path), None),
        dec_deg, "; ".join(dict.fromkeys(problems)) or None,
    )  # fmt: skip


def _describe(catalogue: Catalogue, is_reference: bool, dec_deg: float | None) -> InstalledCatalogue:
    fraction = None if dec_deg is None else measure_strip_coverage(catalogue, dec_deg)
    values = {field.name: getattr(catalogue, field.name) for field in fields(Catalogue)}
    return InstalledCatalogue(**values, is_reference=is_reference, strip_fraction=fraction)
