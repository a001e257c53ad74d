import os
import time
from pathlib import Path

import pytest

from contimg.common.errors import Transient
from workers.producer.scanner import EMPTY, FOREIGN, SETTLED_AFTER_S, IncomingScanner

NAME = "2026-02-22T23:17:51_sb03.hdf5"


def write(path: Path, content: bytes = b"data", age_s: float = 60.0) -> Path:
    path.write_bytes(content)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


@pytest.fixture
def incoming(tmp_path) -> IncomingScanner:
    return IncomingScanner(tmp_path)


def test_file_is_yielded_until_registered(incoming, tmp_path):
    path = write(tmp_path / NAME)
    (first,) = incoming.scan()
    assert (first.path, first.size) == (path, 4)
    assert (first.subband, first.stamp) == (3, "2026-02-22T23:17:51")
    (again,) = incoming.scan()
    assert again == first
    incoming.mark_registered(first)
    assert list(incoming.scan()) == []


def test_registered_file_is_yielded_after_change(incoming, tmp_path):
    path = write(tmp_path / NAME)
    incoming.mark_registered(next(incoming.scan()))
    write(path, b"other data", age_s=30)
    (changed,) = incoming.scan()
    assert changed.size == 10


def test_file_is_yielded_after_return(incoming, tmp_path):
    path = write(tmp_path / NAME)
    file = next(incoming.scan())
    incoming.mark_registered(file)
    path.unlink()
    assert list(incoming.scan()) == []
    write(path)
    os.utime(path, (file.mtime, file.mtime))
    assert len(list(incoming.scan())) == 1


@pytest.mark.parametrize(
    "name",
    ["2026-02-22T23:17:51_sb03_incomplete.hdf5", f".{NAME}.Xy12", f"{NAME}.part", f"{NAME}.tmp", "copy.filepart"],
)
def test_unfinished_names_are_ignored(incoming, tmp_path, name):
    write(tmp_path / name)
    assert list(incoming.scan()) == []
    assert incoming.check(name, finished=True) is None


def test_directories_and_dangling_links_are_ignored(incoming, tmp_path):
    (tmp_path / "truth").mkdir()
    (tmp_path / NAME).symlink_to(tmp_path / "nowhere")
    assert list(incoming.scan()) == []
    assert incoming.check("truth", finished=True) is None


def test_link_to_file_is_yielded(incoming, tmp_path):
    target = write(tmp_path / ".store")
    (tmp_path / NAME).symlink_to(target)
    assert [file.size for file in incoming.scan()] == [4]


@pytest.mark.parametrize("name", ["notes.txt", "garbage.hdf5", "2026-02-30T00:00:00_sb00.hdf5", "X" + NAME])
def test_foreign_names_are_rejected(incoming, tmp_path, name):
    write(tmp_path / name)
    assert [file.reason for file in incoming.scan()] == [FOREIGN]


def test_empty_file_is_rejected(incoming, tmp_path):
    write(tmp_path / NAME, b"")
    assert [file.reason for file in incoming.scan()] == [EMPTY]


def test_file_being_written_is_not_yielded(incoming, tmp_path):
    path = write(tmp_path / NAME, age_s=0)
    assert list(incoming.scan()) == []
    assert incoming.check(NAME, finished=False) is None
    assert incoming.check(NAME, finished=True).path == path, "its writer has closed it"


def test_file_from_clock_ahead_is_yielded_when_settled(incoming, tmp_path):
    write(tmp_path / NAME, age_s=-3600)
    assert list(incoming.scan()) == []
    time.sleep(SETTLED_AFTER_S + 0.1)
    assert len(list(incoming.scan())) == 1


def test_missing_directory_is_transient(incoming, tmp_path):
    incoming = IncomingScanner(tmp_path / "mount")
    with pytest.raises(Transient, match="mount: No such file or directory"):
        list(incoming.scan())
    (tmp_path / "mount").mkdir()
    write(tmp_path / "mount" / NAME)
    assert len(list(incoming.scan())) == 1
