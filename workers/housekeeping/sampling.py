"""The machine and the queue in numbers, for the panel's charts: what `monitoring` and `monitor_interval` say."""

import psutil

from contimg.settings import StreamingConfig
from contimg.store import Stage, State, Store
from workers.housekeeping.disks import disks


def sample(config: StreamingConfig, store: Store) -> dict[str, float]:
    """Record one sample and return it: `machine.*`, `disk.*` of the product directory, `queue.*`.

    Names and units are those of the panel's own samples, so that its charts have no gap while no panel runs.
    """
    memory, status = psutil.virtual_memory(), store.overview.snapshot(0)
    values = {
        "machine.cpu_percent": psutil.cpu_percent() * psutil.cpu_count(),  # of one core, since the sample before
        "machine.memory_mb": (memory.total - memory.available) / 1024**2,
        "machine.load_1min": psutil.getloadavg()[0],
        **{f"queue.{state}": float(status.states[state]) for state in _ON_THE_WAY},
        **{f"queue.waiting.{stage}": float(status.waiting[stage]) for stage in Stage},
    }
    found = disks(config)
    if found:
        values["disk.used_percent"], values["disk.output_free_bytes"] = (
            found[0].used_percent,
            float(found[0].free_bytes),
        )
    store.metrics.add(values)
    return values


_ON_THE_WAY = (State.COLLECTING, State.PENDING, State.IN_PROGRESS, State.FAILED)
