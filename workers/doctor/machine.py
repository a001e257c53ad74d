"""Checks of the machine: cores, memory, clock, and limits of the kernel."""

import ctypes
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from contimg.common.files.processes import MIN_OPEN_FILES, OPEN_FILES, OPEN_FILES_REMEDY
from contimg.settings import StreamingConfig
from workers.doctor.finding import Finding, Level, grade

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
    remedy = "use a machine with two or more: native size needs two"
    yield grade("cores", f"{cores}", (cores < 2, Level.WARNING, remedy))
    limits = [int(text) for path in _MEMORY_LIMITS if path.is_file() and (text := path.read_text().strip()).isdigit()]
    memory = psutil.virtual_memory()
    total_gb = min([memory.total, *limits]) / GIGABYTE
    text = f"{total_gb:.0f} GB, {memory.available / GIGABYTE:.0f} GB of the machine's available"
    remedy = f"native size needs {MIN_MEMORY_GB:g} GB; add memory or lower CONTIMG_MAX_WORKERS"
    yield grade("memory", text, (total_gb < MIN_MEMORY_GB, Level.WARNING, remedy))


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
    is_excessive = config.max_workers > 2 * max(cores, 2)
    text = f"max_workers={config.max_workers}" + f" on {cores} cores" * is_excessive
    return grade("workers", text, (is_excessive, Level.WARNING, f"set max_workers={2 * cores}"))


def check_clock() -> Finding:
    """Check whether the kernel's clock is synchronised."""
    clock = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(clock)) < 0:
        text = "the kernel does not report whether it is synchronised"
        return Finding("clock", Level.WARNING, text, "run timedatectl on the host")
    if clock.status & _STA_UNSYNC:
        remedy = "install chrony, or run `timedatectl set-ntp true`"
        return Finding("clock", Level.WARNING, "not synchronised", remedy)
    return Finding("clock", Level.OK, "synchronised")


def check_inotify() -> Finding:
    """Check the limits of inotify."""
    directory = Path("/proc/sys/fs/inotify")
    try:
        watches, instances = (int((directory / f"max_user_{name}").read_text()) for name in ("watches", "instances"))
    except (OSError, ValueError):
        remedy = "none needed: scans find files without events"
        return Finding("inotify", Level.WARNING, f"{directory}: cannot be read", remedy)
    limits = f"fs.inotify.max_user_watches={_MIN_WATCHES * 8} fs.inotify.max_user_instances={_MIN_INSTANCES * 2}"
    is_small = watches < _MIN_WATCHES or instances < _MIN_INSTANCES
    text = f"{watches} watches, {instances} instances per user"
    return grade("inotify", text, (is_small, Level.WARNING, f"sysctl -w {limits}"))


def check_open_files() -> Finding:
    """Check how many files a process of this user may have open; the service raises its limit as far as allowed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    is_limited, limit = hard != resource.RLIM_INFINITY, f"{hard} at a time" if hard > 0 else "no limit"
    return grade(
        "open files",
        limit,
        (is_limited and hard < MIN_OPEN_FILES, Level.ERROR, OPEN_FILES_REMEDY),
        (is_limited and hard < OPEN_FILES, Level.WARNING, OPEN_FILES_REMEDY),
    )


def check_tmpfs(config: StreamingConfig) -> Finding:
    """Check the free space of tmpfs_path, if Measurement Sets are staged there.

    Parameters
    ----------
    config : the configuration, with `stage_to_tmpfs` and `tmpfs_path`.

    Returns
    -------
    an error when the directory does not exist, a warning when it has no space for a group at native size (GROUP_GB).
    """
    path, about = config.tmpfs_path, "tmpfs"
    if not config.stage_to_tmpfs:
        return Finding(about, Level.OK, "not used (stage_to_tmpfs=false)")
    if not path.is_dir():
        return Finding(about, Level.ERROR, f"{path}: no such directory", "set tmpfs_path, or stage_to_tmpfs=false")
    free_gb = shutil.disk_usage(path).free / GIGABYTE
    remedy = "enlarge it (mount -o remount,size=4G), or set stage_to_tmpfs=false"
    text = f"{path}: {free_gb:.1f} GB free, a group at native size needs {GROUP_GB} GB"
    return grade(about, text, (free_gb < GROUP_GB, Level.WARNING, remedy))
