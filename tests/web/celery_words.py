"""The answer of a Celery with three workers, the same on every machine."""

import time

from workers.inspection import Inspection, Worker


def everybody() -> Inspection:
    """One worker for each queue, of which one is busy; two messages wait."""
    workers = [Worker(f"{name}@lwacalim07", (name,), 1, int(name == "image"), 41, 45_000.0)
               for name in ("convert", "calibrate", "image")]  # fmt: skip
    return Inspection(time.time(), tuple(workers), {"convert": 2, "calibrate": 0, "image": 0})
