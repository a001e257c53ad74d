"""Number of workers that a site needs, from a model of the load of a tile's stages."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from contimg.instrument.dsa110 import CADENCE_S

UTILISATION = 0.7  # of a core or a worker, on average; above it a tile waits longer than it is processed
TILES_PER_HOUR = 3600 / CADENCE_S


@dataclass(frozen=True)
class Load:
    """Load of one stage for one tile.

    Attributes
    ----------
    seconds : duration on an otherwise idle machine.
    core_s : core seconds; more than `seconds` where the stage uses more than one core.
    memory_gib : maximum resident memory of its process.
    """

    stage: str
    seconds: float
    core_s: float
    memory_gib: float


# A full-scale target tile, 96 antennas × 24 integrations × 768 channels, image of 2048²; docs/performance.md.
FULL_SCALE: tuple[Load, ...] = (
    Load("convert", 3.7, 4.0, 0.4),
    Load("calibrate", 9.4, 16.0, 0.9),
    Load("image", 8.6, 13.0, 2.4),
)


@dataclass(frozen=True)
class Queue:
    """Share of one queue: its workers, the cores they use on average, and their memory."""

    load: Load
    workers: int
    busy_cores: float
    memory_gib: float


@dataclass(frozen=True)
class Plan:
    """Queues of a site, and the maximum of tiles an hour that its cores can process."""

    queues: tuple[Queue, ...]
    cores: int
    tiles_per_hour: float
    max_tiles_per_hour: float

    @property
    def is_sufficient(self) -> bool:
        """Whether the cores suffice."""
        return self.max_tiles_per_hour >= self.tiles_per_hour

    @property
    def real_time_factor(self) -> float:
        """Speed of the cores without a break, in units of one telescope's data rate."""
        return self.max_tiles_per_hour / UTILISATION / TILES_PER_HOUR


def plan(tiles_per_hour: float, cores: int, loads: Sequence[Load]) -> Plan:
    """Return the workers that each queue needs.

    A worker is busy for `seconds` with a tile, longer where the stage can use more cores than the site has. It may be
    busy for UTILISATION of its time (M/D/c: a tile then waits about as long as it is processed; Kleinrock 1975,
    Queueing Systems I, ch. 5).

    Parameters
    ----------
    tiles_per_hour : tiles that arrive in an hour, on average; one telescope gives TILES_PER_HOUR.
    cores : cores of the site.
    loads : load of each stage for one tile, in the order of the stages.

    Returns
    -------
    the plan, with one queue per load; `is_sufficient` tells whether the cores suffice.
    """
    queues = []
    for load in loads:
        seconds = max(load.seconds, load.core_s / cores)
        workers = max(1, ceil(tiles_per_hour * seconds / 3600 / UTILISATION))
        queues.append(Queue(load, workers, tiles_per_hour * load.core_s / 3600, workers * load.memory_gib))
    tile_core_s = sum(load.core_s for load in loads)
    return Plan(tuple(queues), cores, tiles_per_hour, 3600 * cores * UTILISATION / tile_core_s)


def max_tiles_per_hour(loads: Sequence[Load], cores: int, workers: int) -> float:
    """Return the tiles an hour of workers that take from all queues, while tiles always wait.

    It is the lower of two bounds: a worker runs one stage at a time, and all share the cores.

    Parameters
    ----------
    loads : load of each stage for one tile.
    cores : cores that the workers share.
    workers : number of worker processes.
    """
    seconds = sum(max(load.seconds, load.core_s / cores) for load in loads)
    return 3600 * min(workers / seconds, cores / sum(load.core_s for load in loads))
