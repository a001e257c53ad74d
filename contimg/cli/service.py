"""`contimg start`, `stop`, `restart`, `pause`, `resume`, `status`, `alerts` and `events`."""

import json
import time
from typing import Any, cast

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from contimg.cli.shared import as_json_option, by_option, limit_option, open_store, print_json, print_list, print_record
from contimg.common.errors import ContimgError, Transient
from contimg.common.options import Choice
from contimg.common.units import format_duration, format_utc, parse_moment
from contimg.formats.records import to_plain
from contimg.settings import Settings, load
from contimg.store import AlertRecord, EventRecord, SilenceRecord, Stage, Status, Store, StreamActivity
from contimg.store.activity.remedies import ALERTS
from contimg.store.engine import is_missing
from workers.service import manager
from workers.service.records import Action, ServiceHealth, ServiceStatus, TooEarly

until_option = click.option(
    "--until", required=True, help="End: a time (UTC) or a duration: 2026-02-22T23:17, 30min, 8h."
)
reason_option = click.option("--reason", required=True, help="Why, for other operators.")


def run_command(command: Action, by: str, *, as_json: bool = False, err: bool = False) -> None:
    """Execute a command on the stream of the state directory in force, and print the outcome.

    Parameters
    ----------
    command : `start`, `stop`, `restart`, `pause` or `resume`.
    by : author in the event log.
    as_json : whether to print the outcome as JSON.
    err : whether to print it on standard error.

    Raises
    ------
    ContimgError : the command failed; the message is the reason.
    """
    stream = _service()
    if command == "start" and is_missing(load(Settings.from_environment()).queue_db):
        outcome = stream.execute(command)  # the supervisor creates the store, if its settings are right
        if outcome.success:
            with open_store() as store:
                manager.record_command(store, command, by, outcome)
    else:
        with open_store() as store:
            outcome = manager.run_command(stream, store, command, by)
    if not outcome.success:
        raise (Transient if isinstance(outcome, TooEarly) else ContimgError)(outcome.message)
    if as_json:
        print_json(outcome)
    else:
        click.echo(outcome.message, err=err)


def _service() -> manager.StreamingServiceManager:
    return manager.StreamingServiceManager(Settings.from_environment())


@click.command()
@by_option
@as_json_option
def start(by: str, as_json: bool) -> None:
    """Start the stream in the background; wait until it runs.

    `contimg run` runs it in this terminal.
    """
    run_command("start", by, as_json=as_json)


@click.command()
@by_option
@as_json_option
def stop(by: str, as_json: bool) -> None:
    """Stop the stream after the stages under way.

    New files wait on disk until the next start.
    """
    run_command("stop", by, as_json=as_json)


@click.command()
@by_option
@as_json_option
def restart(by: str, as_json: bool) -> None:
    """Stop the stream and start it with the present configuration.

    Stages under way are finished first.
    """
    run_command("restart", by, as_json=as_json)


@click.command()
@by_option
@as_json_option
def pause(by: str, as_json: bool) -> None:
    """Start no further stage until `contimg resume`.

    It holds for every host of the store; new files are still registered.
    """
    run_command("pause", by, as_json=as_json)


@click.command()
@by_option
@as_json_option
def resume(by: str, as_json: bool) -> None:
    """Start stages again after `contimg pause`.

    They start in the next round of the reconciler.
    """
    run_command("resume", by, as_json=as_json)


@click.command()
@as_json_option
@click.option("--shown", default=5, show_default=True, help="Maximum number of entries of each list.")
def status(as_json: bool, shown: int) -> None:
    """Show service, queue, newest images, failures and alerts.

    Quarantined files are listed with their reasons. The exit status is 4 while a full disk pauses the stream.
    """
    with open_store() as store:
        snapshot, activity, alerts = store.overview.snapshot(shown), store.activity.read(), store.alerts.active()
        disk_pause = store.activity.disk_pause()
        record = _read_status(store, shown) if as_json else {}
    stream = _service()
    service, health = stream.status(), stream.health()
    if as_json:
        pulse = {**to_plain(activity), "catch_up_s": activity.catch_up_s}
        parts = {"health": health, "pulse": pulse, "alerts": alerts, "disk_pause": disk_pause}
        print_json({**record, **parts})
    else:
        console = Console(highlight=False)
        console.print(_service_line(service, health), soft_wrap=True)
        if disk_pause is not None:
            console.print(f"paused by a full disk: {disk_pause.reason}", style="red", soft_wrap=True)
        for alert in alerts:
            duration = format_duration(snapshot.at - alert.began_at)
            console.print(f"alert for {duration}: {alert.text}", style="red", soft_wrap=True)
        _print_queue(console, snapshot, activity)
        _print_lists(console, snapshot)
    if disk_pause is not None:
        raise SystemExit(Transient.exit_code)


