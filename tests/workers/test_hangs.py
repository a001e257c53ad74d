"""Processes that hang are hung by their state and by the file that they touch, against real processes."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import until

from workers.service.child import Child, ChildPlan
from workers.service.watchdog import HangDetector, HungProcess

TOUCH_UNTIL_TOLD = """
import pathlib, sys, time
beat, end = map(pathlib.Path, sys.argv[1:])
while not end.exists():
    beat.touch()
    time.sleep(0.05)
time.sleep(600)
"""
PARENT = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).wait()"


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        child.kill()


def start(children: list[Child], tmp_path: Path, *words: str, beat: Path | None = None) -> Child:
    child = Child(ChildPlan("image", [sys.executable, "-c", *words], dict(os.environ), beat), tmp_path / "logs")
    children.append(child)
    child.start()
    return child


def find(detector: HangDetector, children: list[Child], limit_s: float = 10) -> HungProcess:
    hung: list[HungProcess] = []
    until(lambda: hung.extend(detector.find(children)) or hung, limit_s, "a process is hung")
    return hung[0]


def test_silent_process_is_hung_while_broker_answers(children: list[Child], tmp_path: Path) -> None:
    beat, end = tmp_path / "beat", tmp_path / "end"
    child = start(children, tmp_path, TOUCH_UNTIL_TOLD, str(beat), str(end), beat=beat)
    is_up = [True]
    detector = HangDetector(1.0, lambda: is_up[0])
    until(beat.exists, 20, "the process touches its file")
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        assert detector.find(children) == []
        time.sleep(0.1)
    is_up[0] = False
    end.touch()
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        assert detector.find(children) == []
        time.sleep(0.1)
    is_up[0] = True
    hung = find(detector, children)
    assert (hung.pids[0], hung.is_stopped) == (child.pid, False)
    pid = child.pid
    hung.kill()
    messages: list[str] = []
    until(lambda: messages.append(child.watch() or "") or child.pid not in (None, pid), 20, "it is started again")
    assert "SIGKILL" in "".join(messages)


def test_process_that_starts_is_not_hung(children: list[Child], tmp_path: Path) -> None:
    start(children, tmp_path, "import time; time.sleep(600)", beat=tmp_path / "beat")
    detector = HangDetector(0.2, lambda: True)
    for _ in range(5):
        assert detector.find(children) == []
        time.sleep(0.2)


def test_stopped_descendant_is_hung(children: list[Child], tmp_path: Path) -> None:
    child = start(children, tmp_path, PARENT)
    detector = HangDetector(0.5, lambda: True)

    def descendants() -> list[int]:
        text = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in text.split()]

    until(descendants, 20, "the process has a child")
    (pid,) = descendants()
    assert detector.find(children) == []
    os.kill(pid, signal.SIGSTOP)
    hung = find(detector, children)
    assert (hung.pids, hung.is_stopped) == ((pid,), True)
    hung.kill()
    until(lambda: not Path(f"/proc/{pid}").exists(), 10, "it is gone")
