"""Groups as they arrive in a chaos run: real small ones from the simulator, some of them spoilt on the way."""

import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
from plan import ChaosPlan, GroupPlan, Spoilt

from contimg.simulation import SimulateOptions, plan_tiles
from contimg.simulation.tile import simulate_tile

INTEGRATIONS, ANTENNAS, CHANNELS = 4, 8, 16
REPLACED_AFTER_S = 3.0


@dataclass
class Delivered:
    """What was put into the incoming directory.

    Attributes
    ----------
    groups : plan by group name.
    spoilt : files that must have been set aside at the end.
    """

    groups: dict[str, GroupPlan] = field(default_factory=dict)
    spoilt: dict[str, str] = field(default_factory=dict)
    files: int = 0


class Telescope(threading.Thread):
    """Simulates and delivers the groups of a plan at its pace, beside whatever happens to the service."""

    def __init__(self, plan: ChaosPlan, root: Path) -> None:
        super().__init__(name="telescope", daemon=True)
        self.delivered = Delivered()
        self.error: BaseException | None = None
        self._plan = plan
        self._room = root / "telescope"
        self._incoming = root / "incoming"
        self._room.mkdir()
        self._incoming.mkdir(exist_ok=True)

    def run(self) -> None:
        """Deliver all; what goes wrong in here is the run's own fault and is kept for it."""
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
            due = time.monotonic() + group.wait_s
            made = simulate_tile(tile, options, self._room)
            made.truth.unlink()
            time.sleep(max(0.0, due - time.monotonic()))
            yield group, dict(made.files)

    def _deliver(self, group: GroupPlan, files: dict[int, Path]) -> None:
        name = next(iter(files.values())).name.partition("_sb")[0]
        self.delivered.groups[name] = group
        whole: dict[int, Path] = {}
        for subband, path in files.items():
            if subband in group.subbands:
                if group.spoilt in (Spoilt.ABSENT, Spoilt.HALF_ABSENT):
                    path.unlink()
                    continue
                if group.spoilt is Spoilt.REPLACED:
                    whole[subband] = Path(shutil.copy(path, path.with_suffix(".whole")))
                else:
                    self.delivered.spoilt[path.name] = group.spoilt
                _spoil(path, group.spoilt)
            self._arrive(path, path.name)
        if group.stranger:
            stranger = self._incoming / f"stranger-{group.index}.txt"
            stranger.write_text("not from the correlator")
            self.delivered.spoilt[stranger.name] = "foreign"
        if whole:
            time.sleep(REPLACED_AFTER_S)
            for subband, path in whole.items():
                self._arrive(path, files[subband].name)

    def _arrive(self, path: Path, name: str) -> None:
        """Under another name first, as the correlator does."""
        unfinished = self._incoming / name.replace(".hdf5", "_incomplete.hdf5")
        path.replace(unfinished)
        unfinished.replace(self._incoming / name)
        self.delivered.files += 1


def _spoil(path: Path, how: Spoilt) -> None:
    size = path.stat().st_size
    if how is Spoilt.EMPTY:
        path.write_bytes(b"")
    elif how is Spoilt.GARBAGE:
        with path.open("r+b") as file:
            file.write(b"\xa5" * 4096)
    elif how is Spoilt.ZEROS:
        with h5py.File(path, "r+") as file:
            file["Data/visdata"][...] = 0
    else:  # truncated, replaced later, hopeless
        with path.open("r+b") as file:
            file.truncate(size // 3)
