"""What needs attention: retry, discard or acknowledge a reason, for the API and the pages."""

from contimg.store import AttentionItem
from web.access.user import current_user
from web.context import current_panel
from web.http.errors import RequestError
from workers.service.records import CommandOutcome

ACTIONS = ("retry", "discard", "acknowledge")


def find_reason(key: str) -> AttentionItem:
    """Return a reason; raises RequestError, 404, when nothing has it now.

    Parameters
    ----------
    key : key of the reason.
    """
    item = next((item for item in current_panel().store.attention.items() if item.key == key), None)
    if item is None:
        raise RequestError(404, f"{key[:40]}: nothing needs attention for this reason", "GET /api/attention lists them")
    return item


def act(key: str, action: str, *, force: bool = False) -> CommandOutcome:
    """Retry or discard the groups or files of a reason, or acknowledge it, under the name of the user.

    Parameters
    ----------
    key : key of the reason.
    action : one of `ACTIONS`.
    force : retry also groups with fewer subbands than the minimum.

    Raises
    ------
    RequestError, 404, when nothing has this reason now; Incomplete, when every group has too few subbands; BadInput,
    when every group refuses the action.
    """
    panel, by = current_panel(), current_user().label
    attention = panel.store.attention
    find_reason(key)
    if action == "retry":
        message = attention.retry(key, by=by, force=force)
    elif action == "discard":
        message = attention.discard(key, by=by)
    else:
        message = f"acknowledged: {attention.acknowledge(key, by).label}"
    panel.forget_overview()
    return CommandOutcome(True, message)
