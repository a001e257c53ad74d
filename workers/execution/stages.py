"""The stages of all kinds of jobs: what each reads from the store, its function, and what it commits.

The order of the stages of a kind is declared in `contimg.store.jobs.kinds`. A new kind is declared there and here.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from contimg.common.errors import BadInput, ContimgError
from contimg.common.files.names import check_name
from contimg.common.files.staging import MARK, restore_replaced
from contimg.epoch.windows import strip_of_key
from contimg.instrument.time import mjd_to_unix
from contimg.settings import Settings, StreamingConfig
from contimg.store import ARCHIVE, LIVE, EpochMeasurements, EpochMosaic, Lease, Stage, Store, StoredMS
from contimg.store.products.tile_products import CopiedMS
from contimg.survey.campaigns.directories import campaign_directory

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageContext:
    """The configuration and the store of a process that executes stages."""

    config: StreamingConfig
    store: Store

    def product_dir(self, processing: str = LIVE) -> Path:
        """Return the directory of the products of a processing; a campaign has its own.

        Parameters
        ----------
        processing : name of a campaign, or LIVE.
        """
        return campaign_directory(self.config.output_dir, processing)

    def environ(self, processing: str = LIVE) -> Mapping[str, str]:
        """Return the environment variables that give the options of a stage.

        Parameters
        ----------
        processing : name of a campaign, whose preset replaces settings of the stream, or LIVE.
        """
        return os.environ if processing == LIVE else {**os.environ, **self.store.campaigns.preset(processing)}

    def measurement_set_path(self, group: str, processing: str = LIVE) -> Path:
        """Return the path of a new Measurement Set of a group.

        Parameters
        ----------
        group : id of the group, the time in the name of the file that founded it.
        processing : name of a campaign, or LIVE.
        """
        return self.product_dir(processing) / f"{check_name(group, 'group')}.ms"

    @property
    def staging_dirs(self) -> list[Path]:
        """Where a Measurement Set may be written before it is moved, the best first; none: beside its path."""
        return [self.config.tmpfs_path, self.config.scratch_dir] if self.config.stage_to_tmpfs else []


@dataclass(frozen=True)
class StageDefinition:
    """How a stage is executed.

    Attributes
    ----------
    libraries : modules to import before a lease is taken.
    run : reads the stage's inputs from the lease and the store, and returns the product, which is committed.
    """

    libraries: tuple[str, ...]
    run: Callable[[StageContext, Lease], Any]


def load(stage: Stage) -> None:
    """Import what a stage needs, before its lease is taken.

    Losing the lease interrupts a stage anywhere; in the middle of an import it would leave half a library in this
    process, which every later stage would use.

    Parameters
    ----------
    stage : the stage whose libraries are imported.
    """
    for name in STAGES[stage].libraries:
        import_module(name)


def run(context: StageContext, lease: Lease) -> list[Any]:
    """Run the leased stage and return its results, which the commit writes.

    Parameters
    ----------
    context : the configuration and the store.
    lease : the lease; it names the job and the stage.

    Returns
    -------
    list of the results of the stage and of their files with their checksums, for `store.leases.commit`.

    Raises
    ------
    BadInput : the job's Measurement Set is missing or cannot be processed.
    Exception : any other error of the stage's function passes through.
    """
    result = STAGES[lease.stage].run(context, lease)
    if lease.kind == ARCHIVE.name:
        return []
    products = result if isinstance(result, list) else [result]
    return [*products, _checksum(context, lease, products)]


def _checksum(context: StageContext, lease: Lease, products: list[Any]) -> Any:
    """The files that a stage has written, with their checksums; subband files are those of the stream."""
    from contimg.survey.archive.births import checksum_product
    from contimg.survey.archive.options import ArchiveOptions
    from contimg.tile.selfcal.options import SelfcalOptions

    environ = context.environ(lease.processing)
    changes_ms = lease.stage is Stage.CALIBRATE
    changes_ms |= lease.stage is Stage.IMAGE and SelfcalOptions.from_environment(environ).enabled
    ms: Any = context.store.products.measurement_set(lease.job_id) if changes_ms else None
    ms = next((product for product in products if isinstance(product, CopiedMS)), ms)
    return checksum_product(
        products[-1], ms.path if ms else None, lease.files.values() if lease.processing == LIVE else (),
        context.config.output_dir, ArchiveOptions.from_environment(),
    )  # fmt: skip


def is_broken(context: StageContext, lease: Lease) -> bool:
    """Return whether the Measurement Set of a job that was converted is there and cannot be read.

    No stage leaves one, because all change a copy: a power cut does, or a failing disk.

    Parameters
    ----------
    context : the configuration and the store.
    lease : the lease on the stage that failed; for the stage `convert`, and of a campaign, the answer is False.
    """
    from contimg.formats.ms.info import read_ms_info

    ms = context.store.products.measurement_set(lease.job_id)
    if lease.stage is Stage.CONVERT or lease.processing != LIVE or ms is None or not ms.path.is_dir():
        return False
    try:
        read_ms_info(ms.path)
    except ContimgError as error:
        return isinstance(error, BadInput)
    return False


def _read_measurement_set(context: StageContext, lease: Lease) -> StoredMS:
    """The Measurement Set of a job; that of the live job for a campaign that has none of its own."""
    ms = context.store.products.measurement_set(lease.job_id)
    if ms is None and lease.processing != LIVE:
        ms = context.store.products.measurement_set(lease.key)
    if ms is not None and restore_replaced(ms.path):
        log.warning("%s: was put aside by a process that was killed; put back", ms.path)
    if ms is None or not ms.path.is_dir():
        path = ms.path if ms else context.measurement_set_path(lease.key, lease.processing)
        raise BadInput(f"{path}: is gone; `contimg groups retry {lease.key} --stage convert` converts it again")
    return ms


def _read_caltable_sets(context: StageContext, ms: StoredMS, processing: str, borrow_days: float) -> list[Any]:
    """The caltable sets in force at the time of a Measurement Set, or to borrow; unreadable ones are left out."""
    from contimg.formats.caltables.caltable_set import CaltableSet

    sets = []
    mid_mjd = 0.5 * (ms.mjd_start + ms.mjd_end)
    for record in context.store.registry.valid_at(mid_mjd, processing=processing, borrow_days=borrow_days):
        try:
            sets.append(CaltableSet.read(record.tables[0].path.parent))
        except BadInput as error:
            log.warning("calibration set %s is in the registry but cannot be read: %s", record.name, error)
    return sets


def _convert(context: StageContext, lease: Lease) -> Any:
    from contimg.tile.convert import ConvertOptions, convert

    present = context.store.products.measurement_set(lease.job_id)  # elsewhere after a promotion
    path = present.path if present else context.measurement_set_path(lease.key, lease.processing)
    options = ConvertOptions.from_environment(context.environ(lease.processing))
    product = convert(lease.files, path, options, scratch=context.staging_dirs)
    for note in product.notes:
        context.store.events.add(note, level="warning", group=lease.key, processing=lease.processing)
    return product


def _calibrate(context: StageContext, lease: Lease) -> Any:
    from contimg.formats.ms.flags import FLAG_COLUMNS
    from contimg.formats.ms.revision import copy_measurement_set
    from contimg.quality.caltables import SolutionLimits
    from contimg.tile.calibrate.options import CalibrateOptions
    from contimg.tile.calibrate.run import calibrate

    ms, environ = _read_measurement_set(context, lease), context.environ(lease.processing)
    options, limits = CalibrateOptions.from_environment(environ), SolutionLimits.from_environment(environ)
    if not options.catalogue and (path := Settings.from_environment().reference_path):
        options = options.replace(catalogue=str(path))
    sets = _read_caltable_sets(context, ms, lease.processing, options.borrow_days)
    directory = context.product_dir(lease.processing) / "calibration"
    path, copied = ms.path, []
    if lease.processing != LIVE and context.store.products.measurement_set(lease.job_id) is None:
        path = context.measurement_set_path(lease.key, lease.processing)
        copy_measurement_set(ms.path, path, FLAG_COLUMNS)
        copied = [CopiedMS(path)]
    with TemporaryDirectory(prefix="contimg-sources-") as scratch:
        if not options.catalogue and options.sky_gains:
            options = options.replace(catalogue=write_own_sources(context, ms, Path(scratch)))
        return [*copied, calibrate(path, sets, directory, options, limits)]


def write_own_sources(context: StageContext, ms: StoredMS, directory: Path) -> str:
    """Write the sources of earlier mosaics around a tile as a catalogue.

    Parameters
    ----------
    context : with the store.
    ms : the tile's Measurement Set.
    directory : where the catalogue is written.

    Returns
    -------
    Its path, or empty where no good mosaic has a source near.
    """
    from contimg.sky.catalogue import PIPELINE, CatalogueSources, Provenance, write_catalogue

    radius_deg, start_s = 3.0, mjd_to_unix(ms.mjd_start)
    sources = context.store.mosaics.find_sources(ms.ra_deg, ms.dec_deg, radius_deg, start_s)
    if not sources:
        return ""
    names, *columns = ([source[key] for source in sources] for key in ("name", "ra_deg", "dec_deg", "flux_jy"))
    freq_hz, path = float(sources[0]["freq_hz"]), directory / "mosaics.catalogue"
    provenance = Provenance(
        name="mosaics", kind=PIPELINE, frequency_hz=freq_hz, beam_deg=45 / 3600, flux_limit_jy=min(columns[2]),
        source_table="the brightest sources of earlier mosaics",
    )  # fmt: skip
    write_catalogue(path, CatalogueSources.of(freq_hz, names, *columns), provenance)
    return str(path)


def _image(context: StageContext, lease: Lease) -> Any:
    from contimg.quality import image as quality
    from contimg.tile import image as imaging

    ms, environ = _read_measurement_set(context, lease), context.environ(lease.processing)
    options = imaging.ImageOptions.from_environment(environ)
    thresholds = quality.QualityThresholds.from_environment(environ)
    history_rms_jy = None
    if ms.calibration_set:  # the unit of an uncalibrated image is not Jy
        mid_mjd = 0.5 * (ms.mjd_start + ms.mjd_end)
        history_rms_jy = context.store.products.history_rms_jy(ms.dec_deg, mid_mjd, lease.processing)
    present = context.store.products.image_of(lease.job_id)  # elsewhere after a promotion
    directory = present.fits_path.parent if present else context.product_dir(lease.processing) / "images"
    catalogue = Settings.from_environment().reference_path
    with _readable(context, lease, ms) as path:
        _self_calibrate(context, lease, replace(ms, path=path), options)
        return imaging.image(path, directory, options, thresholds, history_rms_jy, catalogue)


@contextmanager
def _readable(context: StageContext, lease: Lease, ms: StoredMS) -> Iterator[Path]:
    """The Measurement Set to image. A campaign images a copy of another job's, which may change meanwhile."""
    from contimg.formats.ms.flags import FLAG_COLUMNS
    from contimg.formats.ms.revision import copy_measurement_set

    if lease.processing == LIVE or context.store.products.measurement_set(lease.job_id) is not None:
        yield ms.path
        return
    directory = context.product_dir(lease.processing)
    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f"{ms.path.name}{MARK}", dir=directory) as scratch:
        copy_measurement_set(ms.path, Path(scratch) / ms.path.name, FLAG_COLUMNS)
        yield Path(scratch) / ms.path.name


