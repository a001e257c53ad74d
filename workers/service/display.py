"""Output of `contimg run`: events as they happen and, on a terminal, a summary of the queue below them."""

import os
import sys
from contextlib import suppress

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from contimg.common.units import format_utc
from contimg.store import EventRecord, Stage, State, Status, Store
from workers.logs import RepeatedSteps

_STYLES = {"warning": "yellow", "error": "bold red"}
_STATES = (State.COLLECTING, State.PENDING, State.IN_PROGRESS, State.COMPLETED, State.FAILED)


class _ServiceConsole(Console):
    def on_broken_pipe(self) -> None:
        """Print nothing more; rich would end the process."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Display:
    """Prints each event once and, on a terminal, keeps a summary of the queue at the bottom.

    Parameters
    ----------
    store : store that is shown.
    console : console to print on, by default standard output.
    """

    def __init__(self, store: Store, console: Console | None = None) -> None:
        self._store = store
        self._console = console or _ServiceConsole(highlight=False)
        self._steps = RepeatedSteps()
        newest = store.events.last(1)
        self._last_id = newest[0].id if newest else 0
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        if self._console.is_terminal:
            self._live.start()

    def refresh(self) -> None:
        """Print new events and update the summary; log an error when the store does not answer."""
        self._steps.run("display", self._refresh)

    def _refresh(self) -> None:
        for event in self._store.events.after(self._last_id):
            self._last_id = event.id
            self._console.print(_event_line(event), soft_wrap=True)
        if self._live.is_started:
            self._live.update(_summary(self._store.overview.snapshot()), refresh=True)

    def close(self) -> None:
        """Print the last events, remove the summary, and print that the service stops."""
        self.refresh()
        with suppress(OSError):
            self._live.stop()
        self.print("stopping after the stages under way; Ctrl-C again stops immediately")

    def print(self, text: str) -> None:
        """Print a line, if that is possible: a full disk or a closed pipe does not end the service.

        Parameters
        ----------
        text : the line.
        """
        with suppress(OSError):
            self._console.print(text, soft_wrap=True)


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
