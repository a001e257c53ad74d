"""The directories: there, readable or writable by this very user, with room, on a file system that serves."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py

from contimg.files.filesystems import file_system
from contimg.settings import Settings, StreamingConfig
from workers.doctor.finding import Finding, error, ok, warning

GIGABYTE = 1e9
ENOUGH_GB = {"output_dir": 50.0, "scratch_dir": 10.0, "state_dir": 1.0}
LEAST_GB = 1.0


def directories(settings: Settings, config: StreamingConfig) -> Iterator[Finding]:
    """Each directory of the configuration."""
    yield _incoming(config.input_dir, config.poll_interval)
    yield _written("output_dir", config.output_dir)
    yield _written("scratch_dir", config.scratch_dir)
    yield _written("state_dir", settings.state_dir.absolute())
    if "://" not in config.queue_db and (kind := file_system(Path(config.queue_db))).is_network:
        yield error(
            "state_dir",
            f"{config.queue_db}: SQLite on a network file system ({kind.name}) loses updates",
            "put the state directory on a local disk, or give a PostgreSQL URL in CONTIMG_QUEUE_DB",
        )


def hdf5_locking(incoming: Path) -> Finding:
    """Whether HDF5 can lock the files that it reads there; some network file systems refuse."""
    about = "HDF5 locking"
    remedy = "set CONTIMG_CONVERT_FILE_LOCKING=off: nobody writes to a finished file"
    newest = max(incoming.glob("*.hdf5"), key=lambda path: path.name, default=None) if incoming.is_dir() else None
    if newest is None and not _may(incoming, os.W_OK):
        return ok(about, f"{incoming}: no file there yet to try it on")
    try:
        if newest is not None:
            h5py.File(newest, "r", locking=True).close()
        else:
            with tempfile.NamedTemporaryFile(dir=incoming, prefix=".contimg-doctor-", suffix=".part") as probe:
                h5py.File(probe.name, "w", locking=True).close()
    except OSError as wrong:
        if "lock" in str(wrong):
            return warning(about, f"{incoming}: refused by its file system", remedy)
        return warning(about, f"{newest}: {str(wrong).splitlines()[0]}", "look at that file; it could not be opened")
    return ok(about, f"{incoming}: works")


def _incoming(path: Path, poll_interval_s: float) -> Finding:
    about = "input_dir"
    if not path.is_dir():
        return error(about, f"{path}: no such directory", "make it, or give the one where subband files arrive")
    if not _may(path, os.R_OK | os.X_OK):
        return error(about, f"{path}: uid {os.geteuid()} cannot read it", f"chmod o+rx {path}, or a group of its own")
    kind = file_system(path)
    if not kind.raises_events:
        return warning(
            about,
            f"{path}: {kind.name} raises no events for files that others write",
            f"none is needed: the scan finds them within {poll_interval_s:g} s; lower poll_interval for less delay",
        )
    return ok(about, f"{path}: readable ({kind.name})")


def _written(about: str, path: Path) -> Finding:
    there = path
    while not there.exists():
        there = there.parent
    if not there.is_dir() or not _may(there, os.W_OK | os.X_OK):
        remedy = f"chown {os.geteuid()} {there}, or give another directory"
        return error(about, f"{path}: uid {os.geteuid()} cannot write to {there}", remedy)
    usage = os.statvfs(there)
    free_gb = shutil.disk_usage(there).free / GIGABYTE
    text = f"{path}: {free_gb:.0f} GB free" + ("" if path.exists() else ", will be made")
    if free_gb < LEAST_GB or (usage.f_files and not usage.f_favail):
        return error(about, text if usage.f_favail else f"{path}: no inodes free", "make room; stages fail without")
    if free_gb < ENOUGH_GB[about]:
        return warning(about, text, f"make room: {ENOUGH_GB[about]:g} GB last a few hours at native size")
    return ok(about, text)


def _may(path: Path, how: int) -> bool:
    return os.access(path, how, effective_ids=True)
