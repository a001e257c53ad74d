"""Commands to the stream, for the API and the page's buttons."""

from web.access.user import operator_name
from web.context import current_panel
from workers.service.records import CommandOutcome


def run_command(name: str) -> CommandOutcome:
    """Start, stop, restart, pause or resume the stream, and record it in the event log.

    Parameters
    ----------
    name : start, stop, restart, pause or resume.

    Returns
    -------
    CommandOutcome
        Whether it succeeded, a message, and the service's pid.
    """
    panel, by = current_panel(), operator_name()
    try:
        if name == "pause":
            panel.store.jobs.pause(by)
            return CommandOutcome(True, "paused: running stages finish, no further stage starts")
        if name == "resume":
            panel.store.jobs.resume(by)
            return CommandOutcome(True, "resumed")
        service = panel.service
        outcome = {"start": service.start, "stop": service.stop, "restart": service.restart}[name]()
        panel.store.events.add(f"{name} by {by}: {outcome.message}", level="info" if outcome.success else "warning")
        return outcome
    finally:
        panel.forget_overview()