def _self_calibrate(context: StageContext, lease: Lease, ms: StoredMS, image_options: Any) -> None:
    """Self-calibrate a calibrated tile before its image, where that is switched on."""
    from contimg.formats.caltables.caltable_set import CaltableSet
    from contimg.tile.selfcal import run as selfcal
    from contimg.tile.selfcal.options import SelfcalOptions

    options, registry = SelfcalOptions.from_environment(context.environ(lease.processing)), context.store.registry
    record = registry.set_named(ms.calibration_set, lease.processing) if ms.calibration_set else None
    if options.enabled and record is not None:
        calibration = CaltableSet.read(record.tables[0].path.parent)
        done = selfcal.selfcal(ms.path, options, image_options, calibration)
        context.store.events.add(f"self-calibration: {done.reason}", group=ms.group, processing=lease.processing)


def _mosaic(context: StageContext, lease: Lease) -> EpochMosaic:
    from contimg.epoch.mosaic import MosaicOptions, MosaicThresholds, make_mosaic

    store, job = context.store, context.store.jobs.job(lease.job_id)
    tiles, strip = store.epochs.tiles(lease.job_id), strip_of_key(lease.key)
    if job is None or strip is None or not tiles:
        raise BadInput(f"{lease.label}: has no tile image; `contimg groups retry` makes those of its groups")
    history_rms_jy = store.mosaics.history_rms_jy(strip, job.reference_s, lease.processing)
    directory = context.product_dir(lease.processing) / "mosaics"
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{check_name(lease.key, 'epoch')}.fits"
    environ = context.environ(lease.processing)
    options, thresholds = MosaicOptions.from_environment(environ), MosaicThresholds.from_environment(environ)
    paths, catalogue = [tile.fits_path for tile in tiles], Settings.from_environment().reference_path
    mosaic = make_mosaic(paths, path, options, thresholds, history_rms_jy, catalogue)
    return EpochMosaic(mosaic, tiles)


