"""One look serves all who want it at a time, and nobody but him who takes it waits for it."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from flask import Flask

from web.context import EXTENSION, Panel


def room_of(app: Flask, fresh_s: float) -> Panel:
    panel: Panel = app.extensions[EXTENSION]
    return replace(panel, fresh_s=fresh_s, _shared={}, _making=threading.RLock())


def slowly(made: list[float], seconds: float) -> Callable[[], int]:
    def make() -> int:
        time.sleep(seconds)
        made.append(time.monotonic())
        return len(made)

    return make


def begun(panel: Panel, make: Callable[[], int]) -> threading.Thread:
    """A look that another has begun a moment ago."""
    maker = threading.Thread(target=lambda: panel.shared("x", make))
    maker.start()
    time.sleep(0.05)
    return maker


def test_all_wait_for_the_first_and_it_is_made_once(app: Flask) -> None:
    panel, made, got = room_of(app, 60.0), list[float](), list[int]()
    threads = [threading.Thread(target=lambda: got.append(panel.shared("x", slowly(made, 0.1)))) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert got == [1] * 8
    assert len(made) == 1


def test_while_a_newer_one_is_made_the_last_is_given_at_once(app: Flask) -> None:
    panel, made = room_of(app, 0.3), list[float]()
    assert panel.shared("x", slowly(made, 0.0)) == 1
    time.sleep(0.35)
    maker = begun(panel, slowly(made, 0.4))
    began = time.monotonic()
    assert panel.shared("x", slowly(made, 0.4)) == 1
    assert time.monotonic() - began < 0.1
    maker.join()
    assert panel.shared("x", slowly(made, 0.0)) == 2


def test_one_that_is_much_too_old_is_waited_for(app: Flask) -> None:
    panel, made = room_of(app, 0.05), list[float]()
    assert panel.shared("x", slowly(made, 0.0)) == 1
    time.sleep(0.2)
    maker = begun(panel, slowly(made, 0.2))
    assert panel.shared("x", slowly(made, 0.0)) >= 2
    maker.join()


def test_after_a_command_the_next_look_is_new(app: Flask) -> None:
    panel, made = room_of(app, 60.0), list[float]()
    assert panel.shared("x", slowly(made, 0.0)) == 1
    panel.forget_overview()
    assert panel.shared("x", slowly(made, 0.0)) == 2
