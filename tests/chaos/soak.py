"""Soak: simulated nights at many times real speed through the real service; what grows, and how fast.

    python tests/chaos/soak.py --hours 1

Samples memory, open files and connections of every process of the service, the store's size and Redis keys, and
compares the last third of the run with the middle one: after warming up, all must be flat but the store, whose growth
per group is printed. Products are retired as they come, by the service's own retention.
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
    sys.path[:0] = [str(here.parent / "store"), str(here.parent / "workers"), str(here.parents[1])]

import psutil
from plan import ChaosPlan, GroupPlan, Spoilt
from sqlalchemy import text
from telescope import Telescope
from world import Parts, World

from contimg.store import State

EVERY_S = 5.0
# What a process's memory and the rest may differ by between the two thirds and still be called flat.
FLAT = {"memory_mb": 1.15, "open_files": 1.15, "connections": 1.15, "redis_keys": 1.5}


@dataclass(frozen=True)
class Sample:
    """The service at one moment."""

    memory_mb: float
    open_files: float
    connections: float
    redis_keys: float
    store_bytes: float
    completed: float


def sample(world: World) -> Sample:
    """Everything below the supervisor, summed."""
    assert world.service is not None
    assert world.store is not None
    memory = files = connections = 0.0
    for process in [psutil.Process(world.service.pid), *psutil.Process(world.service.pid).children(recursive=True)]:
        try:
            memory += process.memory_info().rss / 1e6
            files += process.num_fds()
            connections += len(process.net_connections())
        except psutil.NoSuchProcess:
            continue
    with world.store.database.read() as session:
        if world.parts.postgresql:
            size = session.scalar(text("SELECT pg_database_size(current_database())"))
        else:
            size = Path(world.database).stat().st_size
    states = world.store.overview.snapshot(0).states
    return Sample(
        memory, files, connections, float(world.broker_client().dbsize()), float(size), states[State.COMPLETED]
    )


def soak(hours: float, every_s: float, root: Path) -> int:
    """Run, print a line a minute, then the verdict; the number of things that grew."""
    groups = max(10, int(3600 * hours / every_s))
    plan = ChaosPlan(6, tuple(GroupPlan(n, Spoilt.NOTHING, (), every_s, False) for n in range(groups)), ())
    world = World(root, Parts(postgresql=False, own_broker=True, mounted_disk=False), groups)
    world.more |= {"CONTIMG_KEEP_MS_DAYS": "0.001", "CONTIMG_KEEP_IMAGES_DAYS": "0.001", "CONTIMG_KEEP_LAST": "10"}
    world.more |= {"CONTIMG_RETENTION_INTERVAL_S": "10", "CONTIMG_KEEP_EVENTS_DAYS": "0.01"}
    telescope, samples, told = Telescope(plan, root), [], 0.0
    world.start()
    telescope.start()
    try:
        while telescope.is_alive():
            telescope.join(EVERY_S)
            samples.append(sample(world))
            if time.monotonic() - told > 60:
                told = time.monotonic()
                sys.stdout.write(f"{samples[-1]}\n")
        if telescope.error:
            raise telescope.error
    finally:
        world.stop_service()
        world.stop()
    return judge(samples)


def judge(samples: list[Sample]) -> int:
    """Compare the last third with the middle one; prints each figure and returns how many were not flat."""
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[-third:]
    grown = 0
    for name, limit in FLAT.items():
        before, after = (statistics.median(getattr(one, name) for one in part) for part in (middle, last))
        is_flat = after <= limit * max(before, 1.0)
        grown += not is_flat
        sys.stdout.write(f"{name:<12} {before:10.1f} -> {after:10.1f}  {'flat' if is_flat else 'GROWS'}\n")
    groups = last[-1].completed - middle[0].completed
    bytes_a_group = (last[-1].store_bytes - middle[0].store_bytes) / max(groups, 1)
    sys.stdout.write(f"store        {bytes_a_group:10.0f} bytes a group over {groups:.0f} groups\n")
    return grown


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--hours", type=float, default=1.0)
    asked.add_argument("--every-s", type=float, default=3.0, help="time between groups; 309 s is real")
    given = asked.parse_args()
    root = Path(tempfile.mkdtemp(prefix="contimg-soak-"))
    try:
        return 1 if soak(given.hours, given.every_s, root / "world") else 0
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
