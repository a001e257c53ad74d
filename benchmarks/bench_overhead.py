"""Measure the cost of the orchestration of a group: convert, calibrate and image as stages without computation.

    make bench-overhead                              200 groups one after another, 200 at once; several minutes
    make bench-overhead ARGS="--groups 500 --waiting 10 --waiting 1000"

Broker, workers, producer, reconciler and store are those of the service; only the computation of the stages is missing.
Core seconds are those of all processes, replaced worker processes included, minus those of the idle service. Latency is
from the rename of the last subband file to the row of the image in the store, polled from another process. The second
part measures the store alone: the cost of an additional group while up to 100,000 wait.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import click
import psutil
import waiting_groups
import waiting_plot
from own_environ import own_environ

from contimg.formats.uvh5.grouping import stamp_of
from contimg.instrument.dsa110 import BAND, CADENCE_S
from contimg.store import State, Store

MAX_CORE_MS, MAX_LATENCY_S = 50.0, 0.5  # limits; the latency is the 95th percentile
WARM_UP_GROUPS = 5
_FIRST_GROUP_S = 1_771_802_271
_POLL_S = 0.005
_LIMIT_S = 60.0


@dataclass(frozen=True)
class Service:
    """The running service, its incoming directory and its store."""

    process: psutil.Process
    directory: Path
    store: Store

    def core_s(self) -> dict[str, float]:
        """Return the core seconds so far of the supervisor, and of each child with all its descendants."""
        core_s_by_part = {"supervisor": sum(self.process.cpu_times()[:2])}
        for child in self.process.children():
            name = _role(child.cmdline())
            processes = [child, *child.children(recursive=True)]
            core_s_by_part[name] = core_s_by_part.get(name, 0.0) + sum(
                sum(process.cpu_times()[:4]) for process in processes
            )
        return core_s_by_part

    def deliver(self, number: int) -> tuple[str, float]:
        """Deliver the files of a group by renames, as the correlator does; return its id and the last time."""
        group = stamp_of(_FIRST_GROUP_S + round(CADENCE_S * number))
        for subband in range(BAND.subbands):
            unfinished = self.directory / "incoming" / f"{group}_sb{subband:02d}_incomplete.hdf5"
            unfinished.write_bytes(b"v")
            unfinished.rename(unfinished.with_name(unfinished.name.replace("_incomplete", "")))
        return group, time.monotonic()

    def wait_for_image(self, group: str) -> float:
        """Wait for the row of the image and return the time."""
        deadline_s = time.monotonic() + _LIMIT_S
        while self.store.products.image_of(group) is None:
            if time.monotonic() > deadline_s:
                sys.exit(f"{group}: no image; see {self.directory}/service.log")
            time.sleep(_POLL_S)
        return time.monotonic()

    def wait_for_all(self, groups: int) -> None:
        """Wait until `groups` groups are completed."""
        deadline_s = time.monotonic() + _LIMIT_S + groups
        while self.store.overview.snapshot(0).states[State.COMPLETED] < groups:
            if time.monotonic() > deadline_s:
                sys.exit(f"fewer than {groups} groups completed in time; see {self.directory}/service.log")
            time.sleep(0.1)


def _role(command: list[str]) -> str:
    """Return the role of a child of the service from its command line."""
    if "-Q" in command:
        return command[command.index("-Q") + 1]
    return "producer" if "producer" in command else "broker"


@contextmanager
def run_service(directory: Path) -> Iterator[Service]:
    """Run the service with empty stages in a new directory."""
    for name in ("incoming", "state"):
        (directory / name).mkdir(parents=True)
    # No limit on jobs in flight: otherwise the interval of the reconciler would limit the rate.
    environ = own_environ(directory) | {"CONTIMG_MAX_IN_FLIGHT": "10000"}
    store = Store.open(directory / "state" / "contimg.sqlite3")
    with (directory / "service.log").open("wb") as log:
        command = [sys.executable, str(Path(__file__).with_name("empty_service.py"))]
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        deadline_s = time.monotonic() + _LIMIT_S
        while store.activity.last_beat("producer.scan") is None and time.monotonic() < deadline_s:
            time.sleep(0.1)
        yield Service(psutil.Process(process.pid), directory, store)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        store.close()


def difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return the core seconds of each part between two measurements."""
    return {name: after[name] - before.get(name, 0.0) for name in after}