def _read_status(store: Store, shown: int) -> dict[str, Any]:
    """Return the status of the stream as the API answers it."""
    from web.context import read_overview
    from web.streaming.api import make_status

    settings = Settings.from_environment()
    overview = read_overview(settings, store, _service(), shown)
    return cast(dict[str, Any], to_plain(make_status(overview, store, load(settings), shown)))


def _service_line(service: ServiceStatus, health: ServiceHealth) -> Text:
    if not service.running:
        return Text("stopped; `contimg run` starts it", style="yellow")
    parts = ["paused" if service.paused else "running"]
    if service.uptime_seconds is not None:
        parts.append(f"for {format_duration(service.uptime_seconds)}")
    if service.memory_mb is not None and service.cpu_percent is not None:
        parts.append(f"(pid {service.pid}, {service.cpu_percent:.0f} % of a core, {service.memory_mb:.0f} MB)")
    if health.error:
        parts.append(f"— not healthy: {health.error}")
    return Text(" ".join(parts), style="red" if health.error else "yellow" if service.paused else "green")


def _print_queue(console: Console, snapshot: Status, activity: StreamActivity) -> None:
    counts = Table(box=None, padding=(0, 3, 0, 0))
    for state in snapshot.states:
        counts.add_column(state.replace("_", " "), justify="right")
    counts.add_row(*(str(number) for number in snapshot.states.values()))
    console.print(counts)
    waiting = ", ".join(f"{snapshot.waiting[stage]} for {stage}" for stage in Stage if snapshot.waiting[stage])
    if waiting:
        console.print(f"waiting: {waiting}; the oldest for {format_duration(snapshot.oldest_pending_s or 0.0)}")
    for run in snapshot.running:
        duration = format_duration(snapshot.at - run.started_at)
        console.print(f"{run.group}  {run.stage}, attempt {run.attempt}, for {duration}")
    rates = snapshot.rates
    if activity.catch_up_s is not None and activity.waiting:
        console.print(
            f"backlog of {activity.waiting} groups, caught up in about {format_duration(activity.catch_up_s)}"
        )
    if rates.latency_s is not None:
        latency = format_duration(rates.latency_s)
        console.print(f"last hour: {rates.groups_per_hour:g} groups, first file to image {latency}")
    if rates.stage_seconds:
        durations = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in rates.stage_seconds.items())
        console.print(f"median duration of a stage: {durations}")


def _print_lists(console: Console, snapshot: Status) -> None:
    for image in snapshot.images:
        console.print(
            f"{image.fits_path}  rms {1e3 * image.rms_jy:.2f} mJy/beam, peak {image.peak_jy:.3f} Jy/beam, "
            f"{image.calibration_set or 'uncalibrated'}",
            soft_wrap=True,
        )
    if snapshot.set_aside_count:
        console.print(f"quarantined: {snapshot.set_aside_count}", style="yellow")
    for file in snapshot.set_aside:
        console.print(f"  {file.path}: {file.reason}", soft_wrap=True)
    if snapshot.failed:
        console.print("failed:", style="red")
    for failed in snapshot.failed:
        console.print(f"  {failed.group}: {failed.error}", soft_wrap=True)
    for event in snapshot.warnings:
        console.print(f"{format_utc(event.at)}  {event.group or ''}  {event.text}", style="dim", soft_wrap=True)


