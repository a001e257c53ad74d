"""How many workers a site needs: a model of the stream's load, from what a tile's stages take."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from contimg.instrument.dsa110 import CADENCE_S

UTILISATION = 0.7  # of a core or a worker, on average: at more a tile waits longer than it is worked on
TILES_PER_HOUR = 3600 / CADENCE_S


@dataclass(frozen=True)
class Load:
    """What one stage takes for one tile.

    Attributes
    ----------
    seconds : on an otherwise idle machine.
    core_s : seconds of a core; above `seconds` where the stage keeps more than one busy.
    memory_gib : the most that its process has resident.
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
    """One queue's share of a site: its workers, the cores that they keep busy on average, and their memory."""

    load: Load
    workers: int
    busy_cores: float
    memory_gib: float


@dataclass(frozen=True)
class Plan:
    """A site's queues, and the most tiles an hour that its cores could do."""

    queues: tuple[Queue, ...]
    cores: int
    tiles_per_hour: float
    most_tiles_per_hour: float

    @property
    def enough(self) -> bool:
        """Whether the cores suffice."""
        return self.most_tiles_per_hour >= self.tiles_per_hour

    @property
    def real_time_factor(self) -> float:
        """How many times faster than one telescope's sky the cores are when they never rest."""
        return self.most_tiles_per_hour / UTILISATION / TILES_PER_HOUR


def plan(tiles_per_hour: float, cores: int, loads: Sequence[Load]) -> Plan:
    """The workers that each queue needs.

    A worker is busy `seconds` with a tile, stretched where the stage can use more cores than the site has; so many
    tiles an hour may keep it busy for UTILISATION of its time (M/D/c: a tile then waits about as long as it is worked
    on; Kleinrock 1975, Queueing Systems I, ch. 5).
    """
    queues = []
    for load in loads:
        seconds = max(load.seconds, load.core_s / cores)
        workers = max(1, ceil(tiles_per_hour * seconds / 3600 / UTILISATION))
        queues.append(Queue(load, workers, tiles_per_hour * load.core_s / 3600, workers * load.memory_gib))
    of_a_tile = sum(load.core_s for load in loads)
    return Plan(tuple(queues), cores, tiles_per_hour, 3600 * cores * UTILISATION / of_a_tile)


def most_tiles_per_hour(loads: Sequence[Load], cores: int, workers: int) -> float:
    """What so many workers that take from all queues do when tiles never lack.

    Two bounds, and the lower one counts: a worker does one stage at a time, and the cores' seconds are shared by all.
    """
    seconds = sum(max(load.seconds, load.core_s / cores) for load in loads)
    return 3600 * min(workers / seconds, cores / sum(load.core_s for load in loads))
