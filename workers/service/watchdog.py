"""What systemd is told: ready when the incoming directory has been scanned, alive at each scan that succeeds."""

import os
import socket
from collections.abc import Callable, Mapping

from sqlalchemy.exc import SQLAlchemyError

from contimg.settings import scan_limit_s
from contimg.units import format_utc


def notify(text: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send lines of sd_notify(3) to whoever started this process; False when nobody asked for them."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(text.encode(), address)
        except OSError:  # nobody listens any more
            return False
    return True


class ScanWatchdog:
    """Passes each new success of a scan on to systemd; silence is what makes it start the stream again.

    `last_scan`: epoch seconds of the last success, or None. `poll_interval_s`: time between scans, s; the first message
    sets the watchdog's timeout to `scan_limit_s`, whatever the unit's WatchdogSec is.
    """

    def __init__(
        self,
        last_scan: Callable[[], float | None],
        poll_interval_s: float,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._last_scan = last_scan
        self._environ = environ
        self._wanted = bool(environ.get("NOTIFY_SOCKET"))
        self._limit_s = scan_limit_s(poll_interval_s)
        self._passed_on: float | None = None
        self._passed_on = self._look()  # of an earlier process; only what comes after it counts
        self._ready = False

    def tick(self) -> None:
        """Call it every second or so."""
        if not self._wanted:
            return
        scanned = self._look()
        if scanned is None or scanned == self._passed_on:
            return
        self._passed_on = scanned
        moment = format_utc(scanned, "%H:%M:%SZ")
        lines = [f"STATUS=last scan at {moment}", "WATCHDOG=1"]
        if not self._ready:
            lines = ["READY=1", *lines]
            if self._environ.get("WATCHDOG_USEC"):
                lines.append(f"WATCHDOG_USEC={self._limit_s * 1e6:.0f}")
        self._ready = notify("\n".join(lines), self._environ)

    def _look(self) -> float | None:
        if not self._wanted:
            return None
        try:
            return self._last_scan()
        except SQLAlchemyError:  # the producer says what ails the store
            return self._passed_on
