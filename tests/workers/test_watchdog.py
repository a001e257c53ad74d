"""What systemd hears: a socket of our own stands in its place and reads the datagrams as it would."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from workers.service.watchdog import ScanWatchdog, notify_systemd


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def received(ear: socket.socket) -> list[str]:
    """Return the lines received so far; of a status only the time."""
    lines = []
    while True:
        try:
            lines += ear.recv(4096).decode().splitlines()
        except BlockingIOError:
            return [line.split()[-1] if line.startswith("STATUS=") else line for line in lines]


def environ_of(ear: socket.socket, **further: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": ear.getsockname(), **further}


def test_ready_at_the_first_scan_then_alive_at_each(ear: socket.socket) -> None:
    scans = [100.0]  # what an earlier process left in the store
    watchdog = ScanWatchdog(lambda: scans[-1], 5.0, environ_of(ear, WATCHDOG_USEC="120000000"))
    watchdog.tick()
    assert received(ear) == []
    scans.append(101.0)
    watchdog.tick()
    assert received(ear) == ["READY=1", "00:01:41Z", "WATCHDOG=1", "WATCHDOG_USEC=30000000"]
    watchdog.tick()
    assert received(ear) == []  # no new success, no sign of life
    scans.append(106.0)
    watchdog.tick()
    assert received(ear) == ["00:01:46Z", "WATCHDOG=1"]


def test_timeout_of_systemd_follows_the_scan_limit(ear: socket.socket) -> None:
    scans: list[float | None] = [None]
    watchdog = ScanWatchdog(lambda: scans[-1], 60.0, environ_of(ear, WATCHDOG_USEC="120000000"))
    scans.append(1.0)
    watchdog.tick()
    assert "WATCHDOG_USEC=360000000" in received(ear)


def test_no_report_without_a_store(ear: socket.socket) -> None:
    def away() -> float | None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    watchdog = ScanWatchdog(away, 5.0, environ_of(ear))
    watchdog.tick()
    assert received(ear) == []


def test_no_report_without_a_socket() -> None:
    def never() -> float | None:
        raise AssertionError("the store was asked for nothing")

    ScanWatchdog(never, 5.0, {}).tick()
    assert not notify_systemd("READY=1", {})


def test_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0contimg-test-notify")
        assert notify_systemd("READY=1", {"NOTIFY_SOCKET": "@contimg-test-notify"})
        assert listening.recv(100) == b"READY=1"
