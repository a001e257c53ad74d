"""What a command does, whoever gives it: the API and the page's buttons."""

from collections.abc import Callable

from web.access.auth import operator_name
from web.context import current_panel
from web.http.models import CommandAnswer


def run_command(name: str) -> CommandAnswer:
    """Start, stop, restart, pause or resume the stream; what was done, in the event log too."""
    panel = current_panel()
    done: dict[str, Callable[[], CommandAnswer]] = {"pause": _pause, "resume": _resume}
    try:
        return done[name]() if name in done else _tell_service(name)
    finally:
        panel.forget_overview()


def _pause() -> CommandAnswer:
    current_panel().store.queue.pause(operator_name())
    return CommandAnswer(success=True, message="paused: stages under way end as usual, none begins")


def _resume() -> CommandAnswer:
    current_panel().store.queue.resume(operator_name())
    return CommandAnswer(success=True, message="resumed")


def _tell_service(name: str) -> CommandAnswer:
    service = current_panel().service
    outcome = {"start": service.start, "stop": service.stop, "restart": service.restart}[name]()
    current_panel().store.events.add(
        f"{name} by {operator_name()}: {outcome.message}", level="info" if outcome.success else "warning"
    )
    return CommandAnswer.model_validate(outcome)
