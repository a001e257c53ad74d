"""The supervisor as a process: the loop that ticks it and obeys signals, in the foreground or by itself.

SIGTERM, SIGINT and SIGHUP (a terminal that closes) end it after the stages under way, a second one at once. SIGUSR1
stops the stream and leaves the panel (where there is none, all ends), SIGUSR2 starts the stream, SIGRTMIN starts it
anew with the configuration as it then is.
"""

import signal
from collections.abc import Callable

from contimg.errors import ContimgError
from workers.service.signals import RESTART_STREAM, START_STREAM, STOP_STREAM
from workers.service.supervisor import Supervisor

ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_ALL = ENDING | {STOP_STREAM, START_STREAM, RESTART_STREAM}


def run_until_told(
    supervisor: Supervisor,
    look: Callable[[], bool] = lambda: True,
    leave: Callable[[], None] = lambda: None,
) -> None:
    """Start, then tick and `look` four times a second until SIGTERM, Ctrl-C or a look that says False; then stop.

    `leave` is called when the stop begins. Signals are waited for, not handled, so a Ctrl-C raises no
    KeyboardInterrupt in here.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
    try:
        supervisor.start()
        try:
            while look():
                told = _next(0.25)
                if told in ENDING or (told == STOP_STREAM and not supervisor.has_more_than_the_stream):
                    return
                if told is not None:
                    _obey(supervisor, told)
                supervisor.tick()
        finally:
            try:
                leave()
            finally:
                supervisor.stop(hurry=lambda: _next(0) in ENDING)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _next(wait_s: float) -> signal.Signals | None:
    found = signal.sigtimedwait(_ALL, wait_s)
    return None if found is None else signal.Signals(found.si_signo)


def _obey(supervisor: Supervisor, told: signal.Signals) -> None:
    if told in (STOP_STREAM, RESTART_STREAM):
        supervisor.stop_stream(hurry=_is_told_to_end)
    if told in (START_STREAM, RESTART_STREAM) and supervisor.stream != "running":
        try:
            supervisor.start_stream()
        except ContimgError as error:
            supervisor.tell(f"the stream did not start: {error}", "error")
            supervisor.stop_stream(limit_s=0)


def _is_told_to_end() -> bool:
    """Whether an end is waiting to be taken from the queue of signals."""
    return bool(signal.sigpending() & ENDING)
