"""Waiting for things to happen, and finding processes."""

import os
import time
from collections.abc import Callable
from pathlib import Path

BUSY_S = 60.0


def until(reached: Callable[[], object], limit_s: float, what: str) -> None:
    """Wait until something holds; the test fails with its name when it does not in time.

    `limit_s` is ample on an idle machine; a busy one has a minute more.
    """
    deadline = time.monotonic() + limit_s + BUSY_S
    while not reached():
        assert time.monotonic() < deadline, f"not within {limit_s} + {BUSY_S} s: {what}"
        time.sleep(0.05)


def processes_with(text: str) -> list[int]:
    """Pids of the processes whose environment or command line has a text, for example a test's own directory."""
    pids = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            about = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if text.encode() in about:
            pids.append(int(entry.name))
    return pids
