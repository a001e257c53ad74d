"""Changing the configuration in force, for the API and the pages."""

from collections.abc import Callable

from contimg.errors import Misconfigured
from contimg.settings.changes import Change, describe
from web.context import current_panel
from web.http.errors import RequestError
from workers.service.records import CommandOutcome


def apply_change(make: Callable[[], Change]) -> CommandOutcome:
    """Make a change, record it in the event log, and restart the service if it runs.

    Parameters
    ----------
    make : saves the change and returns it; raises Misconfigured, with nothing saved, when it is not valid.
    """
    panel = current_panel()
    try:
        change = make()
    except Misconfigured as error:
        raise RequestError(
            400, str(error), "nothing was changed; GET /api/streaming/config shows what is in force"
        ) from None
    verb = "put back" if change.undoes else "changed"
    panel.store.events.add(f"configuration {verb} by {change.by}: {describe(change)}")
    panel.forget_overview()
    if not panel.service.status().running:
        return CommandOutcome(True, "saved; it takes effect at the next start")
    outcome = panel.service.execute("restart")
    panel.forget_overview()
    return CommandOutcome(outcome.success, f"saved; {outcome.message}", outcome.pid)
