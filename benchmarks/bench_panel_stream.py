"""Measure the effect of panel viewers on the stream: `python benchmarks/bench_panel_stream.py`.

The stream processes the same tiles without viewers and with 50 viewers, which do what the start page does: follow the
events, and fetch the page again after each event and every ten seconds. Browsers run on other machines, so the viewers
run at the lowest priority here. Runs with and without viewers alternate, so that other load affects both. Each run
prints the seconds of all stages and the processor seconds of the panel. Exits with 1 when the viewers slow the stream
by more than 5 %.
"""

import argparse
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from bench_panel import VIEWERS, start_panel

MAX_SLOWDOWN = 0.05
REFRESH_S, SETTLE_S = 10.0, 0.4
LIMIT_S = 240.0


@dataclass(frozen=True)
class StreamRun:
    """Seconds of all stages, processor seconds of the panel, and number of pages fetched by viewers."""

    stages_s: float
    panel_s: float
    pages: int


def simulate_tiles(directory: Path, groups: int) -> Path:
    """Simulate the subband files of `groups` tiles in a directory."""
    from contimg.simulation import SimulateOptions, simulate

    options = SimulateOptions(groups=groups, antennas=16, channels=96, integrations=12, clock_spread=0)
    for _ in simulate(options, directory):
        pass
    return directory


def watch(port: int) -> None:
    """Run all viewers until SIGTERM, then print the number of pages that they fetched."""
    os.nice(19)
    stopped, fetched = threading.Event(), [0] * VIEWERS
    for number in range(VIEWERS):
        threading.Thread(target=view, args=(port, stopped, fetched, number), daemon=True).start()
    signal.sigwait({signal.SIGTERM})
    stopped.set()
    print(sum(fetched), flush=True)


def view(port: int, stopped: threading.Event, fetched: list[int], number: int) -> None:
    """Run a viewer: follow the events and fetch the page as its script does; close events cause one fetch."""
    event_received = threading.Event()

    def listen() -> None:
        events = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        events.request("GET", "/api/events")
        response = events.getresponse()
        while line := response.readline():
            if line.startswith(b"data:"):
                event_received.set()

    threading.Thread(target=listen, daemon=True).start()
    pages = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while not stopped.is_set():
        if event_received.wait(REFRESH_S):
            event_received.clear()
            stopped.wait(SETTLE_S)
        pages.request("GET", "/")
        pages.getresponse().read()
        fetched[number] += 1


def run_stream(incoming: Path, groups: int, watched: bool) -> StreamRun:
    """Process all tiles, with viewers or without."""
    from contimg.settings import Settings, load
    from contimg.store import State, Store

    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        shutil.copytree(incoming, directory / "incoming")
        environ = {**os.environ, "PIPELINE_STATE_DIR": str(directory / "state"), "CONTIMG_MAX_WORKERS": "2",
                   "CONTIMG_IMAGE_SIZE": "1024"}  # fmt: skip
        store = Store.of(load(Settings(state_dir=directory / "state")))
        panel, port = start_panel(directory, set(range(os.cpu_count() or 1)))
        viewers = (
            subprocess.Popen([sys.executable, __file__, "--watch", str(port)], stdout=subprocess.PIPE, text=True)
            if watched
            else None
        )
        command = [sys.executable, "-m", "contimg", "run", "--no-web", str(directory / "incoming")]
        stream = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, start_new_session=True)
        deadline_s = time.monotonic() + LIMIT_S
        while store.overview.snapshot(0).states[State.COMPLETED] < groups and time.monotonic() < deadline_s:
            time.sleep(0.5)
        panel_times, pages = psutil.Process(panel.pid).cpu_times(), 0
        if viewers is not None:
            viewers.terminate()
            pages = int(viewers.communicate(timeout=30)[0] or 0)
        stream.send_signal(signal.SIGINT)
        stream.wait(60)
        panel.terminate()
        panel.wait(20)
        runs = [run for run in store.jobs.ended_runs(0.0) if run.seconds is not None]
        store.close()
        assert len(runs) == 3 * groups, f"{len(runs)} stages of {3 * groups} ended within {LIMIT_S:g} s"
        return StreamRun(sum(run.seconds or 0.0 for run in runs), panel_times.user + panel_times.system, pages)


def main() -> None:
    """Alternate runs with and without viewers and compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=6)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--watch", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.watch:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        watch(arguments.watch)
        return
    with tempfile.TemporaryDirectory() as name:
        incoming = simulate_tiles(Path(name), arguments.groups)
        stages_s: dict[bool, list[float]] = {False: [], True: []}
        for number in range(arguments.turns):
            for watched in (False, True) if number % 2 == 0 else (True, False):
                run = run_stream(incoming, arguments.groups, watched)
                stages_s[watched].append(run.stages_s)
                print(
                    f"{VIEWERS if watched else 0:3d} viewers: {run.stages_s:6.1f} s of stages for {arguments.groups} "
                    f"tiles; panel {run.panel_s:.1f} s, {run.pages} pages fetched",
                    flush=True,
                )
    unwatched_s, watched_s = min(stages_s[False]), min(stages_s[True])
    print(
        f"{VIEWERS} viewers slow the stream by {100 * (watched_s / unwatched_s - 1):+.1f} % "
        f"(limit {100 * MAX_SLOWDOWN:g} %)"
    )
    sys.exit(0 if watched_s <= (1 + MAX_SLOWDOWN) * unwatched_s else 1)


if __name__ == "__main__":
    main()
