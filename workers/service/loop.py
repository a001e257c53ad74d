"""The main loop of the supervisor's process, in the foreground or in the background.

SIGTERM, SIGINT and SIGHUP (a terminal that closes) stop it after the stages under way, a second one immediately.
SIGUSR1 stops the stream and keeps the panel (without a panel everything stops), SIGUSR2 starts the stream, SIGRTMIN
restarts it with the present configuration.
"""

import signal
from collections.abc import Callable

from contimg.common.errors import ContimgError
from contimg.store import Store
from workers.service.display import Display
from workers.service.records import RESTART_STREAM, START_STREAM, STOP_STREAM
from workers.service.supervisor import Stream, Supervisor

_END_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_SIGNALS = _END_SIGNALS | {STOP_STREAM, START_STREAM, RESTART_STREAM}


def run_until_stopped(supervisor: Supervisor, show: Callable[[Store], Display] | None = None) -> None:
    """Start the service, attend to it four times a second until a signal ends it, and stop it.

    Signals are waited for, not handled: Ctrl-C raises no KeyboardInterrupt here.

    Parameters
    ----------
    supervisor : the supervisor, not started.
    show : returns the display of a store; called once the service runs. None: nothing is displayed.

    Raises
    ------
    Misconfigured, Transient : the service could not be started; no process is left running.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        supervisor.start()
        display = None
        try:
            display = show(supervisor.store) if show else None
            while True:
                if display is not None:
                    display.refresh()
                command = _wait_for_signal(0.25)
                if command in _END_SIGNALS or (command == STOP_STREAM and not supervisor.has_extras):
                    return
                if command is not None:
                    _control_stream(supervisor, command)
                supervisor.tick()
        finally:
            try:
                if display is not None:
                    display.close()
            finally:
                supervisor.stop(is_urgent=lambda: _wait_for_signal(0) in _END_SIGNALS)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _wait_for_signal(limit_s: float) -> signal.Signals | None:
    info = signal.sigtimedwait(_SIGNALS, limit_s)
    return None if info is None else signal.Signals(info.si_signo)


def _control_stream(supervisor: Supervisor, command: signal.Signals) -> None:
    if command in (STOP_STREAM, RESTART_STREAM):
        # An end signal stays pending for the main loop.
        supervisor.stop_stream(is_urgent=lambda: bool(signal.sigpending() & _END_SIGNALS))
    if command in (START_STREAM, RESTART_STREAM) and supervisor.stream is not Stream.RUNNING:
        try:
            supervisor.start_stream()
        except ContimgError as error:
            supervisor.record_event(f"the stream did not start: {error}", "error")
            supervisor.stop_stream(limit_s=0)
