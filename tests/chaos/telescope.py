"""Deliver the groups of a chaos run: small simulated groups, some with defects."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import h5py
from plan import ChaosPlan, Defect, GroupPlan
from sqlalchemy.exc import SQLAlchemyError

from contimg.simulation import SimulateOptions, plan_tiles
from contimg.simulation.tile import simulate_tile

INTEGRATIONS, ANTENNAS, CHANNELS = 4, 8, 16
REPLACED_AFTER_S = 3.0
CALIBRATOR_LIMIT_S = 120.0


@dataclass
class Delivered:
    """Contents delivered to the incoming directory.

    Attributes
    ----------
    groups : plan by group id.
    defective : files that must be quarantined at the end, with their defect.
    """

    groups: dict[str, GroupPlan] = field(default_factory=dict)
    defective: dict[str, str] = field(default_factory=dict)
    files: int = 0


class Telescope(threading.Thread):
    """Simulate and deliver the groups of a plan at its times, independent of the service.

    The groups after the first, the calibrator's, wait for its caltable set: uncalibrated images are in no mosaic.
    """

    def __init__(self, plan: ChaosPlan, root: Path, is_calibrated: Callable[[], bool] = lambda: True) -> None:
        super().__init__(name="telescope", daemon=True)
        self.delivered = Delivered()
        self.error: BaseException | None = None
        self._plan = plan
        self._is_calibrated = is_calibrated
        self._directory = root / "telescope"
        self._incoming = root / "incoming"
        self._directory.mkdir()
        self._incoming.mkdir(exist_ok=True)

    def run(self) -> None:
        """Deliver all groups; keep an error for the chaos run to raise."""
        try:
            for group, tile_files in self._tiles():
                self._deliver(group, tile_files)
        except BaseException as error:  # noqa: BLE001
            self.error = error

    def _tiles(self) -> Iterator[tuple[GroupPlan, dict[int, Path]]]:
        options = SimulateOptions(
            groups=len(self._plan.groups), antennas=ANTENNAS, channels=CHANNELS, integrations=INTEGRATIONS,
            clock_spread=0, threads=1, seed=self._plan.seed,
        )  # fmt: skip
        for group, tile in zip(self._plan.groups, plan_tiles(options), strict=True):
            due_s = time.monotonic() + group.wait_s
            simulated = simulate_tile(tile, options, self._directory)
            simulated.truth.unlink()
            time.sleep(max(0.0, due_s - time.monotonic()))
            if group.index == 1:
                self._wait_for_calibrator()
            yield group, dict(simulated.files)

    def _wait_for_calibrator(self) -> None:
        deadline = time.monotonic() + CALIBRATOR_LIMIT_S
        while time.monotonic() < deadline:
            with suppress(SQLAlchemyError):  # a fault of the store
                if self._is_calibrated():
                    return
            time.sleep(0.5)

    def _deliver(self, group: GroupPlan, files: dict[int, Path]) -> None:
        group_name = next(iter(files.values())).name.partition("_sb")[0]
        self.delivered.groups[group_name] = group
        intact: dict[int, Path] = {}
        for subband, path in files.items():
            if subband in group.subbands:
                if group.defect in (Defect.ABSENT, Defect.HALF_ABSENT):
                    path.unlink()
                    continue
                if group.defect is Defect.REPLACED:
                    intact[subband] = Path(shutil.copy(path, path.with_suffix(".intact")))
                else:
                    self.delivered.defective[path.name] = group.defect
                _damage(path, group.defect)
            self._rename_into_place(path, path.name)
        if group.has_foreign_file:
            foreign_file = self._incoming / f"foreign-{group.index}.txt"
            foreign_file.write_text("not from the correlator")
            self.delivered.defective[foreign_file.name] = "foreign"
        if intact:
            time.sleep(REPLACED_AFTER_S)
            for subband, path in intact.items():
                self._rename_into_place(path, files[subband].name)

    def _rename_into_place(self, path: Path, name: str) -> None:
        """Move a file under a temporary name and rename it, as the correlator does."""
        unfinished = self._incoming / name.replace(".hdf5", "_incomplete.hdf5")
        path.replace(unfinished)
        unfinished.replace(self._incoming / name)
        self.delivered.files += 1


def _damage(path: Path, defect: Defect) -> None:
    size_bytes = path.stat().st_size
    if defect is Defect.EMPTY:
        path.write_bytes(b"")
    elif defect is Defect.GARBAGE:
        with path.open("r+b") as file:
            file.write(b"\xa5" * 4096)
    elif defect is Defect.ZEROS:
        with h5py.File(path, "r+") as file:
            file["Data/visdata"][...] = 0
    else:  # truncated, replaced later, too many truncated
        with path.open("r+b") as file:
            file.truncate(size_bytes // 3)
