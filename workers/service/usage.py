"""Processor and memory of a process and everything below it."""

import psutil

MEGABYTE = 1e6


class Usage:
    """Samples one tree of processes; each sample covers the time since the one before."""

    def __init__(self) -> None:
        self._root = psutil.Process()
        self._known: dict[int, psutil.Process] = {}

    def sample(self) -> tuple[float, float]:
        """Processor share in percent of one core, and resident memory in MB, shared pages counted each time."""
        processes = [self._root, *self._root.children(recursive=True)]
        # The same objects as before: each remembers its processor time of the last sample.
        self._known = {one.pid: self._known.get(one.pid, one) for one in processes}
        cpu_percent = memory = 0.0
        for one in self._known.values():
            try:
                cpu_percent += one.cpu_percent()
                memory += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return cpu_percent, memory / MEGABYTE