@click.group(invoke_without_command=True)
@limit_option(20)
@click.option("--on", "only_on", is_flag=True, help="List active alerts only.")
@as_json_option
@click.pass_context
def alerts(context: click.Context, limit: int, only_on: bool, as_json: bool) -> None:
    """List, acknowledge and silence alerts.

    `contimg config check` lists the limits of the rules. Without a subcommand the alerts are listed.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_alerts, limit=limit, only_on=only_on, as_json=as_json)


@alerts.command("list")
@limit_option(20)
@click.option("--on", "only_on", is_flag=True, help="List active alerts only.")
@as_json_option
def list_alerts(limit: int, only_on: bool, as_json: bool) -> None:
    """List alerts with their ids, newest first."""
    with open_store() as store:
        records = store.alerts.active()[::-1][:limit] if only_on else store.alerts.last(limit=limit)
    print_list(records, _alert_line, "no alert is active" if only_on else "no alert has been raised", as_json=as_json)


@alerts.command()
@click.argument("alert", type=int)
@click.option("--note", default="", help="What is known or done, for other operators.")
@by_option
@as_json_option
def acknowledge(alert: int, note: str, by: str, as_json: bool) -> None:
    """Record that somebody attends to an active alert.

    ALERT is the number in the list. The alert stays active until its rule is met.
    """
    with open_store() as store:
        record = store.alerts.acknowledge(alert, by, note)
    print_record(record, _alert_line, as_json=as_json)


@alerts.command()
@click.argument("rule", type=Choice(list(ALERTS)))
@until_option
@reason_option
@by_option
@as_json_option
def silence(rule: str, until: str, reason: str, by: str, as_json: bool) -> None:
    """Send no notifications of a rule until a time.

    Its alerts are recorded and shown all the same.
    """
    with open_store() as store:
        ends_at = _moment(until, store.database.clock(), "--until")
        record = store.silences.add(rule, until=ends_at, reason=reason, by=by)
    print_record(record, _silence_line, as_json=as_json)


@alerts.group()
def maintenance() -> None:
    """List, add and end times without notifications."""


@maintenance.command("list")
@limit_option(20)
@as_json_option
def list_silences(limit: int, as_json: bool) -> None:
    """List maintenance windows and silences, newest first."""
    with open_store() as store:
        records = store.silences.last(limit)
    print_list(records, _silence_line, "no maintenance window and no silence", as_json=as_json)


@maintenance.command()
@until_option
@click.option("--since", default="", help="Beginning: a time (UTC) or a duration from now.  [default: now]")
@reason_option
@by_option
@as_json_option
def add(until: str, since: str, reason: str, by: str, as_json: bool) -> None:
    """Add a window in which no notification is sent."""
    with open_store() as store:
        now = store.database.clock()
        begins_at = _moment(since, now, "--since") if since else None
        ends_at = _moment(until, now if begins_at is None else begins_at, "--until")
        window = store.silences.add(None, until=ends_at, reason=reason, by=by, since=begins_at)
    print_record(window, _silence_line, as_json=as_json)


@maintenance.command()
@click.argument("number", type=int)
@by_option
@as_json_option
def end(number: int, by: str, as_json: bool) -> None:
    """End a maintenance window or a silence now.

    NUMBER is the one in the list.
    """
    with open_store() as store:
        record = store.silences.end(number, by)
    print_record(record, _silence_line, as_json=as_json)


def _moment(text: str, now_s: float, option: str) -> float:
    """Read a time or a duration; raises BadParameter."""
    try:
        return parse_moment(text, now_s)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _alert_line(alert: AlertRecord) -> str:
    duration = "on" if alert.ended_at is None else f"{alert.ended_at - alert.began_at:.0f} s"
    remarks = [f"acknowledged by {alert.acknowledged_by}"] if alert.acknowledged_by else []
    if alert.silenced_until is not None:
        remarks.append(f"silenced until {format_utc(alert.silenced_until)}")
    remark = f"  ({', '.join(remarks)})" if remarks else ""
    return f"{alert.id:>5}  {format_utc(alert.began_at)}  {duration:>8}  {alert.level:<7}  {alert.text}{remark}"


def _silence_line(record: SilenceRecord) -> str:
    span = f"{format_utc(record.begins_at)} to {format_utc(record.ends_at)}"
    return f"{record.id:>5}  {span}  {record.label}  {record.reason}  ({record.created_by})"


@click.command()
@limit_option(30)
@click.option("--level", type=Choice(["info", "warning", "error"]), help="List events of this level only.")
@click.option("--group", help="List events of this group only.")
@click.option("--follow", is_flag=True, help="Print new events until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of text.")
def events(limit: int, level: str | None, group: str | None, follow: bool, as_json: bool) -> None:
    """Print the newest events, newest last."""

    def print_event(event: EventRecord) -> None:
        if level in (None, event.level) and group in (None, event.group):
            click.echo(json.dumps(to_plain(event)) if as_json else _event_line(event))

    with open_store() as store:
        newest = store.events.last(1)
        for event in reversed(store.events.last(limit, level=level, group=group)):
            print_event(event)
        after = newest[0].id if newest else 0
        while follow:
            for event in store.events.after(after):
                print_event(event)
                after = event.id
            time.sleep(1.0)


def _event_line(event: EventRecord) -> str:
    parts = (format_utc(event.at), f"{event.level:<7}", event.group, event.text)
    return "  ".join(part for part in parts if part)
