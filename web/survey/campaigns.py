"""`/api/campaigns`, and the pages of campaigns: a list, and one with its progress and its comparison tile by tile."""

from collections.abc import Callable
from typing import Annotated

from flask import Blueprint, flash, redirect, render_template, url_for
from pydantic import BaseModel, Field
from werkzeug.wrappers import Response as Redirection

from contimg.common.errors import BadInput
from contimg.formats.records import about
from contimg.store import CampaignComparison, CampaignList, CampaignRecord
from contimg.survey.campaigns import campaign_directory, drop_campaign
from contimg.survey.campaigns.presets import PresetList, list_presets
from web.access.user import current_user
from web.context import current_panel
from web.http.api import NOT_FOUND, Api
from web.http.errors import RequestError
from web.http.parameters import Listing
from web.pages.layout import confirm, needs_confirmation, parse_query

campaigns = Api("campaigns", "/api/campaigns")
campaign_pages = Blueprint("campaign_pages", __name__, url_prefix="/campaigns")


class CampaignPath(BaseModel):
    """A campaign in a path."""

    name: Annotated[str, about("Name of the campaign", example="deep-2026")] = Field(min_length=1, max_length=64)


class ComparisonListing(Listing):
    """Parameters of a page of compared tiles."""

    limit: Annotated[int, about("Maximum number of tiles", "tiles", 200)] = Field(200, ge=1, le=2000)
    cursor: Annotated[
        str, about("Where the page begins: `next` of the page before; without it at the first tile",
                   example="2026-02-22T03:04:05")
    ] = Field("", max_length=40)  # fmt: skip


def find_campaign(name: str) -> CampaignRecord:
    """Return a campaign; RequestError, 404, when there is none.

    Parameters
    ----------
    name : of the campaign.
    """
    try:
        return current_panel().store.campaigns.campaign(name)
    except BadInput as error:
        raise RequestError(404, str(error), "GET /api/campaigns lists the campaigns", code="no_such_campaign") from None


def _change(name: str, action: str) -> CampaignRecord:
    """Pause, resume, cancel, promote or drop a campaign, and return it as it is then, or was before it was dropped."""
    record, panel, by = find_campaign(name), current_panel(), current_user().name or current_user().label
    store = panel.store
    changes: dict[str, Callable[[], CampaignRecord]] = {
        "pause": lambda: store.campaigns.pause(name, by),
        "resume": lambda: store.campaigns.resume(name, by),
        "requeue": lambda: store.campaigns.resume(name, by, failed=True),
        "cancel": lambda: store.campaigns.cancel(name, by),
        "promote": lambda: store.promotion.promote(name, by),
    }
    if action == "drop":
        drop_campaign(store, panel.config(), name, by)
    elif action in changes:
        record = changes[action]()
    else:
        raise RequestError(404, f"{action[:16]}: nothing that can be done with a campaign", ", ".join(changes))
    panel.forget_overview()
    return record


@campaigns.read("", CampaignList)
def read_campaigns() -> CampaignList:
    """Campaigns, the newest first.

    A campaign is a named reprocessing of a span of time; its products are beside those of the stream.
    """
    return current_panel().store.campaigns.campaigns()


@campaigns.read("/presets", PresetList)
def read_presets() -> PresetList:
    """The presets of campaigns: those of the package and those of the state directory.

    A preset holds the options that differ from the settings of the stream.
    """
    return list_presets(current_panel().settings.state_dir)


@campaigns.read("/<name>", CampaignRecord, NOT_FOUND)
def read_campaign(path: CampaignPath) -> CampaignRecord:
    """One campaign: its preset, and its tiles and epochs by state.

    A running campaign whose jobs are all done is completed.
    """
    return find_campaign(path.name)


@campaigns.read("/<name>/comparison", CampaignComparison, NOT_FOUND)
def read_comparison(path: CampaignPath, query: ComparisonListing) -> CampaignComparison:
    """A campaign compared with the stream: noise, flux ratio and grade, tile by tile.

    A campaign that was promoted is compared with what it replaced.
    """
    find_campaign(path.name)
    return current_panel().store.comparisons.compare(path.name, query.limit, query.cursor)


@campaigns.command("/<name>/pause", CampaignRecord, NOT_FOUND)
def pause(path: CampaignPath) -> CampaignRecord:
    """Let no further stage of a campaign begin.

    Stages in progress end as usual.
    """
    return _change(path.name, "pause")


@campaigns.command("/<name>/resume", CampaignRecord, NOT_FOUND)
def resume(path: CampaignPath) -> CampaignRecord:
    """Let the stages of a paused campaign begin again.

    They run while the stream has no work.
    """
    return _change(path.name, "resume")


@campaigns.command("/<name>/requeue", CampaignRecord, NOT_FOUND)
def requeue(path: CampaignPath) -> CampaignRecord:
    """Requeue the failed tiles of a campaign.

    Each begins at the stage that failed, with new attempts.
    """
    return _change(path.name, "requeue")


@campaigns.command("/<name>/cancel", CampaignRecord, NOT_FOUND)
def cancel(path: CampaignPath) -> CampaignRecord:
    """End a campaign.

    Tiles that wait are discarded, and products stay.
    """
    return _change(path.name, "cancel")


@campaigns.command("/<name>/promote", CampaignRecord, NOT_FOUND)
def promote(path: CampaignPath) -> CampaignRecord:
    """Make the images of a campaign those of the stream.

    What they replace becomes the campaign `before-<name>`.
    """
    return _change(path.name, "promote")


@campaigns.command("/<name>/drop", CampaignRecord, NOT_FOUND)
def drop(path: CampaignPath) -> CampaignRecord:
    """Delete a campaign with its products, and return it as it was.

    Images of a campaign that was promoted are those of the stream, and stay.
    """
    return _change(path.name, "drop")


QUESTIONS = {
    "cancel": ("Its tiles that wait are discarded. Its products stay.", "Cancel the campaign", "danger"),
    "promote": (
        "Its images become those of the stream, and the mosaics of their epochs are made again. What they replace "
        "becomes the campaign before-{name}, which can be promoted back.", "Promote", "main",
    ),
    "drop": ("Its products are deleted from the disk.", "Delete", "danger"),
}  # fmt: skip
"""Question, button and style of the commands that are confirmed."""


@campaign_pages.get("")
def table() -> str:
    """Show the campaigns."""
    listed = current_panel().store.campaigns.campaigns()
    return render_template("survey/campaigns.html", listed=listed)


@campaign_pages.get("/<name>")
def show(name: str) -> str:
    """Show a campaign: its progress, its commands, and its tiles compared with those of the stream."""
    record, query = find_campaign(name), parse_query(ComparisonListing)
    comparison = current_panel().store.comparisons.compare(name, query.limit, query.cursor)
    directory = campaign_directory(current_panel().config().output_dir, name)
    return render_template(
        "survey/campaign.html", campaign=record, comparison=comparison, query=query, directory=directory
    )


@campaign_pages.post("/<name>/<action>")
def command(name: str, action: str) -> Redirection | str:
    """Pause, resume, cancel, promote or drop a campaign."""
    if action in QUESTIONS and needs_confirmation():
        question, button, tone = QUESTIONS[action]
        title = f"{action.capitalize()} the campaign {find_campaign(name).name}?"
        return confirm(title, question.format(name=name), button, tone, url_for("campaign_pages.show", name=name))
    record = _change(name, action)
    if action == "drop":
        flash(f"{name}: deleted", "info")
        return redirect(url_for("campaign_pages.table"), 303)
    flash(f"{name}: {record.state}", "info")
    return redirect(url_for("campaign_pages.show", name=name), 303)
