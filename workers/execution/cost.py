"""Cost of one run of a stage in this process: seconds, peak memory, bytes read and written."""

from contextlib import suppress
from pathlib import Path
from time import perf_counter

from contimg.store import RunFigures

_PROC = Path("/proc/self")


class Cost:
    """Measures from its creation on. The bytes include finished child processes; the memory is of this process alone.

    A figure that the kernel or the container does not show stays None.
    """

    def __init__(self) -> None:
        self._began = perf_counter()
        self._before = _proc_numbers("io")
        with suppress(OSError):
            # "5" resets the high-water mark, so that an earlier, larger stage does not show in this figure.
            (_PROC / "clear_refs").write_text("5", encoding="ascii")

    def figures(self) -> RunFigures:
        """Return the cost so far."""
        now, peak_kb = _proc_numbers("io"), _proc_numbers("status").get("VmHWM")
        return RunFigures(
            seconds=perf_counter() - self._began,
            peak_rss_bytes=None if peak_kb is None else 1024 * peak_kb,
            bytes_read=now["rchar"] - self._before["rchar"] if "rchar" in self._before else None,
            bytes_written=now["wchar"] - self._before["wchar"] if "wchar" in self._before else None,
        )


def _proc_numbers(name: str) -> dict[str, int]:
    """The lines `Key: number ...` of a file of /proc/self; none when it cannot be read."""
    try:
        lines = (_PROC / name).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    split = (line.partition(":") for line in lines)
    return {key: int(value.split()[0]) for key, _, value in split if value.split()[:1] and value.split()[0].isdigit()}
