"""The synthetic telescope at work: writes tile after tile into the incoming directory, faster than the sky turns."""

import threading
import time

from contimg.simulation import SimulateOptions, TilePlan, plan_tiles, simulate_tile
from contimg.simulation.demo.scene import DemoOptions, Scene


class Telescope(threading.Thread):
    """Observes the planned tiles in a thread of its own; `error` says why it stopped, if it did."""

    def __init__(self, scene: Scene, options: DemoOptions) -> None:
        super().__init__(name="telescope", daemon=True)
        self._scene, self._pace_s = scene, options.pace_s
        # One thread: the other core is the pipeline's.
        self._options = SimulateOptions(
            groups=options.groups,
            antennas=options.antennas,
            channels=options.channels,
            gap=options.gap,
            seed=options.seed,
            threads=1,
        )
        self.plans: tuple[TilePlan, ...] = plan_tiles(self._options)
        self.error: Exception | None = None

    def run(self) -> None:
        """Write every tile, each no sooner than the pace after the one before."""
        try:
            for plan in self.plans:
                due = time.monotonic() + self._pace_s
                simulate_tile(plan, self._options, self._scene.incoming)
                time.sleep(max(0.0, due - time.monotonic()))
        except Exception as error:  # noqa: BLE001 (handed to the thread that waits for it)
            self.error = error
