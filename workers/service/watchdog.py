"""Processes that hang: those of the supervisor's children are found here, the producer is reported to systemd.

Messages to systemd: ready after the first scan of the incoming directory, alive after each successful scan.
"""

import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil
from sqlalchemy.exc import SQLAlchemyError

from contimg.common.units import format_utc
from contimg.settings import scan_limit_s
from workers.service.child import Child


def notify_systemd(text: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send lines in the format of sd_notify(3) to NOTIFY_SOCKET.

    Parameters
    ----------
    text : lines `NAME=value`, separated by newlines.
    environ : environment with NOTIFY_SOCKET, where systemd sets it.

    Returns
    -------
    bool
        Whether they were sent; False without a socket or a listener.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(text.encode(), address)
        except OSError:
            return False
    return True


class ScanWatchdog:
    """Reports each new successful scan to systemd, which restarts the stream when reports fail to appear.

    Parameters
    ----------
    last_scan : returns the time of the last successful scan, seconds since 1970, or None.
    poll_interval_s : time between two scans, s; the first report sets the watchdog's timeout to `scan_limit_s` of it,
        whatever WatchdogSec of the unit is.
    environ : environment with NOTIFY_SOCKET and WATCHDOG_USEC, where systemd sets them.
    """

    def __init__(
        self, last_scan: Callable[[], float | None], poll_interval_s: float, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._last_scan = last_scan
        self._environ = environ
        self._is_enabled = bool(environ.get("NOTIFY_SOCKET"))
        self._limit_s = scan_limit_s(poll_interval_s)
        self._reported: float | None = None
        self._reported = self._read()  # of an earlier process: only a later scan counts
        self._is_ready = False

    def tick(self) -> None:
        """Report a new scan; call it about every second."""
        scanned_at = self._read()
        if scanned_at is None or scanned_at == self._reported:
            return
        self._reported = scanned_at
        lines = [f"STATUS=last scan at {format_utc(scanned_at, '%H:%M:%SZ')}", "WATCHDOG=1"]
        if not self._is_ready:
            lines = ["READY=1", *lines]
            if self._environ.get("WATCHDOG_USEC"):
                lines.append(f"WATCHDOG_USEC={self._limit_s * 1e6:.0f}")
        self._is_ready = notify_systemd("\n".join(lines), self._environ)

    def _read(self) -> float | None:
        if not self._is_enabled:
            return None
        try:
            return self._last_scan()
        except SQLAlchemyError:  # logged by the producer
            return self._reported


@dataclass(frozen=True)
class HungProcess:
    """A process that does not progress.

    Attributes
    ----------
    child : child of the supervisor that it is, or belongs to.
    pids : the process and its descendants; the process is the first.
    silent_s : time since it progressed last, s.
    is_stopped : whether it was stopped by a signal.
    """

    child: Child
    pids: tuple[int, ...]
    silent_s: float
    is_stopped: bool

    @property
    def name(self) -> str:
        """The process in a message."""
        name, pid = self.child.plan.name, self.pids[0]
        return f"{name} (pid {pid})" if pid == self.child.pid else f"process {pid} of {name}"

    def kill(self) -> None:
        """Kill the process; its parent starts another. It is reported again if it has not ended after the limit."""
        if self.pids[0] == self.child.pid:
            self.child.kill_process()
            self.child.reset_silence()
        with suppress(psutil.NoSuchProcess):
            psutil.Process(self.pids[0]).kill()


class HangDetector:
    """Finds hung processes: stopped ones, and workers whose event loop does not run although the broker answers.

    Times are counted on this process's own clock, so that a machine that was suspended has no hung process.

    Parameters
    ----------
    limit_s : time without progress after which a process is hung, s.
    is_broker_up : returns whether the broker answers; a worker that waits for it is not hung.
    """

    def __init__(self, limit_s: float, is_broker_up: Callable[[], bool]) -> None:
        self._limit_s = limit_s
        self._is_broker_up = is_broker_up
        self._stopped_since: dict[tuple[int, float], float] = {}

    def find(self, children: Iterable[Child]) -> list[HungProcess]:
        """Return the processes that are hung now; call it every few seconds.

        Parameters
        ----------
        children : children of the supervisor.
        """
        now, stopped_since, hung = time.monotonic(), {}, []
        for child in children:
            for process in _tree(child.pid):
                with suppress(psutil.NoSuchProcess):
                    if process.status() != psutil.STATUS_STOPPED:
                        continue
                    key = (process.pid, process.create_time())
                    stopped_since[key] = since = self._stopped_since.get(key, now)
                    if now - since > self._limit_s:
                        hung.append(HungProcess(child, _pids(process.pid), now - since, is_stopped=True))
            silent_s = child.silent_s()
            if silent_s > self._limit_s / 2 and not self._is_broker_up():
                child.reset_silence()
            elif silent_s > self._limit_s and child.pid not in {process.pids[0] for process in hung}:
                hung.append(HungProcess(child, _pids(child.pid), silent_s, is_stopped=False))
        self._stopped_since = stopped_since
        return hung


def _tree(pid: int | None) -> list[psutil.Process]:
    """A process and its descendants; none when it has ended."""
    if pid is None:
        return []
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _pids(pid: int | None) -> tuple[int, ...]:
    return tuple(process.pid for process in _tree(pid)) or (pid or 0,)
