"""The demo's progress: a table of groups with the last events on a terminal, lines of events elsewhere."""

import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from contimg.errors import Transient
from contimg.store import EventRecord, GroupRecord, Stage, State, Store

ENDED = {State.COMPLETED, State.FAILED, State.DISCARDED}
_REFRESH_S = 0.5
_EVENTS_SHOWN = 6
_STYLES = {State.COMPLETED: "green", State.FAILED: "bold red", State.IN_PROGRESS: "cyan"}


def follow(
    store: Store, expected: Sequence[str], console: Console, patience_s: float, check: Callable[[], None]
) -> list[GroupRecord]:
    """Show the groups until all expected ones have ended, and return them.

    Parameters
    ----------
    store : of the demo's service.
    expected : ids of the groups.
    console : to write to.
    patience_s : time without a change after which the demo fails.
    check : called at every refresh; raises when a process of the demo has failed.

    Raises
    ------
    Transient : no group has changed for `patience_s`.
    """
    last_event, changed_s, previous = 0, time.monotonic(), None
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        while True:
            check()
            groups = {group.id: group for group in store.files.groups(limit=len(expected) + 10)}
            for event in store.events.after(last_event):
                last_event = event.id
                if not console.is_terminal:
                    console.print(_line(event), highlight=False, soft_wrap=True)
            if console.is_terminal:
                live.update(_render(store, expected, groups))
            states = [(group.state, group.stage, group.subbands) for group in groups.values()]
            if states != previous:
                previous, changed_s = states, time.monotonic()
            if len(groups) >= len(expected) and all(group.state in ENDED for group in groups.values()):
                return sorted(groups.values(), key=lambda group: group.id)
            if time.monotonic() - changed_s > patience_s:
                raise Transient(f"no group has changed for {patience_s:.0f} s; see the logs in the state directory")
            time.sleep(_REFRESH_S)


def _render(store: Store, expected: Sequence[str], groups: dict[str, GroupRecord]) -> Group:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for heading in ("group", "subbands", *Stage, "state"):
        table.add_column(heading)
    for name in sorted({*expected, *groups}):
        group = groups.get(name)
        if group is None:
            table.add_row(name, "waiting for the telescope", style="dim")
            continue
        seconds = {run.stage: run.seconds for run in store.jobs.runs(name) if run.outcome == "committed"}
        stages = [_stage_cell(group, stage, seconds.get(stage)) for stage in Stage]
        style = _STYLES.get(group.state, "")
        table.add_row(name, f"{len(group.subbands)} of 16", *stages, Text(str(group.state), style=style))
    events = [Text(_line(event), style="dim") for event in store.events.last(_EVENTS_SHOWN)]
    return Group(table, Text(), *events)


def _stage_cell(group: GroupRecord, stage: Stage, seconds: float | None) -> Text:
    if seconds is not None:
        return Text(f"{seconds:.1f} s", style="green")
    if group.stage is stage and group.state in (State.IN_PROGRESS, State.FAILED):
        return Text("running" if group.state is State.IN_PROGRESS else "failed", style=_STYLES[group.state])
    return Text("-", style="dim")


def _line(event: EventRecord) -> str:
    clock = time.strftime("%H:%M:%S", time.gmtime(event.at))
    return f"{clock}  {event.group}  {event.text}" if event.group else f"{clock}  {event.text}"
