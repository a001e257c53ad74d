"""Which function a stage is, where its products go, and what it gets from the store."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from contimg.errors import BadInput
from contimg.files.staging import restore_replaced
from contimg.settings import StreamingConfig
from contimg.store import Lease, Stage, Store, StoredMS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageContext:
    """What a process that runs stages holds: the configuration and the store."""

    config: StreamingConfig
    store: Store

    def measurement_set_path(self, group: str) -> Path:
        """Where a group's Measurement Set goes."""
        return self.config.output_dir / f"{group}.ms"

    @property
    def calibration_dir(self) -> Path:
        """Where calibration sets go, each in a directory of its own."""
        return self.config.output_dir / "calibration"

    @property
    def image_dir(self) -> Path:
        """Where images go."""
        return self.config.output_dir / "images"

    @property
    def staging_rooms(self) -> list[Path]:
        """Where a Measurement Set is written before it is moved to its place, the best first; none: at its place."""
        return [self.config.tmpfs_path, self.config.scratch_dir] if self.config.stage_to_tmpfs else []


def load(stage: Stage) -> None:
    """Import what a stage needs, before its lease is taken.

    Losing the lease interrupts a stage wherever it is; in the middle of an import it would leave half a library in
    this process, for every later stage to stumble over.
    """
    for name in _LIBRARIES[stage]:
        import_module(name)


def is_broken(house: StageContext, lease: Lease) -> bool:
    """Whether the Measurement Set that a later stage works on is there and cannot be read.

    No stage leaves one, for all of them change a copy: a power cut does, or a failing disk.
    """
    from contimg.formats.ms.info import read_ms_info

    found = house.store.products.measurement_set(lease.group)
    if lease.stage is Stage.CONVERT or found is None or not found.path.is_dir():
        return False
    try:
        read_ms_info(found.path)
    except BadInput:
        return True
    return False


def run(house: StageContext, lease: Lease) -> list[Any]:
    """Run the leased stage and return its results, which the commit writes. Raises what the stage raises.

    The stages' libraries load here, in the process that computes, and not where messages are only passed on.
    """
    return [_STAGES[lease.stage](house, lease)]


def _convert(house: StageContext, lease: Lease) -> Any:
    from contimg.tile.convert import ConvertOptions, convert

    options = ConvertOptions.from_environment()
    return convert(lease.files, house.measurement_set_path(lease.group), options, scratch=house.staging_rooms)


def _calibrate(house: StageContext, lease: Lease) -> Any:
    from contimg.quality.caltables import SolutionLimits
    from contimg.tile.calibrate.options import CalibrateOptions
    from contimg.tile.calibrate.run import calibrate

    ms = _measurement_set(house, lease)
    sets = _sets_in_force(house.store, 0.5 * (ms.mjd_start + ms.mjd_end))
    options = CalibrateOptions.from_environment()
    limits = SolutionLimits.from_environment()
    return calibrate(ms.path, sets, house.calibration_dir, options, limits)


def _image(house: StageContext, lease: Lease) -> Any:
    from contimg.quality import image as quality
    from contimg.tile import image as imaging

    options = imaging.ImageOptions.from_environment()
    thresholds = quality.QualityThresholds.from_environment()
    ms = _measurement_set(house, lease)
    _refine(house, ms, options)
    return imaging.image(ms.path, house.image_dir, options, thresholds)


_LIBRARIES = {
    Stage.CONVERT: ("contimg.tile.convert", "contimg.formats.ms.info"),
    Stage.CALIBRATE: ("contimg.tile.calibrate.run",),
    Stage.IMAGE: ("contimg.tile.image.run", "contimg.quality.image"),
}


def _refine(house: StageContext, ms: StoredMS, pictured: Any) -> None:
    """Self-calibrate a calibrated tile before its image, where that is switched on."""
    from contimg.formats.caltables.caltable_set import CaltableSet
    from contimg.tile.selfcal import run as selfcal

    options = selfcal.SelfcalOptions.from_environment()
    record = house.store.registry.set_named(ms.calibration_set) if ms.calibration_set else None
    if options.enabled and record is not None:
        done = selfcal.selfcal(ms.path, CaltableSet.read(record.tables[0].path.parent), options, pictured)
        house.store.events.add(f"self-calibration: {done.reason}", group=ms.group)


_STAGES: dict[Stage, Callable[[StageContext, Lease], Any]] = {
    Stage.CONVERT: _convert,
    Stage.CALIBRATE: _calibrate,
    Stage.IMAGE: _image,
}


def _measurement_set(house: StageContext, lease: Lease) -> StoredMS:
    found = house.store.products.measurement_set(lease.group)
    if found is not None and restore_replaced(found.path):
        log.warning("%s: was put aside by a process that was killed; put back", found.path)
    if found is None or not found.path.is_dir():
        where = found.path if found else house.measurement_set_path(lease.group)
        raise BadInput(f"{where}: is gone; `contimg groups retry {lease.group} --stage convert` makes it again")
    return found


def _sets_in_force(store: Store, mjd: float) -> Sequence[Any]:
    """The registry's sets for a time, as their directories describe them; one that is gone is left out, said so."""
    from contimg.formats.caltables.caltable_set import CaltableSet

    found = []
    for record in store.registry.valid_at(mjd):
        try:
            found.append(CaltableSet.read(record.tables[0].path.parent))
        except BadInput as error:
            log.warning("calibration set %s is in the registry but cannot be read: %s", record.name, error)
    return found
