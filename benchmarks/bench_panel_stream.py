"""What those who watch cost the stream: `python benchmarks/bench_panel_stream.py`.

The real stream makes the same tiles with nobody at the panel and with 50 viewers, who do what the start page does: they
follow the events and render the page anew after each and every ten seconds. In turns, so that what the machine does
besides falls on both. Prints the seconds of all stages; exits with 1 when the viewers slow the stream by more than 5 %.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench_panel import VIEWERS, get, panel

MOST_SLOWER = 0.05
REFRESH_S, SETTLE_S = 10.0, 0.4
LIMIT_S = 240.0


def tiles(directory: Path, groups: int) -> list[Path]:
    """Subband files of so many tiles."""
    from contimg.simulation import SimulateOptions, simulate

    options = SimulateOptions(groups=groups, antennas=16, channels=96, integrations=12, clock_spread=0)
    return [path for tile in simulate(options, directory) for path in tile.files.values()]


def watch(port: int, over: threading.Event, rendered: list[int]) -> None:
    """One viewer: events as they come, and the page as its script fetches it; events close together count once."""
    import http.client

    events = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    events.request("GET", "/api/events")
    answer, heard = events.getresponse(), threading.Event()

    def listen() -> None:
        try:
            while not over.is_set():
                if answer.readline().startswith(b"data:"):
                    heard.set()
        except (OSError, ValueError):  # closed under it
            return

    threading.Thread(target=listen, daemon=True).start()
    pages = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    count = 0
    while not over.is_set():
        if heard.wait(REFRESH_S):
            heard.clear()
            over.wait(SETTLE_S)
        get(port, "/", pages)
        count += 1
    rendered.append(count)


def seconds_of_stages(files: list[Path], viewers: int) -> tuple[float, int]:
    """Seconds that the stages of all tiles took, and how often the viewers rendered the page."""
    from contimg.config import Settings, load
    from contimg.store import State, Store

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copytree(files[0].parent, place / "incoming")
        environ = {**os.environ, "PIPELINE_STATE_DIR": str(place / "state"), "CONTIMG_MAX_WORKERS": "2",
                   "CONTIMG_IMAGE_SIZE": "1024"}  # fmt: skip
        store = Store.of(load(Settings(state_dir=place / "state")))
        watching, port = panel(place, set(range(os.cpu_count() or 1)))
        over, rendered = threading.Event(), list[int]()
        threads = [threading.Thread(target=watch, args=(port, over, rendered), daemon=True) for _ in range(viewers)]
        for one in threads:
            one.start()
        command = [sys.executable, "-m", "contimg", "run", "--no-web", str(place / "incoming")]
        stream = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, start_new_session=True)
        wanted, end = len(files) // 16, time.monotonic() + LIMIT_S
        while store.overview.snapshot(0).states[State.COMPLETED] < wanted and time.monotonic() < end:
            time.sleep(0.5)
        over.set()
        stream.send_signal(signal.SIGINT)
        stream.wait(60)
        watching.terminate()
        watching.wait(20)
        runs = [run for run in store.browse.ended_runs(0.0) if run.seconds is not None]
        store.close()
        assert len(runs) == 3 * wanted, f"{len(runs)} stages of {3 * wanted} ended within {LIMIT_S:g} s"
        return sum(run.seconds or 0.0 for run in runs), sum(rendered)


def main() -> None:
    """Measure in turns and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=6)
    parser.add_argument("--turns", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        files = tiles(Path(name), asked.groups)
        took: dict[int, list[float]] = {0: [], VIEWERS: []}
        for turn in range(asked.turns):
            for viewers in (0, VIEWERS) if turn % 2 == 0 else (VIEWERS, 0):
                seconds, rendered = seconds_of_stages(files, viewers)
                took[viewers].append(seconds)
                print(f"{viewers:3d} viewers: {seconds:6.1f} s of stages for {asked.groups} tiles, "
                      f"{rendered} pages rendered for them", flush=True)  # fmt: skip
    alone, watched = min(took[0]), min(took[VIEWERS])
    print(f"{VIEWERS} viewers slow the stream by {100 * (watched / alone - 1):+.1f} % (limit {100 * MOST_SLOWER:g} %)")
    sys.exit(0 if watched <= (1 + MOST_SLOWER) * alone else 1)


if __name__ == "__main__":
    main()