def _measure(context: StageContext, lease: Lease) -> EpochMeasurements:
    from workers.execution.measuring import measure_epoch

    environ = context.environ(lease.processing)
    return measure_epoch(context.store, lease, Settings.from_environment().reference_path, environ)


def _copy(context: StageContext, lease: Lease) -> None:
    from contimg.survey.archive.copying import copy_night

    copy_night(context.store, *_place_and_night(lease))


def _verify(context: StageContext, lease: Lease) -> None:
    from contimg.survey.archive.copying import verify_night

    verify_night(context.store, *_place_and_night(lease))


def _place_and_night(lease: Lease) -> tuple[Any, str]:
    from contimg.survey.archive.copying import find_place
    from contimg.survey.archive.options import ArchiveOptions, read_places

    name, _, night = lease.key.partition("/")
    rules = read_places(ArchiveOptions.from_environment(), Settings.from_environment().base_dir)
    return find_place(rules, name), night


# The libraries of the stages load in the process that computes, not where messages are only passed on.
STAGES: Mapping[Stage, StageDefinition] = {
    Stage.CONVERT: StageDefinition(("contimg.tile.convert.run", "contimg.formats.ms.info"), _convert),
    Stage.CALIBRATE: StageDefinition(("contimg.tile.calibrate.run",), _calibrate),
    Stage.IMAGE: StageDefinition(("contimg.tile.image.run", "contimg.quality.image"), _image),
    Stage.MOSAIC: StageDefinition(("contimg.epoch.mosaic.run",), _mosaic),
    Stage.MEASURE: StageDefinition(("workers.execution.measuring",), _measure),
    Stage.COPY: StageDefinition(("contimg.survey.archive.copying",), _copy),
    Stage.VERIFY: StageDefinition(("contimg.survey.archive.copying",), _verify),
}
