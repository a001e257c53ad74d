"""What `contimg run` shows: events as they happen, and on a terminal the state of the queue below them."""

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
_SHOWN = (State.COLLECTING, State.PENDING, State.IN_PROGRESS, State.COMPLETED, State.FAILED)


class Display:
    """Prints each event once; on a terminal it keeps a live summary at the bottom."""

    def __init__(self, store: Store, console: Console | None = None) -> None:
        self._store = store
        self._console = console or Console(highlight=False)
        newest = store.events.last(1)
        self._last = newest[0].id if newest else 0
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        if self._console.is_terminal:
            self._live.start()

    def refresh(self) -> None:
        """Print what is new and bring the summary up to date; a store that is away for a while is said."""
        try:
            for event in self._store.events.after(self._last):
                self._console.print(event_line(event), soft_wrap=True)
                self._last = event.id
            if self._live.is_started:
                self._live.update(summary(self._store.overview.snapshot()), refresh=True)
        except SQLAlchemyError as error:
            log.error("store: %s", str(error).splitlines()[0])

    def close(self) -> None:
        """Print the last events and take the summary away."""
        self.refresh()
        self._live.stop()


def event_line(event: EventRecord) -> Text:
    """`23:20:01  2026-02-22T23:17:51  convert done in 2.1 s`, in the colour of its level."""
    moment = format_utc(event.at, "%H:%M:%SZ")
    return Text(f"{moment}  {event.group or '':<19}  {event.text}", style=_STYLES.get(event.level, ""))


def summary(status: Status) -> RenderableType:
    """Counts by state and the stages under way."""
    counts = Table.grid(padding=(0, 3))
    counts.add_row(*(Text(f"{state.replace('_', ' ')} {status.states[state]}") for state in _SHOWN))
    running = Table.grid(padding=(0, 3))
    for one in status.running:
        running.add_row(one.group, one.stage, f"{status.at - one.started_at:.0f} s")
    waiting = ", ".join(f"{status.waiting[stage]} for {stage}" for stage in Stage if status.waiting[stage])
    parts: list[RenderableType] = [Text(""), counts, running]
    if waiting:
        parts.append(Text(f"waiting: {waiting}"))
    if status.paused:
        parts.append(Text("paused; `contimg resume` goes on", style="yellow"))
    return Group(*parts)
