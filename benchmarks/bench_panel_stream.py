"""What those who watch cost the stream: `python benchmarks/bench_panel_stream.py`.

The real stream makes the same tiles with nobody at the panel and with 50 viewers, who do what the start page does: they
follow the events, and fetch the page anew after each and every ten seconds. Their browsers are on other machines, so
here they run at the lowest priority. In turns, so that what the machine does besides falls on both; each turn's seconds
of all stages are printed, with what the panel itself took of the processor. Exits with 1 when the viewers slow the
stream by more than 5 %.
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
from bench_panel import VIEWERS, panel

MOST_SLOWER = 0.05
REFRESH_S, SETTLE_S = 10.0, 0.4
LIMIT_S = 240.0


@dataclass(frozen=True)
class Turn:
    """Seconds of all stages, processor seconds of the panel, pages that the viewers fetched."""

    stages_s: float
    panel_s: float
    pages: int


def tiles(directory: Path, groups: int) -> Path:
    """A directory with the subband files of so many tiles."""
    from contimg.simulation import SimulateOptions, simulate

    options = SimulateOptions(groups=groups, antennas=16, channels=96, integrations=12, clock_spread=0)
    for _ in simulate(options, directory):
        pass
    return directory


def watch(port: int) -> None:
    """All viewers, until SIGTERM; then the number of pages that they fetched is printed."""
    os.nice(19)
    over, fetched = threading.Event(), [0] * VIEWERS
    for number in range(VIEWERS):
        threading.Thread(target=view, args=(port, over, fetched, number), daemon=True).start()
    signal.sigwait({signal.SIGTERM})
    over.set()
    print(sum(fetched), flush=True)


def view(port: int, over: threading.Event, fetched: list[int], number: int) -> None:
    """One viewer: events as they come, and the page as its script fetches it; events close together count once."""
    heard = threading.Event()

    def listen() -> None:
        events = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        events.request("GET", "/api/events")
        answer = events.getresponse()
        while line := answer.readline():
            if line.startswith(b"data:"):
                heard.set()

    threading.Thread(target=listen, daemon=True).start()
    pages = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while not over.is_set():
        if heard.wait(REFRESH_S):
            heard.clear()
            over.wait(SETTLE_S)
        pages.request("GET", "/")
        pages.getresponse().read()
        fetched[number] += 1


def turn(incoming: Path, groups: int, watched: bool) -> Turn:
    """The stream over all tiles, with viewers or without."""
    from contimg.settings import Settings, load
    from contimg.store import State, Store

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copytree(incoming, place / "incoming")
        environ = {**os.environ, "PIPELINE_STATE_DIR": str(place / "state"), "CONTIMG_MAX_WORKERS": "2",
                   "CONTIMG_IMAGE_SIZE": "1024"}  # fmt: skip
        store = Store.of(load(Settings(state_dir=place / "state")))
        shown, port = panel(place, set(range(os.cpu_count() or 1)))
        viewers = (
            subprocess.Popen([sys.executable, __file__, "--watch", str(port)], stdout=subprocess.PIPE, text=True)
            if watched
            else None
        )
        command = [sys.executable, "-m", "contimg", "run", "--no-web", str(place / "incoming")]
        stream = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + LIMIT_S
        while store.overview.snapshot(0).states[State.COMPLETED] < groups and time.monotonic() < end:
            time.sleep(0.5)
        used, pages = psutil.Process(shown.pid).cpu_times(), 0
        if viewers is not None:
            viewers.terminate()
            pages = int(viewers.communicate(timeout=30)[0] or 0)
        stream.send_signal(signal.SIGINT)
        stream.wait(60)
        shown.terminate()
        shown.wait(20)
        runs = [run for run in store.jobs.ended_runs(0.0) if run.seconds is not None]
        store.close()
        assert len(runs) == 3 * groups, f"{len(runs)} stages of {3 * groups} ended within {LIMIT_S:g} s"
        return Turn(sum(run.seconds or 0.0 for run in runs), used.user + used.system, pages)


def main() -> None:
    """Measure in turns and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=6)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--watch", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.watch:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        watch(asked.watch)
        return
    with tempfile.TemporaryDirectory() as name:
        incoming = tiles(Path(name), asked.groups)
        took: dict[bool, list[float]] = {False: [], True: []}
        for number in range(asked.turns):
            for watched in (False, True) if number % 2 == 0 else (True, False):
                one = turn(incoming, asked.groups, watched)
                took[watched].append(one.stages_s)
                print(
                    f"{VIEWERS if watched else 0:3d} viewers: {one.stages_s:6.1f} s of stages for {asked.groups} "
                    f"tiles; panel {one.panel_s:.1f} s, {one.pages} pages fetched",
                    flush=True,
                )
    alone, watched_s = min(took[False]), min(took[True])
    print(
        f"{VIEWERS} viewers slow the stream by {100 * (watched_s / alone - 1):+.1f} % (limit {100 * MOST_SLOWER:g} %)"
    )
    sys.exit(0 if watched_s <= (1 + MOST_SLOWER) * alone else 1)


if __name__ == "__main__":
    main()
