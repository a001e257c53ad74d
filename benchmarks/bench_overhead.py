"""What the orchestration of a group costs: the chain convert, calibrate, image with stages that make nothing.

    make bench-overhead                              200 groups one after the other, 200 at once, some minutes
    make bench-overhead ARGS="--groups 500 --waiting 10 --waiting 1000"

Broker, workers, producer, reconciler and store are the service's own; only what a stage computes is missing. Seconds of
a core are those of all its processes, worker processes that were replaced included, less what the service takes when
nothing arrives. Latency is from the rename of the last subband file to the image's row in the store, seen from outside.
Then the store alone: what one more group costs while up to 100,000 wait.
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

CORE_MS, LATENCY_S = 50.0, 0.5  # asked for; the latency of 95 groups of 100
WARM_UP = 5
_BEGIN_S = 1_771_802_271
_LOOK_EVERY_S = 0.005
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Service:
    """The running service, its incoming directory and its store."""

    process: psutil.Process
    directory: Path
    store: Store

    def core_s(self) -> dict[str, float]:
        """Seconds of a core so far: of the supervisor, and of each child with all that it ever started."""
        found = {"supervisor": sum(self.process.cpu_times()[:2])}
        for child in self.process.children():
            name = _role(child.cmdline())
            tree = [child, *child.children(recursive=True)]
            found[name] = found.get(name, 0.0) + sum(sum(one.cpu_times()[:4]) for one in tree)
        return found

    def arrive(self, number: int) -> tuple[str, float]:
        """Let a group's files come as the correlator's do, by renames; returns its name and when the last one came."""
        group = stamp_of(_BEGIN_S + round(CADENCE_S * number))
        for subband in range(BAND.subbands):
            unfinished = self.directory / "incoming" / f"{group}_sb{subband:02d}_incomplete.hdf5"
            unfinished.write_bytes(b"v")
            unfinished.rename(unfinished.with_name(unfinished.name.replace("_incomplete", "")))
        return group, time.monotonic()

    def wait_for_image(self, group: str) -> float:
        """When the image's row is seen."""
        until = time.monotonic() + _PATIENCE_S
        while self.store.products.image_of(group) is None:
            if time.monotonic() > until:
                sys.exit(f"{group}: no image; the log is {self.directory}/service.log")
            time.sleep(_LOOK_EVERY_S)
        return time.monotonic()

    def wait_for_all(self, groups: int) -> None:
        """Until so many groups are completed."""
        until = time.monotonic() + _PATIENCE_S + groups
        while self.store.overview.snapshot(0).states[State.COMPLETED] < groups:
            if time.monotonic() > until:
                sys.exit(f"not {groups} groups in time; the log is {self.directory}/service.log")
            time.sleep(0.1)


def _role(command: list[str]) -> str:
    """Which of the service's children a command line is."""
    if "-Q" in command:
        return command[command.index("-Q") + 1]
    return "producer" if "producer" in command else "broker"


@contextmanager
def serving(directory: Path) -> Iterator[Service]:
    """The service with empty stages, in a new directory."""
    for name in ("incoming", "state"):
        (directory / name).mkdir(parents=True)
    # As many in flight as there are: otherwise a round of the reconciler would set the pace.
    environ = own_environ(directory) | {"CONTIMG_MAX_IN_FLIGHT": "10000"}
    store = Store.open(directory / "state" / "contimg.sqlite3")
    with (directory / "service.log").open("wb") as log:
        command = [sys.executable, str(Path(__file__).with_name("empty_service.py"))]
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        until = time.monotonic() + _PATIENCE_S
        while store.activity.last_beat("producer.scan") is None and time.monotonic() < until:
            time.sleep(0.1)
        yield Service(psutil.Process(process.pid), directory, store)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        store.close()


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """How many seconds of a core each part took in between."""
    return {name: after[name] - before.get(name, 0.0) for name in after}


def measure(service: Service, groups: int, idle_s: float) -> dict[str, object]:
    """Idle, then groups one after the other, then as many at once."""
    for number in range(WARM_UP):
        service.wait_for_image(service.arrive(number)[0])
    time.sleep(2)
    before = service.core_s()
    time.sleep(idle_s)
    idle = {name: value / idle_s for name, value in grown(before, service.core_s()).items()}
    latencies, before, began = [], service.core_s(), time.monotonic()
    for number in range(WARM_UP, WARM_UP + groups):
        group, arrived = service.arrive(number)
        latencies.append(service.wait_for_image(group) - arrived)
    alone, seconds = grown(before, service.core_s()), time.monotonic() - began
    before, began = service.core_s(), time.monotonic()
    for number in range(WARM_UP + groups, WARM_UP + 2 * groups):
        service.arrive(number)
    service.wait_for_all(WARM_UP + 2 * groups)
    together, together_s = grown(before, service.core_s()), time.monotonic() - began
    return {
        "groups": groups,
        "idle_core_percent": 100 * sum(idle.values()),
        "latency_s": {"median": median(latencies), "p95": quantiles(latencies, n=20)[-1], "longest": max(latencies)},
        "core_ms": 1000 * (sum(alone.values()) - seconds * sum(idle.values())) / groups,
        "core_ms_by_part": {name: 1000 * (alone[name] - seconds * idle[name]) / groups for name in alone},
        "at_once_core_ms": 1000 * (sum(together.values()) - together_s * sum(idle.values())) / groups,
        "at_once_groups_per_s": groups / together_s,
    }


@click.command()
@click.option("--groups", default=200, show_default=True, help="Groups one after the other, and then at once.")
@click.option("--idle", "idle_s", default=30.0, show_default=True, help="For so long nothing arrives, s.")
@click.option("--waiting", multiple=True, default=(10, 1000, 10_000, 100_000), show_default=True,
              help="Groups that wait in the store; give it several times.")  # fmt: skip
@click.option("--rounds", default=31, show_default=True, help="Groups that pass while those wait.")
@click.option("--json", "result", type=click.Path(path_type=Path), help="Write the figures there, too.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw there how the cost grows with what waits, a PNG.")
def main(
    groups: int, idle_s: float, waiting: tuple[int, ...], rounds: int, result: Path | None, plot: Path | None
) -> None:
    """Measure what the orchestration of a group costs, and how that grows with the queue."""
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="contimg-overhead-") as name:
        if groups:
            with serving(Path(name)) as service:
                figures |= measure(service, groups, idle_s)
            _print(figures)
        found = []
        for number in waiting:
            found.append(waiting_groups.costs(Path(name), number, rounds))
            print("  ".join(f"{key} {value:g}" for key, value in found[-1].items()), "ms of a core", flush=True)
    if result:
        result.write_text(json.dumps({**figures, "growth": found}, indent=1) + "\n")
    if plot:
        waiting_plot.draw(found, plot)
    if figures and (figures["core_ms"] > CORE_MS or figures["latency_s"]["p95"] > LATENCY_S):
        sys.exit(f"more than the {CORE_MS:g} ms of a core or the {LATENCY_S:g} s that are asked for")


def _print(figures: dict[str, object]) -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"{name:22} " + "  ".join(f"{key} {one:.3g}" for key, one in value.items()))
        else:
            print(f"{name:22} {value:.4g}")


if __name__ == "__main__":
    main()
