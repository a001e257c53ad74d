"""The demo's synthetic telescope, which writes tiles faster than the real one."""

import threading
import time

from contimg.simulation import SimulateOptions, TilePlan, plan_tiles, simulate_tile
from contimg.simulation.demo.scene import DemoOptions, Scene


class Telescope(threading.Thread):
    """A thread that writes the planned tiles to the scene's incoming directory.

    Attributes
    ----------
    plans : tiles to write.
    error : exception that stopped the thread; None while it runs and when it has ended.
    """

    def __init__(self, scene: Scene, options: DemoOptions) -> None:
        super().__init__(name="telescope", daemon=True)
        self._scene, self._pace_s = scene, options.pace_s
        # One thread, to leave the other core to the pipeline.
        size = options.model_dump(include={"groups", "antennas", "channels", "gap", "seed"})
        self._options = SimulateOptions(**size, threads=1)
        self.plans: tuple[TilePlan, ...] = plan_tiles(self._options)
        self.error: Exception | None = None

    def run(self) -> None:
        """Write every tile, each `pace_s` or more after the start of the previous one."""
        try:
            for plan in self.plans:
                due_s = time.monotonic() + self._pace_s
                simulate_tile(plan, self._options, self._scene.incoming)
                time.sleep(max(0.0, due_s - time.monotonic()))
        except Exception as error:  # noqa: BLE001 (raised by the thread that waits for it)
            self.error = error
