"""`contimg status`: the stream at a glance."""

from dataclasses import asdict
from datetime import UTC, datetime

import click
from contimg.cli.listing import as_json_option, print_json
from rich.console import Console
from rich.table import Table
from rich.text import Text

from contimg.settings import Settings
from contimg.store import Stage, Status, StreamActivity, configured_store
from workers.service.manager import StreamingServiceManager
from workers.service.records import ServiceHealth, ServiceStatus


@click.command()
@as_json_option
@click.option("--shown", default=5, show_default=True, help="At most so many of each list.")
def status(as_json: bool, shown: int) -> None:
    """Show the service, the queue, the newest images, failures, and files set aside with their reasons."""
    with configured_store() as store:
        seen, pulse, alerts = store.overview.snapshot(shown), store.activity.read(), store.alerts.on()
    manager = StreamingServiceManager(Settings.from_environment())
    service, health = manager.status(), manager.health()
    if as_json:
        whole = {**asdict(seen), "service": asdict(service), "health": asdict(health)}
        whole |= {"pulse": {**asdict(pulse), "catch_up_s": pulse.catch_up_s}, "alerts": [asdict(one) for one in alerts]}
        print_json(whole)
        return
    console = Console(highlight=False)
    console.print(_service_line(service, health))
    for one in alerts:
        console.print(f"alert for {_span(seen.at - one.began_at)}: {one.text}", style="red", soft_wrap=True)
    _print_queue(console, seen, pulse)
    _print_lists(console, seen)


def _service_line(service: ServiceStatus, health: ServiceHealth) -> Text:
    if not service.running:
        return Text("stopped; `contimg run` starts it", style="yellow")
    parts = ["paused" if service.paused else "running"]
    if service.uptime_seconds is not None:
        parts.append(f"for {_span(service.uptime_seconds)}")
    if service.memory_mb is not None and service.cpu_percent is not None:
        parts.append(f"(pid {service.pid}, {service.cpu_percent:.0f} % of a core, {service.memory_mb:.0f} MB)")
    if health.error:
        parts.append(f"— not healthy: {health.error}")
    return Text(" ".join(parts), style="red" if health.error else "yellow" if service.paused else "green")


def _print_queue(console: Console, seen: Status, pulse: StreamActivity) -> None:
    counts = Table(box=None, padding=(0, 3, 0, 0))
    for state in seen.states:
        counts.add_column(state.replace("_", " "), justify="right")
    counts.add_row(*(str(number) for number in seen.states.values()))
    console.print(counts)
    waiting = ", ".join(f"{seen.waiting[stage]} for {stage}" for stage in Stage if seen.waiting[stage])
    if waiting:
        console.print(f"waiting: {waiting}; the oldest for {_span(seen.oldest_pending_s or 0.0)}")
    for one in seen.running:
        console.print(f"{one.group}  {one.stage}, attempt {one.attempt}, for {_span(seen.at - one.started_at)}")
    rates = seen.rates
    if pulse.catch_up_s is not None and pulse.waiting:
        console.print(f"backlog of {pulse.waiting} groups, caught up in about {_span(pulse.catch_up_s)}")
    took = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in rates.stage_seconds.items())
    if rates.latency_s is not None:
        console.print(f"last hour: {rates.groups_per_hour:g} groups, first file to image {_span(rates.latency_s)}")
    if took:
        console.print(f"a stage takes: {took}")


def _print_lists(console: Console, seen: Status) -> None:
    for image in seen.images:
        calibration = image.calibration_set or "uncalibrated"
        console.print(
            f"{image.fits_path}  rms {1e3 * image.rms_jy:.2f} mJy/beam, peak {image.peak_jy:.3f} Jy/beam, "
            f"{calibration}",
            soft_wrap=True,
        )
    if seen.set_aside_count:
        console.print(f"set aside: {seen.set_aside_count}", style="yellow")
    for file in seen.set_aside:
        console.print(f"  {file.path}: {file.reason}", soft_wrap=True)
    if seen.failed:
        console.print("failed:", style="red")
    for group, error in seen.failed:
        console.print(f"  {group}: {error}", soft_wrap=True)
    for event in seen.warnings:
        moment = datetime.fromtimestamp(event.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        console.print(f"{moment}  {event.group or ''}  {event.text}", style="dim", soft_wrap=True)


def _span(seconds: float) -> str:
    """A duration as one reads it: 42 s, 12 min, 3.5 h, 2.1 d."""
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.{0 if unit != 'h' else 1}f} {unit}"
    return f"{seconds / 86400:.1f} d"
