"""Backup and restore on each database, while others write; what comes back is what was there at one moment."""

import re
import sqlite3
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from light_curve_steps import Epoch, commit_epoch, statistics_rows
from sqlalchemy import text
from store_play import Telescope

from contimg.cli import contimg
from contimg.common.errors import BadInput, ContimgError, Misconfigured
from contimg.settings import Settings, save
from contimg.store import Stage, State, Store, database
from contimg.store.backup import back_up, restore
from contimg.store.backup.archive import unpack


@pytest.fixture
def settings(location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = Settings(state_dir=tmp_path / "state")
    settings.state_dir.mkdir(exist_ok=True)
    monkeypatch.setenv("CONTIMG_QUEUE_DB", location)
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(settings.state_dir))
    save(settings, {"poll_interval": 7.0})
    return settings


def filled(location: str, groups: int) -> Store:
    store = Store.open(location)
    telescope = Telescope(store)
    for group in range(groups):
        telescope.whole_group(group)
        commit_epoch(store, Epoch(day=group), {"a": (0.5, 0.01), "b": (0.2 + 0.1 * group, 0.01)})
    return store


def everything(store: Store) -> tuple[object, ...]:
    groups = store.files.groups(limit=1000)
    curves = tuple(store.sky.light_curve(source.id) for source in store.sky.sources().sources)
    files = tuple(store.files.of_group(group.id) for group in groups)
    return groups, files, store.events.last(1000), statistics_rows(store), curves


def test_restore_returns_state_of_backup(location: str, settings: Settings, tmp_path: Path) -> None:
    store = filled(location, 3)
    before = everything(store)
    backup = back_up(settings, tmp_path / "backup.tar.gz")
    assert backup.rows["groups"] == 3
    assert unpack(tmp_path / "backup.tar.gz", tmp_path / "unpacked") == backup
    assert (tmp_path / "backup.tar.gz").stat().st_mode & 0o077 == 0
    Telescope(store).whole_group(9)
    save(settings, {"poll_interval": 1.0})
    store.close()

    restore(settings, tmp_path / "backup.tar.gz", force=True)
    store = Store.open(location)
    assert everything(store) == before
    assert '"poll_interval": 7.0' in settings.config_path.read_text()
    store.events.add("numbers go on")  # a sequence that stood still would give a number twice
    commit_epoch(store, Epoch(day=9), {"c": (0.5, 0.01)})
    Telescope(store).whole_group(9)
    lease = store.leases.claim(before[0][0].id, Stage.CONVERT, "a worker")
    store.leases.release(lease)
    store.close()


def test_backup_during_writes_is_consistent(location: str, settings: Settings, tmp_path: Path) -> None:
    """Each whole group is 16 files; the writer commits file by file, the backup must not see half a transaction."""
    store = filled(location, 1)
    stop = threading.Event()

    def write() -> None:
        telescope, number = Telescope(store), 1
        while not stop.is_set():
            telescope.whole_group(number)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        backups = [back_up(settings, tmp_path / f"backup-{number}.tar.gz") for number in range(5)]
    finally:
        stop.set()
        writer.join()
    store.close()
    assert backups[0].rows["groups"] < backups[-1].rows["groups"]  # it did go on
    for number in range(5):
        with tarfile.open(tmp_path / f"backup-{number}.tar.gz") as tar:
            (tmp_path / "contimg.sqlite3").write_bytes(tar.extractfile("contimg.sqlite3").read())
        with sqlite3.connect(tmp_path / "contimg.sqlite3") as copy:
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert copy.execute("PRAGMA foreign_key_check").fetchall() == []
            # a group becomes pending in the transaction of its last file
            sizes = (
                "SELECT g.key, count(f.id) FROM jobs g JOIN subband_files f ON f.group_id = g.key "
                "WHERE g.state = ? GROUP BY 1"
            )
            whole = dict(copy.execute(sizes, (State.PENDING,)).fetchall())
            assert whole
            assert set(whole.values()) == {16}


