"""Messages to systemd: ready after the first scan of the incoming directory, alive after each successful scan."""

import os
import socket
from collections.abc import Callable, Mapping

from sqlalchemy.exc import SQLAlchemyError

from contimg.settings import scan_limit_s
from contimg.units import format_utc


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
