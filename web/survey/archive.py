"""The archive: its page, and `/api/archive`."""

from typing import Annotated

from flask import Blueprint, render_template
from pydantic import Field

from contimg.formats.records import about
from contimg.survey.archive.options import ArchiveOptions, read_places
from contimg.survey.archive.overview import ArchiveReport, describe_archive
from web.context import current_panel
from web.http.api import Api
from web.http.parameters import Parameters
from web.pages.layout import parse_query

archive = Blueprint("archive", __name__, url_prefix="/archive")
archive_api = Api("archive_api", "/api/archive")
NIGHTS, MAX_NIGHTS = 14, 366


class ArchiveView(Parameters):
    """How many nights are shown."""

    nights: Annotated[int, about("Number of nights, the latest ones", "nights", NIGHTS)] = Field(
        NIGHTS, ge=1, le=MAX_NIGHTS
    )


@archive_api.read("", ArchiveReport)
def read(query: ArchiveView) -> ArchiveReport:
    """The places of the archive, the copies of the last nights, and what is corrupt or missing.

    `contimg archive` copies, verifies and restores.
    """
    return read_report(query.nights)


@archive.get("")
def show() -> str:
    """Show the archive."""
    query = parse_query(ArchiveView)
    return render_template("survey/archive.html", report=read_report(query.nights), query=query)


def read_report(nights: int) -> ArchiveReport:
    """Return the state of the archive.

    Parameters
    ----------
    nights : number of nights.

    Raises
    ------
    Misconfigured : the places are not described correctly.
    """
    panel = current_panel()
    rules = read_places(ArchiveOptions.from_environment(), panel.settings.base_dir)
    return describe_archive(panel.store, rules, nights)