def test_sqlite_backup_restores_into_postgresql(
    settings: Settings, made_sqlite: Path, made_postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = str(tmp_path / "small.sqlite3")
    monkeypatch.setenv("CONTIMG_QUEUE_DB", small)
    store = filled(small, 2)
    before = everything(store)
    store.close()
    back_up(settings, tmp_path / "backup.tar.gz")
    monkeypatch.setenv("CONTIMG_QUEUE_DB", made_postgres)
    restore(settings, tmp_path / "backup.tar.gz", force=True)
    store = Store.open(made_postgres)
    assert everything(store) == before
    store.close()
    with pytest.raises(Misconfigured, match="--force"):
        restore(settings, tmp_path / "backup.tar.gz")


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [damaged, lambda path: path.write_text("not a backup"), Path.unlink])
def test_damaged_backup_is_refused(location: str, settings: Settings, tmp_path: Path, damage) -> None:
    filled(location, 1).close()
    archive = tmp_path / "backup.tar.gz"
    back_up(settings, archive)
    store = Store.open(location)
    Telescope(store).whole_group(5)
    before = everything(store)
    damage(archive)
    with pytest.raises(BadInput, match=r"backup\.tar\.gz: "):
        restore(settings, archive, force=True)
    assert everything(store) == before
    store.close()


def test_commands_refuse_newer_store(location: str, settings: Settings, tmp_path: Path) -> None:
    store = filled(location, 1)
    with store.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    try:
        for command in (["db", "upgrade"], ["status"], ["backup", str(tmp_path / "backup.tar.gz")]):
            refused = CliRunner().invoke(contimg, command).exception
            assert isinstance(refused, ContimgError), command
            assert "9999" in str(refused)
            assert "\n" not in str(refused)
        assert not list(tmp_path.glob("backup*"))
    finally:
        with store.database.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": database.HEAD})
        store.close()


def test_restore_refuses_running_stream(location: str, settings: Settings, tmp_path: Path) -> None:
    store = filled(location, 1)
    back_up(settings, tmp_path / "backup.tar.gz")
    store.activity.beat("producer.scan")  # a producer that scanned just now
    store.close()
    outcome = CliRunner().invoke(contimg, ["restore", str(tmp_path / "backup.tar.gz"), "--force"])
    assert isinstance(outcome.exception, Misconfigured)
    assert "stop" in str(outcome.exception)


@pytest.mark.parametrize("ending", [
    "UPDATE control SET changed_at = changed_at - 60",
    "INSERT INTO control (key, value, changed_at) SELECT 'beat.producer.ended', '', changed_at + 0.1 FROM control",
], ids=["killed a while ago", "told to end just now"])  # fmt: skip
def test_restore_command_restores_stopped_stream(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 ending: str) -> None:  # fmt: skip
    """It looks at the store itself, to see whether the stream runs, and must not be in its own way."""
    location = str(tmp_path / "store.sqlite3")
    monkeypatch.setenv("CONTIMG_QUEUE_DB", location)
    store = filled(location, 2)
    store.activity.beat("producer.scan")
    store.close()
    back_up(settings, tmp_path / "backup.tar.gz")
    with closing(sqlite3.connect(location)) as connection, connection:
        assert connection.execute(ending).rowcount == 1
    outcome = CliRunner().invoke(contimg, ["restore", str(tmp_path / "backup.tar.gz")], catch_exceptions=False)
    assert re.fullmatch(r".*\b2 groups\b.*\b0 images\b.*\n", outcome.output)
    assert len(list(tmp_path.glob("store.sqlite3.before-*"))) == 1


def test_restore_refuses_open_store(settings: Settings, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """A worker would go on writing to the file that was put aside."""
    location = str(tmp_path / "open.sqlite3")
    monkeypatch.setenv("CONTIMG_QUEUE_DB", location)
    filled(location, 1).close()
    back_up(settings, tmp_path / "backup.tar.gz")
    with sqlite3.connect(location) as worker:
        worker.execute("SELECT count(*) FROM groups").fetchone()
        with pytest.raises(Misconfigured, match=re.escape(location)):
            restore(settings, tmp_path / "backup.tar.gz")
    worker.close()
    restore(settings, tmp_path / "backup.tar.gz")
    assert len(list(tmp_path.glob("open.sqlite3.before-*"))) == 1
