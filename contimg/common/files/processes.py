"""Child processes: none outlives its parent, each can be given a limit of memory."""

import ctypes
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

# A worker with CASA has about 120 files open, the panel two for each viewer.
OPEN_FILES, MIN_OPEN_FILES = 4096, 256
OPEN_FILES_REMEDY = f"raise the hard limit to {OPEN_FILES}: /etc/security/limits.conf, or LimitNOFILE of the unit"
_PR_SET_PDEATHSIG = 1
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_libc = ctypes.CDLL(None, use_errno=True)


def bind_to_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the parent's thread that started it ends; exit if that has happened.

    It may be called between fork and exec: it neither allocates much nor takes a lock.

    Parameters
    ----------
    parent_pid : pid of the process that started this one.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def free_port(port: int = 0, host: str = "127.0.0.1") -> int:
    """Return a TCP port that no process listens on.

    Parameters
    ----------
    port : the port to try; 0 for any free one.
    host : address to listen on.

    Raises
    ------
    OSError : the port is in use, or this user may not listen on it.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def start_bound(
    command: Sequence[str], *, environ: Mapping[str, str] | None = None, **popen: Any
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own that the kernel kills when the calling thread ends.

    Call it from a thread that lives as long as the process.

    Parameters
    ----------
    command : program and arguments.
    environ : its environment; this process's when not given.
    popen : further arguments of subprocess.Popen.
    """
    parent_pid = os.getpid()

    def bind() -> None:  # between fork and exec
        bind_to_parent(parent_pid)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])  # a parent that waits for signals has them blocked

    return subprocess.Popen(
        list(command), env=None if environ is None else dict(environ), stdin=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=bind, **popen,
    )  # fmt: skip


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a child that leads a session, with all that it started, and wait for it.

    Parameters
    ----------
    process : the child, as `start_bound` returns it; nothing is done when it has ended.
    """
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def limit_memory(size_bytes: int, kind: int = resource.RLIMIT_DATA) -> None:
    """Limit the memory of this process and of those that it starts: an allocation beyond the limit fails.

    A stage turns that into a retry, instead of the kernel killing the largest process of the machine.

    Parameters
    ----------
    size_bytes : the limit; 0 for none.
    kind : writable memory (RLIMIT_DATA) or the whole address space (RLIMIT_AS).
    """
    if size_bytes:
        resource.setrlimit(kind, (size_bytes, resource.getrlimit(kind)[1]))


def raise_file_limit(needed: int) -> int:
    """Raise the number of files that this process and its children may have open, as far as it is allowed to.

    Parameters
    ----------
    needed : the number; a higher limit is kept.

    Returns
    -------
    the limit in force.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def module_environment(environ: Mapping[str, str], threads: str) -> dict[str, str]:
    """Give the environment for `python -m contimg...` in any working directory.

    Parameters
    ----------
    environ : the environment to start from.
    threads : number of OpenMP threads.
    """
    path = os.pathsep.join(filter(None, [str(_PACKAGE_ROOT), environ.get("PYTHONPATH", "")]))
    return {**environ, "PYTHONPATH": path, "OMP_NUM_THREADS": threads}
