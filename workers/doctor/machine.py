"""The machine: cores, memory, clock, and what the kernel allows."""

import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from contimg.settings import StreamingConfig
from workers.doctor.finding import Finding, error, ok, warning

GIGABYTE = 1e9
LEAST_MEMORY_GB = 8.0
GROUP_GB = 2.3
_LEAST_WATCHES, _LEAST_INSTANCES = 1024, 64
_STA_UNSYNC = 0x0040
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def cores_and_memory() -> Iterator[Finding]:
    """What this process may use of both; a container's limit counts."""
    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        yield warning("cores", f"{cores}", "two keep up with the stream at native size; give the machine another")
    else:
        yield ok("cores", f"{cores}")
    total_gb = min([psutil.virtual_memory().total, *_container_limits()]) / GIGABYTE
    available_gb = psutil.virtual_memory().available / GIGABYTE
    text = f"{total_gb:.0f} GB, {available_gb:.0f} GB of the machine's available"
    if total_gb < LEAST_MEMORY_GB:
        yield warning("memory", text, f"{LEAST_MEMORY_GB:g} GB serve a group at native size; lower CONTIMG_MAX_WORKERS")
    else:
        yield ok("memory", text)


def workers(config: StreamingConfig) -> Finding:
    """As many worker processes as the cores can serve."""
    cores = len(os.sched_getaffinity(0))
    if config.max_workers > 2 * max(cores, 2):
        return warning("workers", f"max_workers={config.max_workers} on {cores} cores", f"set max_workers={2 * cores}")
    return ok("workers", f"max_workers={config.max_workers}")


def clock() -> Finding:
    """Whether the kernel's clock is being kept in time, by whatever does so."""

    class Timex(ctypes.Structure):
        _fields_ = (
            ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
            ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
            ("rest", ctypes.c_long * 40),
        )  # fmt: skip

    now = Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(now)) < 0:
        return warning("clock", "the kernel does not say whether it is in time", "look with timedatectl on the host")
    if now.status & _STA_UNSYNC:
        return warning("clock", "not kept in time by anything", "install chrony, or: timedatectl set-ntp true")
    return ok("clock", "in time")


def inotify() -> Finding:
    """Room for one more watcher of one directory, beside those of whoever else runs here."""
    place = Path("/proc/sys/fs/inotify")
    try:
        watches, instances = (int((place / f"max_user_{name}").read_text()) for name in ("watches", "instances"))
    except (OSError, ValueError):
        return warning("inotify", "no limits to be read", "files are still found by the scan of each poll_interval")
    text = f"{watches} watches, {instances} instances for a user"
    if watches < _LEAST_WATCHES or instances < _LEAST_INSTANCES:
        wanted = (
            f"fs.inotify.max_user_watches={_LEAST_WATCHES * 8} fs.inotify.max_user_instances={_LEAST_INSTANCES * 2}"
        )
        return warning("inotify", text, f"sysctl -w {wanted}")
    return ok("inotify", text)


def memory_file_system(config: StreamingConfig) -> Finding:
    """Room for a group in memory, where groups are to be staged there."""
    about = "tmpfs"
    if not config.stage_to_tmpfs:
        return ok(about, "not used (stage_to_tmpfs=false)")
    if not config.tmpfs_path.is_dir():
        return error(about, f"{config.tmpfs_path}: no such directory", "set tmpfs_path, or stage_to_tmpfs=false")
    free_gb = shutil.disk_usage(config.tmpfs_path).free / GIGABYTE
    text = f"{config.tmpfs_path}: {free_gb:.1f} GB free, a group at native size takes {GROUP_GB} GB"
    if free_gb < GROUP_GB:
        return warning(about, text, "make it larger (mount -o remount,size=4G), or set stage_to_tmpfs=false")
    return ok(about, text)


def _container_limits() -> list[int]:
    return [int(text) for path in _LIMITS if path.is_file() and (text := path.read_text().strip()).isdigit()]
