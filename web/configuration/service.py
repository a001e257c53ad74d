"""Changing the configuration in force, for the API and the pages."""

from collections.abc import Callable, Mapping
from typing import Any

from contimg.common.errors import Misconfigured
from contimg.common.options import mask_value
from contimg.settings.changes import Change, describe
from web.context import current_panel
from web.http.errors import RequestError
from workers.service.records import CommandOutcome


def accepted_keys(values: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the keys of a request that are to be saved, and a remark on one that is not used.

    The registry of caltables is a part of the store: a `registry_db` that differs from `queue_db` is not saved. A
    database or scratch directory that is null stays as it is, and so does a database as it was read from the API, with
    its password masked.

    Parameters
    ----------
    values : keys and values as the client sent them.
    """
    config = current_panel().config()
    present = {key: mask_value(getattr(config, key)) for key in ("queue_db", "registry_db")}
    optional = {*present, "scratch_dir"}
    keys = {
        key: value
        for key, value in values.items()
        if not (value is None and key in optional) and (key not in present or value != present[key])
    }
    registry, queue = keys.pop("registry_db", ""), keys.get("queue_db", config.queue_db)
    if "queue_db" in keys:
        keys["registry_db"] = ""  # it follows the store
    if registry in ("", queue):
        return keys, ""
    return keys, f"registry_db is not used: the registry is in the store, queue_db={mask_value(queue)}; "


def save_change(make: Callable[[], Change]) -> None:
    """Make a change and record it in the event log.

    Parameters
    ----------
    make : saves the change and returns it; raises Misconfigured, with nothing saved, when it is not valid.

    Raises
    ------
    RequestError, 400, when the change is not valid.
    """
    panel = current_panel()
    try:
        change = make()
    except Misconfigured as error:
        raise RequestError(
            400, str(error), "nothing was changed; GET /api/streaming/config shows what is in force",
            code="invalid_configuration",
        ) from None  # fmt: skip
    verb = "put back" if change.undoes else "changed"
    panel.store.events.add(f"configuration {verb} by {change.by}: {describe(change)}", author=change.by)
    panel.forget_overview()


def apply_change(make: Callable[[], Change]) -> CommandOutcome:
    """Make a change, record it, and restart the service if it runs.

    Parameters
    ----------
    make : as of `save_change`.
    """
    save_change(make)
    panel = current_panel()
    if not panel.service.status().running:
        return CommandOutcome(True, "saved; it takes effect at the next start")
    outcome = panel.service.execute("restart")
    panel.forget_overview()
    return CommandOutcome(outcome.success, f"saved; {outcome.message}", outcome.pid)
