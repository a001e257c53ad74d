"""An order to the service from a terminal: carried out as the panel does it, and written down in the event log."""

from contimg.errors import ContimgError
from contimg.settings import Settings, load
from contimg.store import Store
from workers.service.manager import StreamingServiceManager


def carry_out(name: str, by: str) -> str:
    """Start, stop or restart the stream of the state directory in force; what came of it, in words.

    ContimgError, with the reason, when it was not done.
    """
    settings = Settings.from_environment()
    store = Store.of(load(settings))
    try:
        manager = StreamingServiceManager(settings)
        outcome = {"start": manager.start, "stop": manager.stop, "restart": manager.restart}[name]()
        store.events.add(f"{name} by {by}: {outcome.message}", level="info" if outcome.success else "warning")
    finally:
        store.close()
    if not outcome.success:
        raise ContimgError(outcome.message)
    return outcome.message
