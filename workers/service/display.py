"""Output of `contimg run`: events as they happen and, on a terminal, a summary of the queue below them."""

import logging

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from contimg.store import EventRecord, Stage, State, Status, Store
from contimg.units import format_utc

log = logging.getLogger(__name__)
_STYLES = {"warning": "yellow", "error": "bold red"}
_STATES = (State.COLLECTING, State.PENDING, State.IN_PROGRESS, State.COMPLETED, State.FAILED)


class Display:
    """Prints each event once and, on a terminal, keeps a summary of the queue at the bottom.

    Parameters
    ----------
    store : store that is shown.
    console : console to print on, by default standard output.
    """

    def __init__(self, store: Store, console: Console | None = None) -> None:
        self._store = store
        self._console = console or Console(highlight=False)
        newest = store.events.last(1)
        self._last_id = newest[0].id if newest else 0
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        if self._console.is_terminal:
            self._live.start()

    def refresh(self) -> None:
        """Print new events and update the summary; log an error when the store does not answer."""
        try:
            for event in self._store.events.after(self._last_id):
                self._console.print(_event_line(event), soft_wrap=True)
                self._last_id = event.id
            if self._live.is_started:
                self._live.update(_summary(self._store.overview.snapshot()), refresh=True)
        except SQLAlchemyError as error:
            log.error("store: %s", str(error).splitlines()[0])

    def close(self) -> None:
        """Print the last events, remove the summary, and print that the service stops."""
        self.refresh()
        self._live.stop()
        self._console.print("stopping after the stages under way; Ctrl-C again stops immediately")


def _event_line(event: EventRecord) -> Text:
    """Format an event: `23:20:01Z  2026-02-22T23:17:51  convert done in 2.1 s`, in the colour of its level."""
    time = format_utc(event.at, "%H:%M:%SZ")
    return Text(f"{time}  {event.group or '':<19}  {event.text}", style=_STYLES.get(event.level, ""))


def _summary(status: Status) -> RenderableType:
    """Format the number of groups per state and the stages that run and wait."""
    counts, running = Table.grid(padding=(0, 3)), Table.grid(padding=(0, 3))
    counts.add_row(*(Text(f"{state.replace('_', ' ')} {status.states[state]}") for state in _STATES))
    for run in status.running:
        running.add_row(run.group, run.stage, f"{status.at - run.started_at:.0f} s")
    parts: list[RenderableType] = [Text(""), counts, running]
    if waiting := ", ".join(f"{status.waiting[stage]} for {stage}" for stage in Stage if status.waiting[stage]):
        parts.append(Text(f"waiting: {waiting}"))
    if status.paused:
        parts.append(Text("paused; `contimg resume` continues", style="yellow"))
    return Group(*parts)
