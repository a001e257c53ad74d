"""Checks of the machine: cores, memory, clock, and limits of the kernel."""

import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from contimg.settings import StreamingConfig
from workers.doctor.finding import Finding, error, ok, warning

GIGABYTE = 1e9
MIN_MEMORY_GB = 8.0
GROUP_GB = 2.3
_MIN_WATCHES, _MIN_INSTANCES = 1024, 64
_STA_UNSYNC = 0x0040
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 40),
    )  # fmt: skip


def check_cores_and_memory() -> Iterator[Finding]:
    """Check the cores and the memory that this process may use, within a container's limit."""
    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        yield warning("cores", f"{cores}", "use a machine with two or more: native size needs two")
    else:
        yield ok("cores", f"{cores}")
    limits = [int(text) for path in _MEMORY_LIMITS if path.is_file() and (text := path.read_text().strip()).isdigit()]
    memory = psutil.virtual_memory()
    total_gb = min([memory.total, *limits]) / GIGABYTE
    text = f"{total_gb:.0f} GB, {memory.available / GIGABYTE:.0f} GB of the machine's available"
    if total_gb < MIN_MEMORY_GB:
        remedy = f"native size needs {MIN_MEMORY_GB:g} GB; add memory or lower CONTIMG_MAX_WORKERS"
        yield warning("memory", text, remedy)
    else:
        yield ok("memory", text)


def check_workers(config: StreamingConfig) -> Finding:
    """Check that the cores suffice for the number of worker processes.

    Parameters
    ----------
    config : the configuration; `max_workers` is compared with the cores that this process may use.

    Returns
    -------
    a warning above two workers per core, where a single core counts as two.
    """
    cores = len(os.sched_getaffinity(0))
    if config.max_workers > 2 * max(cores, 2):
        return warning("workers", f"max_workers={config.max_workers} on {cores} cores", f"set max_workers={2 * cores}")
    return ok("workers", f"max_workers={config.max_workers}")


def check_clock() -> Finding:
    """Check whether the kernel's clock is synchronised."""
    clock = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(clock)) < 0:
        return warning("clock", "the kernel does not report whether it is synchronised", "run timedatectl on the host")
    if clock.status & _STA_UNSYNC:
        return warning("clock", "not synchronised", "install chrony, or run `timedatectl set-ntp true`")
    return ok("clock", "synchronised")


def check_inotify() -> Finding:
    """Check the limits of inotify."""
    directory = Path("/proc/sys/fs/inotify")
    try:
        watches, instances = (int((directory / f"max_user_{name}").read_text()) for name in ("watches", "instances"))
    except (OSError, ValueError):
        return warning("inotify", f"{directory}: cannot be read", "none needed: scans find files without events")
    text = f"{watches} watches, {instances} instances per user"
    if watches < _MIN_WATCHES or instances < _MIN_INSTANCES:
        limits = f"fs.inotify.max_user_watches={_MIN_WATCHES * 8} fs.inotify.max_user_instances={_MIN_INSTANCES * 2}"
        return warning("inotify", text, f"sysctl -w {limits}")
    return ok("inotify", text)


def check_tmpfs(config: StreamingConfig) -> Finding:
    """Check the free space of tmpfs_path, if Measurement Sets are staged there.

    Parameters
    ----------
    config : the configuration, with `stage_to_tmpfs` and `tmpfs_path`.

    Returns
    -------
    an error when the directory does not exist, a warning when it has no space for a group at native size (GROUP_GB).
    """
    about = "tmpfs"
    if not config.stage_to_tmpfs:
        return ok(about, "not used (stage_to_tmpfs=false)")
    if not config.tmpfs_path.is_dir():
        return error(about, f"{config.tmpfs_path}: no such directory", "set tmpfs_path, or stage_to_tmpfs=false")
    free_gb = shutil.disk_usage(config.tmpfs_path).free / GIGABYTE
    text = f"{config.tmpfs_path}: {free_gb:.1f} GB free, a group at native size needs {GROUP_GB} GB"
    if free_gb < GROUP_GB:
        return warning(about, text, "enlarge it (mount -o remount,size=4G), or set stage_to_tmpfs=false")
    return ok(about, text)
