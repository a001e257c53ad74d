"""Commands to the stream, for the API and the page's buttons."""

from collections.abc import Mapping
from typing import Any

from contimg.settings.changes import change
from web.access.user import current_user
from web.configuration.service import accepted_keys, save_change
from web.context import current_panel
from workers.service import manager
from workers.service.records import Action, CommandOutcome, NoEffect, read_record


def run_command(name: Action, values: Mapping[str, Any] | None = None) -> CommandOutcome:
    """Start, stop, restart, pause or resume the stream, and record it in the event log.

    Parameters
    ----------
    name : start, stop, restart, pause or resume.
    values : keys of the configuration that are saved before the stream is started.

    Returns
    -------
    CommandOutcome
        Whether it succeeded, a message, and the service's pid. To start a stream that runs or starts, or to stop one
        that is stopped, is no success and changes nothing.

    Raises
    ------
    RequestError, 400, when the configuration is not valid; nothing is changed.
    """
    panel, by = current_panel(), current_user().label
    status, record = panel.service.status(), read_record(panel.settings.state_dir)
    stream = record.stream if record else "stopped"
    if name == "start" and (status.running or stream in ("running", "starting")):
        kind = CommandOutcome if values else NoEffect  # the status is 200 only where no configuration is left unused
        return kind(False, "the stream is running already; `restart` applies a configuration", status.pid)
    if name == "stop" and not status.running and stream == "stopped":
        return NoEffect(False, "the stream is not running", status.pid)
    try:
        remark = ""
        if values:
            keys, remark = accepted_keys(values)
            if keys:
                save_change(lambda: change(panel.settings, keys, by))
                remark += "configuration saved; "
        outcome = manager.run_command(panel.service, panel.store, name, by)
        return CommandOutcome(outcome.success, f"{remark}{outcome.message}", outcome.pid)
    finally:
        panel.forget_overview()
