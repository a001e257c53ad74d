"""What one run of a stage costs this process: seconds, peak memory, bytes read and written."""

from pathlib import Path
from time import perf_counter

from contimg.store import RunFigures


class Cost:
    """Measures from its making on. The bytes include finished child processes; the memory is this process's own."""

    def __init__(self) -> None:
        self._began = perf_counter()
        self._read, self._written = _bytes_moved()
        # "5" resets the high-water mark, so that an earlier, larger stage does not show in this one's figures.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def figures(self) -> RunFigures:
        """The cost so far."""
        read, written = _bytes_moved()
        return RunFigures(
            seconds=perf_counter() - self._began,
            peak_rss_bytes=_peak_rss_bytes(),
            bytes_read=read - self._read,
            bytes_written=written - self._written,
        )


def _bytes_moved() -> tuple[int, int]:
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines())
    return int(counts["rchar"]), int(counts["wchar"])


def _peak_rss_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
