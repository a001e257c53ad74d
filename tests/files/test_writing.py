"""A file that is replaced is the old one or the new one, and no temporary file is left."""

import errno
import os

import pytest

from contimg.common.files.writing import atomic_file, create_empty, write_text


def test_write_text_replaces_file_and_keeps_its_mode(tmp_path):
    path = tmp_path / "record.json"
    write_text(path, "old")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    write_text(path, "µJy", durable=True)
    assert path.read_text(encoding="utf-8") == "µJy"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_file_keeps_old_file_after_error(tmp_path):
    path = tmp_path / "record.json"
    write_text(path, "old")
    with pytest.raises(TypeError), atomic_file(path) as file:
        file.writelines([b"half", None])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "nowhere" / "record.json", "text")


@pytest.mark.parametrize("code", [errno.EPERM, errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_file_whose_owner_cannot_be_set_is_written(code, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    path = tmp_path / "record.json"
    write_text(path, "old")
    monkeypatch.setattr(os, "chown", refuse)
    write_text(path, "new")
    assert path.read_text() == "new"


def test_empty_file_is_created_once_and_never_replaces_another(tmp_path):
    path = tmp_path / "store.sqlite3"
    create_empty(path, mode=0o640)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"", 0o640)
    path.write_bytes(b"tables")
    create_empty(path)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"tables", 0o640)
