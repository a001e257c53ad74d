"""Commands to the stream, for the API and the page's buttons."""

from web.access.user import current_user
from web.context import current_panel
from workers.service import manager
from workers.service.records import Action, CommandOutcome


def run_command(name: Action) -> CommandOutcome:
    """Start, stop, restart, pause or resume the stream, and record it in the event log.

    Parameters
    ----------
    name : start, stop, restart, pause or resume.

    Returns
    -------
    CommandOutcome
        Whether it succeeded, a message, and the service's pid.
    """
    panel = current_panel()
    try:
        return manager.run_command(panel.service, panel.store, name, current_user().label)
    finally:
        panel.forget_overview()
