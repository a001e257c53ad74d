"""One table of file systems: what the watcher, the liveness files, the doctor and the staging rely on."""

from pathlib import Path

import psutil
import pytest

from contimg.common.files.filesystems import FileSystem, file_system


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "ext4"),
        ("/data/incoming", "nfs4"),
        ("/data/incoming/not/yet/there", "nfs4"),
        ("/mnt/a b", "fuse.sshfs"),
        ("/over", "overlay"),
        ("/database", "ext4"),
    ],
)
def test_file_system_is_the_deepest_and_last_mount(tmp_path, monkeypatch, path, name):
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    (tmp_path / "self").mkdir()
    (tmp_path / "filesystems").write_text("\text4\n")
    (tmp_path / "self" / "mounts").write_text(
        "/dev/vda / ext4 rw 0 0\nserver:/export /data nfs4 rw 0 0\nhost:/ /mnt/a\\040b fuse.sshfs rw 0 0\n"
        "/dev/vdb /over xfs rw 0 0\nover /over overlay rw 0 0\n",
        "utf-8",
    )
    assert file_system(Path(path)).name == name


def test_file_system_is_unknown_without_mount_table(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "none"))
    assert file_system(tmp_path).name == "unknown"


@pytest.mark.parametrize(
    ("name", "is_local", "is_network", "raises_events"),
    [
        ("ext4", True, False, True),
        ("tmpfs", True, False, True),
        ("nfs4", False, True, False),
        ("afs", False, True, False),
        ("fuse.sshfs", False, True, False),
        ("vboxsf", False, False, False),
        ("virtiofs", False, False, False),
        ("fuse.grpcfuse", False, False, False),
        ("fuse.anything", False, False, False),
        ("neverheardof", False, False, True),
    ],
)
def test_file_system_properties(name, is_local, is_network, raises_events):
    kind = FileSystem(name)
    assert (kind.is_local, kind.is_network, kind.raises_events) == (is_local, is_network, raises_events)
    assert kind.is_in_memory == (name == "tmpfs")


def test_file_systems_are_listed_once():
    root = Path(__file__).parents[2]
    sources = [path for package in ("contimg", "workers", "web") for path in (root / package).rglob("*.py")]
    names = ('"ext4"', '"nfs4"', '"vboxsf"', '"ramfs"', '"virtiofs"')
    listing = [path.name for path in sources if any(name in path.read_text(encoding="utf-8") for name in names)]
    assert listing in ([], ["filesystems.py"])
