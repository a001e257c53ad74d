"""Soak test: process simulated nights at many times the real rate and report which resources grow.

    python tests/chaos/soak.py --hours 1

Samples memory, open files and connections of every process of the service, the size of the store and the number of
Redis keys, and compares the last third of the run with the middle third: after the first third all must be constant
except the store, whose growth per group is printed. Products are removed by the retention of the service.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path[:0] = [str(here.parent / name) for name in ("..", "")]

import psutil
from plan import ChaosPlan, Defect, GroupPlan
from sqlalchemy import text
from system import Components, System
from telescope import Telescope

from contimg.store import State

SAMPLE_INTERVAL_S = 5.0
# Maximum ratio of the medians of the last and the middle third.
MAX_RATIOS = {"memory_mb": 1.15, "open_files": 1.15, "connections": 1.15, "redis_keys": 1.5}


@dataclass(frozen=True)
class Sample:
    """Resources of the service at one time, summed over its processes."""

    memory_mb: float
    open_files: float
    connections: float
    redis_keys: float
    store_bytes: float
    completed: float


def sample(system: System) -> Sample:
    """Sample the supervisor and all its descendants."""
    assert system.service is not None
    assert system.store is not None
    memory = files = connections = 0.0
    for process in [psutil.Process(system.service.pid), *psutil.Process(system.service.pid).children(recursive=True)]:
        try:
            memory += process.memory_info().rss / 1e6
            files += process.num_fds()
            connections += len(process.net_connections())
        except psutil.NoSuchProcess:
            continue
    with system.store.database.read() as session:
        if system.components.postgresql:
            size = session.scalar(text("SELECT pg_database_size(current_database())"))
        else:
            size = Path(system.database).stat().st_size
    states = system.store.overview.snapshot(0).states
    return Sample(
        memory, files, connections, float(system.broker_client().dbsize()), float(size), states[State.COMPLETED]
    )


def soak(hours: float, every_s: float, root: Path) -> int:
    """Run the soak test, print a line per minute, and return the number of resources that grew."""
    groups = max(10, int(3600 * hours / every_s))
    plan = ChaosPlan(6, tuple(GroupPlan(n, Defect.NOTHING, (), every_s, False) for n in range(groups)), ())
    system = System(root, Components(postgresql=False, own_broker=True, mounted_disk=False), groups)
    system.more |= {"CONTIMG_KEEP_MS_DAYS": "0.001", "CONTIMG_KEEP_IMAGES_DAYS": "0.001", "CONTIMG_KEEP_LAST": "10"}
    system.more |= {"CONTIMG_RETENTION_INTERVAL_S": "10", "CONTIMG_KEEP_EVENTS_DAYS": "0.01"}
    telescope, samples, last_print_s = Telescope(plan, root), [], 0.0
    system.start()
    telescope.start()
    try:
        while telescope.is_alive():
            telescope.join(SAMPLE_INTERVAL_S)
            samples.append(sample(system))
            if time.monotonic() - last_print_s > 60:
                last_print_s = time.monotonic()
                sys.stdout.write(f"{samples[-1]}\n")
        if telescope.error:
            raise telescope.error
    finally:
        system.stop_service()
        system.stop()
    return count_growing(samples)


def count_growing(samples: list[Sample]) -> int:
    """Compare the last third with the middle third, print each figure and return the number of growing ones."""
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[-third:]
    growing = 0
    for name, limit in MAX_RATIOS.items():
        before, after = (statistics.median(getattr(sample, name) for sample in part) for part in (middle, last))
        is_flat = after <= limit * max(before, 1.0)
        growing += not is_flat
        sys.stdout.write(f"{name:<12} {before:10.1f} -> {after:10.1f}  {'flat' if is_flat else 'GROWS'}\n")
    groups = last[-1].completed - middle[0].completed
    bytes_per_group = (last[-1].store_bytes - middle[0].store_bytes) / max(groups, 1)
    sys.stdout.write(f"store        {bytes_per_group:10.0f} bytes per group over {groups:.0f} groups\n")
    return growing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=1.0, help="duration of the run")
    parser.add_argument("--every-s", type=float, default=3.0, help="seconds between groups; the real cadence is 309 s")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="contimg-soak-"))
    try:
        return 1 if soak(arguments.hours, arguments.every_s, root / "system") else 0
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
