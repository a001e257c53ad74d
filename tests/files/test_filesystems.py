"""One table of file systems: what the watcher, the liveness files, the doctor and the staging rely on."""

from pathlib import Path

import pytest

from contimg.files.filesystems import FileSystem, file_system


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
def test_the_deepest_and_last_mount_counts(tmp_path, path, name):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/vda / ext4 rw 0 0\nserver:/export /data nfs4 rw 0 0\nhost:/ /mnt/a\\040b fuse.sshfs rw 0 0\n"
        "/dev/vdb /over xfs rw 0 0\nover /over overlay rw 0 0\n",
        "utf-8",
    )
    assert file_system(Path(path), mounts).name == name


def test_without_a_mount_table_it_is_unknown(tmp_path):
    assert file_system(tmp_path, tmp_path / "none").name == "unknown"


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
def test_what_can_be_relied_on(name, is_local, is_network, raises_events):
    kind = FileSystem(name)
    assert (kind.is_local, kind.is_network, kind.raises_events) == (is_local, is_network, raises_events)
    assert kind.is_in_memory == (name == "tmpfs")


def test_no_other_module_lists_file_systems():
    root = Path(__file__).parents[2]
    sources = [path for package in ("contimg", "workers", "web") for path in (root / package).rglob("*.py")]
    names = ('"ext4"', '"nfs4"', '"vboxsf"', '"ramfs"', '"virtiofs"')
    listing = [path.name for path in sources if any(name in path.read_text(encoding="utf-8") for name in names)]
    assert listing in ([], ["filesystems.py"])
