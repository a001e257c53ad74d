"""Description of the machine that a benchmark runs on."""

import os
import platform
from pathlib import Path

import psutil


def machine() -> dict[str, str | int | float]:
    """Return processor, cores that this process may use, memory and current load."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load": round(os.getloadavg()[0], 2),
    }
