"""A value is made once for all who want it at a time, and only its maker waits for a newer one."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask

from web.context import EXTENSION, Panel

FRESH_S = 10.0
LIMIT_S = 60.0


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("web.context.time", clock)
    return clock


@pytest.fixture
def panel(app: Flask, clock: Clock) -> Panel:
    panel: Panel = app.extensions[EXTENSION]
    return replace(panel, fresh_s=FRESH_S, _shared={}, _making=threading.RLock())


def counted(values: list[int]) -> Callable[[], int]:
    def make() -> int:
        values.append(1)
        return len(values)

    return make


class SlowMaker(threading.Thread):
    """Makes a newer value, from its start until `finish`."""

    def __init__(self, panel: Panel, values: list[int]) -> None:
        super().__init__(daemon=True)
        self.panel, self.values = panel, values
        self.started, self.go_on = threading.Event(), threading.Event()
        self.start()
        assert self.started.wait(LIMIT_S)

    def run(self) -> None:
        self.panel.shared("x", self.make)

    def make(self) -> int:
        self.started.set()
        assert self.go_on.wait(LIMIT_S)
        return counted(self.values)()

    def finish(self) -> None:
        self.go_on.set()
        self.join(LIMIT_S)


def test_first_value_is_made_once(panel: Panel) -> None:
    values, got = list[int](), list[int]()

    def slowly() -> int:
        time.sleep(0.1)
        return counted(values)()

    threads = [threading.Thread(target=lambda: got.append(panel.shared("x", slowly))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [1] * 8
    assert len(values) == 1


def test_last_value_is_given_while_newer_is_made(panel: Panel, clock: Clock) -> None:
    values = list[int]()
    assert panel.shared("x", counted(values)) == 1
    clock.now += 1.2 * FRESH_S
    maker = SlowMaker(panel, values)
    assert panel.shared("x", counted(values)) == 1
    assert maker.is_alive()
    maker.finish()
    assert panel.shared("x", counted(values)) == 2


def test_stale_value_is_waited_for(panel: Panel, clock: Clock) -> None:
    values, got = list[int](), list[int]()
    assert panel.shared("x", counted(values)) == 1
    clock.now += 4 * FRESH_S
    maker = SlowMaker(panel, values)
    waiter = threading.Thread(target=lambda: got.append(panel.shared("x", counted(values))), daemon=True)
    waiter.start()
    waiter.join(0.1)
    assert got == []
    maker.finish()
    waiter.join(LIMIT_S)
    assert got == [2]


def test_command_drops_shared_values(panel: Panel) -> None:
    values = list[int]()
    assert panel.shared("x", counted(values)) == 1
    panel.forget_overview()
    assert panel.shared("x", counted(values)) == 2
