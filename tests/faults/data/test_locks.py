"""A Measurement Set, caltable or file that another process has locked: Transient within the limit, with its id."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from casacore.tables import table

from contimg.common.errors import Transient
from contimg.common.files import locks
from contimg.formats.caltables.solutions import read_solutions
from contimg.formats.ms.info import read_ms_info
from contimg.formats.ms.revision import revised
from contimg.formats.tables import open_table
from contimg.settings import Settings, load, save
from contimg.store import Store, engine
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.calibrate.run import calibrate
from contimg.tile.convert import convert
from contimg.tile.flag.run import flag
from contimg.tile.image import ImageOptions, image
from contimg.tile.selfcal.options import SelfcalOptions
from contimg.tile.selfcal.run import selfcal

LIMIT_S = 1.0
CASA_SESSION = (
    "from casacore.tables import table; main = table({path!r}, readonly=False, lockoptions='permanent', ack=False)"
)
HDF5_WRITER = "import h5py; file = h5py.File({path!r}, 'r+')"
FLOCK = "import fcntl; file = open({path!r}, 'r+'); fcntl.flock(file, fcntl.LOCK_EX)"


@contextmanager
def locked_by(script, path):
    """Another process that holds a lock and idles; gives its id."""
    script = f"{script.format(path=str(path))}\nprint('locked', flush=True)\nimport time; time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "locked\n"
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(autouse=True)
def _short_limit(monkeypatch):
    monkeypatch.setattr(locks, "LOCK_LIMIT_S", LIMIT_S)


@pytest.fixture(scope="module")
def ms(drift_sim_files, tmp_path_factory):
    return convert(drift_sim_files, tmp_path_factory.mktemp("locked") / "2026-02-22T23:17:51.ms").path


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (["{device}:{inode}"], "process 1 "),
        (["ff:07:{inode}", "{device}:{inode}"], "process 2 "),
        (["ff:07:{inode}", "{device}:1"], "a process that is not known here"),
        (["ff:07:{inode}", "ff:07:1"], "perhaps process 1 "),
        (["ff:07:1"], "a process that is not known here"),
        ([], "a process that is not known here"),
    ],
)
def test_holder_is_of_the_same_device(listed, expected, tmp_path, monkeypatch):
    status = tmp_path.stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    files = [name.format(device=device, inode=status.st_ino) for name in listed]
    lines = [f"{pid}: FLOCK  ADVISORY  WRITE {pid} {name} 0 EOF\n" for pid, name in enumerate(files, start=1)]
    (tmp_path / "locks").write_text("".join(lines))
    monkeypatch.setattr(locks, "LOCKS", tmp_path / "locks")
    assert locks.describe_holders(tmp_path).startswith(expected)


def check(action, path, script, name=None):
    with locked_by(script, path) as pid:
        start = time.monotonic()
        with pytest.raises(Transient) as caught:
            action()
        assert time.monotonic() - start < 5 * LIMIT_S
    assert (name or path.name) in str(caught.value)
    assert str(pid) in str(caught.value)


MS_ACTIONS = {
    "read": lambda ms, _: read_ms_info(ms),
    "calibrate": lambda ms, tmp: calibrate(ms, [], tmp / "calibration", CalibrateOptions()),
    "image": lambda ms, tmp: image(ms, tmp / "images", ImageOptions()),
    "selfcal": lambda ms, _: selfcal(ms, SelfcalOptions(), ImageOptions()),
}


@pytest.mark.parametrize("action", MS_ACTIONS)
def test_locked_measurement_set_is_transient(action, ms, tmp_path):
    check(lambda: MS_ACTIONS[action](ms, tmp_path), ms, CASA_SESSION)
    assert not list(ms.parent.glob("*.writing-*"))


def test_lock_taken_between_two_steps_is_transient(ms):
    info = read_ms_info(ms)
    check(lambda: flag(info), ms, CASA_SESSION)


@pytest.mark.parametrize("subtable", ["FIELD", "ANTENNA", "POINTING"])
def test_locked_subtable_is_transient(subtable, ms):
    check(lambda: read_ms_info(ms), ms / subtable, CASA_SESSION)


def test_reader_of_the_same_table_is_no_obstacle(ms):
    reader = CASA_SESSION.replace("readonly=False", "readonly=True")
    with locked_by(reader, ms):
        assert read_ms_info(ms).rows


def test_lock_released_in_time_is_waited_for(ms, monkeypatch):
    monkeypatch.setattr(locks, "LOCK_LIMIT_S", 30.0)
    script = CASA_SESSION + "\nprint('locked', flush=True)\nimport time; time.sleep(2); main.close()"
    with locked_by(script, ms):
        assert read_ms_info(ms).rows


def test_failed_revision_of_a_locked_measurement_set_leaves_it(ms):
    before = sorted(path.name for path in ms.iterdir())

    def revise():
        with revised(ms, ("FLAG",)):
            pass

    check(revise, ms, CASA_SESSION)
    assert sorted(path.name for path in ms.iterdir()) == before


def test_locked_caltable_is_transient(tmp_path):
    caltable = tmp_path / "a.bcal"
    with table(str(caltable), {}, ack=False) as main:
        main.putinfo({"type": "Calibration", "subType": "B Jones", "readme": ""})
    check(lambda: read_solutions(caltable), caltable, CASA_SESSION)


def test_table_in_a_directory_without_write_permission_opens(ms, tmp_path):
    copy = Path(shutil.copytree(ms, tmp_path / "archived.ms"))
    copy.chmod(0o555)
    with open_table(copy) as main:
        assert main.nrows()
    copy.chmod(0o755)


def test_locked_subband_file_is_transient(drift_sim_files, tmp_path):
    files = {subband: Path(shutil.copy(path, tmp_path)) for subband, path in drift_sim_files.items()}
    check(lambda: convert(files, tmp_path / "a.ms"), files[7], HDF5_WRITER)


def test_locked_history_of_the_configuration_is_transient(tmp_path):
    settings = Settings(state_dir=tmp_path / "state")
    save(settings, {"output_dir": str(tmp_path / "products"), "input_dir": str(tmp_path / "incoming")})
    from contimg.settings.changes import HISTORY, change

    config = load(settings)
    change(settings, {"poll_interval": config.poll_interval + 1}, "the test")
    check(
        lambda: change(settings, {"poll_interval": config.poll_interval}, "the test"),
        settings.state_dir / HISTORY,
        FLOCK,
    )


def test_locked_sqlite_store_is_transient(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", LIMIT_S)
    store = Store.open(tmp_path / "store.sqlite3")
    writer = (
        "import sqlite3; connection = sqlite3.connect({path!r}, isolation_level=None); "
        "connection.execute('BEGIN IMMEDIATE')"
    )
    check(lambda: store.events.add("an event"), tmp_path / "store.sqlite3", writer)
    store.events.add("an event")
    store.close()