def measure(service: Service, groups: int, idle_s: float) -> dict[str, object]:
    """Measure the idle service, groups one after another, and as many at once."""
    for number in range(WARM_UP_GROUPS):
        service.wait_for_image(service.deliver(number)[0])
    time.sleep(2)
    before = service.core_s()
    time.sleep(idle_s)
    idle = {name: value / idle_s for name, value in difference(before, service.core_s()).items()}
    latencies, before, start_s = [], service.core_s(), time.monotonic()
    for number in range(WARM_UP_GROUPS, WARM_UP_GROUPS + groups):
        group, arrived = service.deliver(number)
        latencies.append(service.wait_for_image(group) - arrived)
    sequential, sequential_s = difference(before, service.core_s()), time.monotonic() - start_s
    before, start_s = service.core_s(), time.monotonic()
    for number in range(WARM_UP_GROUPS + groups, WARM_UP_GROUPS + 2 * groups):
        service.deliver(number)
    service.wait_for_all(WARM_UP_GROUPS + 2 * groups)
    parallel, parallel_s = difference(before, service.core_s()), time.monotonic() - start_s
    return {
        "groups": groups,
        "idle_core_percent": 100 * sum(idle.values()),
        "latency_s": {"median": median(latencies), "p95": quantiles(latencies, n=20)[-1], "longest": max(latencies)},
        "core_ms": 1000 * (sum(sequential.values()) - sequential_s * sum(idle.values())) / groups,
        "core_ms_by_part": {
            name: 1000 * (sequential[name] - sequential_s * idle[name]) / groups for name in sequential
        },
        "at_once_core_ms": 1000 * (sum(parallel.values()) - parallel_s * sum(idle.values())) / groups,
        "at_once_groups_per_s": groups / parallel_s,
    }


@click.command()
@click.option(
    "--groups", default=200, show_default=True, help="Number of groups, first one after another, then at once."
)
@click.option(
    "--idle", "idle_s", default=30.0, show_default=True, help="Duration of the measurement of the idle service, s."
)
@click.option("--waiting", multiple=True, default=(10, 1000, 10_000, 100_000), show_default=True,
              help="Number of groups waiting in the store; may be repeated.")  # fmt: skip
@click.option("--rounds", default=31, show_default=True, help="Number of groups processed while those wait.")
@click.option("--json", "figures_path", type=click.Path(path_type=Path), help="Write the figures to this file as JSON.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    help="Plot the cost against the number of waiting groups into this PNG file.",
)
def main(
    groups: int, idle_s: float, waiting: tuple[int, ...], rounds: int, figures_path: Path | None, plot: Path | None
) -> None:
    """Measure the cost of the orchestration of a group and its growth with the queue."""
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="contimg-overhead-") as name:
        if groups:
            with run_service(Path(name)) as service:
                figures |= measure(service, groups, idle_s)
            _print_figures(figures)
        growth = []
        for number in waiting:
            growth.append(waiting_groups.measure_costs(Path(name), number, rounds))
            print("  ".join(f"{key} {value:g}" for key, value in growth[-1].items()), "core ms", flush=True)
    if figures_path:
        figures_path.write_text(json.dumps({**figures, "growth": growth}, indent=1) + "\n")
    if plot:
        waiting_plot.draw(growth, plot)
    if figures and (figures["core_ms"] > MAX_CORE_MS or figures["latency_s"]["p95"] > MAX_LATENCY_S):
        sys.exit(f"above a limit: {MAX_CORE_MS:g} core ms per group, {MAX_LATENCY_S:g} s latency (95th percentile)")


def _print_figures(figures: dict[str, object]) -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"{name:22} " + "  ".join(f"{key} {number:.3g}" for key, number in value.items()))
        else:
            print(f"{name:22} {value:.4g}")


if __name__ == "__main__":
    main()
