"""The report of a night is written by itself after the end of the day, once, also after a kill."""

import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from night_steps import FIRST_S, fill_nights
from store_play import Clock

from contimg.instrument.time import DAY_S
from contimg.settings import NotificationSettings
from contimg.store import Store
from workers.housekeeping.nights import CHECK_S, DELAY_S, write_due_reports
from workers.notifications import Notifier

DAY = "2026-02-22"
KILLED = """
    import os, signal, sys
    from pathlib import Path
    from contimg.store import Store
    from contimg.store.survey.nights.nights import Nights
    from workers.housekeeping.nights import write_due_reports

    Nights.record_report = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    write_due_reports(Store.open(sys.argv[1], clock=lambda: float(sys.argv[3])), Path(sys.argv[2]))
"""


@pytest.fixture
def clock() -> Clock:
    return Clock(FIRST_S + DAY_S - 60)


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """One night, a minute before its end."""
    opened = Store.open(tmp_path / "store.sqlite3", clock=clock)
    fill_nights(opened, 1, files=False)
    yield opened
    opened.close()


def lines_of(store: Store) -> list[str]:
    return [row.text for row in store.events.last(50) if row.rule == "night"]


def test_report_is_written_within_five_minutes_of_the_day(store: Store, clock: Clock, tmp_path: Path) -> None:
    assert DELAY_S + 2 * CHECK_S < 300
    assert write_due_reports(store, tmp_path) == ()
    clock.now = FIRST_S + DAY_S + DELAY_S
    assert write_due_reports(store, tmp_path) == (DAY,)
    page = tmp_path / "nights" / DAY / "night.html"
    written = page.read_bytes()
    assert json.loads(page.with_suffix(".json").read_text())["imaged_tiles"] == 265
    clock.advance(3600)
    assert write_due_reports(store, tmp_path) == ()
    assert page.read_bytes() == written
    (line,) = lines_of(store)
    assert "268 of 280 tiles" in line
    assert str(page) in line


def test_killed_between_files_and_row(store: Store, clock: Clock, tmp_path: Path) -> None:
    clock.now = FIRST_S + DAY_S + DELAY_S
    arguments = [str(tmp_path / "store.sqlite3"), str(tmp_path), str(clock.now)]
    outcome = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), *arguments], check=False)
    assert outcome.returncode == -signal.SIGKILL
    assert (tmp_path / "nights" / DAY / "night.html").is_file()
    assert store.nights.newest_report() is None
    assert lines_of(store) == []
    assert write_due_reports(store, tmp_path) == (DAY,)
    assert write_due_reports(store, tmp_path) == ()
    assert (store.nights.newest_report(), len(lines_of(store))) == (DAY, 1)


def test_days_of_an_outage_of_the_service_are_written_afterwards(store: Store, clock: Clock, tmp_path: Path) -> None:
    clock.now = FIRST_S + 3 * DAY_S + 3600
    assert write_due_reports(store, tmp_path) == (DAY, "2026-02-23", "2026-02-24")
    clock.now = FIRST_S + 30 * DAY_S
    assert write_due_reports(store, tmp_path) == (), "nothing has been observed for weeks"


def test_disk_that_refuses_the_report(store: Store, clock: Clock, tmp_path: Path) -> None:
    clock.now = FIRST_S + DAY_S + DELAY_S
    (tmp_path / "nights").write_text("a file is in the way")
    with pytest.raises(OSError, match="nights"):
        write_due_reports(store, tmp_path)
    assert store.nights.newest_report() is None
    (tmp_path / "nights").unlink()
    assert write_due_reports(store, tmp_path) == (DAY,)


def test_line_goes_to_every_recipient(store: Store, clock: Clock, tmp_path: Path) -> None:
    sent, script = tmp_path / "sent.jsonl", tmp_path / "recipient.py"
    script.write_text(f"import sys; open({str(sent)!r}, 'a').write(sys.stdin.read() + chr(10))")
    settings = NotificationSettings(notify_command=f"error={sys.executable} {script}")
    notifier = Notifier(store, settings, clock=clock)
    store.events.add("group done")
    clock.now = FIRST_S + DAY_S + DELAY_S
    write_due_reports(store, tmp_path)
    notifier.send_new()
    notifier.send_new()
    (message,) = map(json.loads, sent.read_text().splitlines())
    assert (message["rule"], message["level"]) == ("night", "info")
