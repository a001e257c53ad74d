"""The machine and the queue in numbers, for the panel's charts: what `monitoring` and `monitor_interval` say."""

import psutil

from contimg.config import StreamingConfig
from contimg.store import Stage, State, Store
from workers.disks import disks


def sample(config: StreamingConfig, store: Store) -> dict[str, float]:
    """Record one sample and return it: `machine.*`, `disk.*` of the product directory, `queue.*`."""
    memory, status = psutil.virtual_memory(), store.overview.snapshot(0)
    values = {
        "machine.cpu_percent": psutil.cpu_percent(),  # since the sample before
        "machine.memory_used_bytes": float(memory.total - memory.available),
        "machine.load_1min": psutil.getloadavg()[0],
        "queue.in_progress": float(status.states[State.IN_PROGRESS]),
        "queue.collecting": float(status.states[State.COLLECTING]),
        **{f"queue.waiting.{stage}": float(status.waiting[stage]) for stage in Stage},
    }
    found = disks(config)
    if found:
        values["disk.used_percent"], values["disk.free_bytes"] = found[0].used_percent, float(found[0].free_bytes)
    store.metrics.add(values)
    return values
