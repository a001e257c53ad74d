"""Checks of the directories and of the database."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
from sqlalchemy.exc import SQLAlchemyError

from contimg.common.errors import ContimgError, mask_secrets
from contimg.common.files.filesystems import file_system, write_fault
from contimg.formats.uvh5.grouping import SubbandFile
from contimg.settings import Settings, StreamingConfig
from contimg.sky.catalogue import installed_catalogues, open_catalogue
from contimg.store import Store
from contimg.store.database import HEAD, current_revision, refuse_newer
from contimg.store.engine import is_missing, make_engine, url_of
from workers.doctor.finding import Finding, Level, grade
from workers.housekeeping.catalogue import check_tiles
from workers.housekeeping.clocks import LIMIT_S, wrong_clocks

GIGABYTE = 1e9
SUFFICIENT_GB = {"output_dir": 50.0, "scratch_dir": 10.0, "state_dir": 1.0}
MIN_GB = 1.0


def check_directories(settings: Settings, config: StreamingConfig) -> Iterator[Finding]:
    """Check existence, rights, free space and file system of each configured directory.

    Parameters
    ----------
    settings : deployment settings, with the state directory.
    config : the configuration, with the other directories and the database.

    Returns
    -------
    one finding per directory, and an error when an SQLite database is on a network file system.
    """
    yield _check_input_dir(config.input_dir, config.poll_interval)
    yield _check_writable("output_dir", config.output_dir)
    yield _check_writable("scratch_dir", config.scratch_dir)
    yield _check_writable("state_dir", settings.state_dir.absolute())
    if "://" not in config.queue_db and (kind := file_system(Path(config.queue_db))).is_network:
        text = f"{config.queue_db}: SQLite on a network file system ({kind.name}) loses updates"
        remedy = "move the state directory to a local disk, or set CONTIMG_QUEUE_DB to a PostgreSQL URL"
        yield Finding("state_dir", Level.ERROR, text, remedy)


def check_hdf5_locking(incoming: Path) -> Finding:
    """Check whether HDF5 can lock files of the incoming directory; some network file systems refuse.

    The newest subband file is opened for reading, or, where there is none, a temporary file is created and deleted.

    Parameters
    ----------
    incoming : the incoming directory; it need not exist.
    """
    about = "HDF5 locking"
    subband_files = filter(SubbandFile.parse, incoming.iterdir() if incoming.is_dir() else ())
    newest = max(subband_files, key=lambda path: path.name, default=None)
    if newest is None and not _has_access(incoming, os.W_OK):
        return Finding(about, Level.OK, f"{incoming}: not tested, there is no subband file yet")
    try:
        if newest is not None:
            h5py.File(newest, "r", locking=True).close()
        else:
            with tempfile.NamedTemporaryFile(dir=incoming, prefix=".contimg-doctor-", suffix=".part") as probe:
                h5py.File(probe.name, "w", locking=True).close()
    except OSError as error:
        text, remedy = f"{newest}: {str(error).splitlines()[0]}", "check the file; it could not be opened"
        if "lock" in str(error):
            text = f"{incoming}: refused by its file system"
            remedy = "set CONTIMG_CONVERT_FILE_LOCKING=off; finished files are not written to"
        return Finding(about, Level.WARNING, text, remedy)
    return Finding(about, Level.OK, f"{incoming}: works")


def check_database(config: StreamingConfig) -> tuple[Finding, bool]:
    """Check that the database answers, has this version's revision and, with SQLite, is not damaged.

    Parameters
    ----------
    config : the configuration; `queue_db` is the path of an SQLite file or the URL of a database.

    Returns
    -------
    an error when the database does not answer, is damaged or is of a newer version, a warning when it needs an upgrade;
    and whether the store can be read by this version.
    """
    about = "store"
    if is_missing(config.queue_db):
        return Finding(about, Level.OK, f"{config.queue_db}: created at the first start"), False
    try:
        engine = make_engine(url_of(config.queue_db))
    except ContimgError as error:
        return _refused_database(error), False
    try:
        url, revision = mask_secrets(str(engine.url)), current_revision(engine)
        refuse_newer(engine, revision)
        if revision is None:
            return Finding(about, Level.OK, f"{url}: empty, tables are created at the first start"), False
        if revision != HEAD:
            text = f"{url}: revision {revision}, {HEAD} is needed"
            return Finding(about, Level.WARNING, text, "run `contimg db upgrade`"), False
        if engine.dialect.name == "sqlite":
            with engine.connect() as connection:
                result = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if result != "ok":
                remedy = "stop the stream and `contimg restore` a backup"
                return Finding(about, Level.ERROR, f"{url}: damaged ({result})", remedy), True
        return Finding(about, Level.OK, f"{url}: revision {revision}"), True
    except ContimgError as error:
        return _refused_database(error), False
    finally:
        engine.dispose()


def check_service(config: StreamingConfig) -> Iterator[Finding]:
    """Compare the clocks of the hosts with the database's, and list the active alerts.

    Parameters
    ----------
    config : the configuration, with a store of this version.

    Returns
    -------
    one finding for each alert, one for each wrong clock without an alert, and one for this host's clock.
    """
    try:
        store = Store.open(config.queue_db)
        levels = {alert.text: Level(alert.level) for alert in store.alerts.active()}
        clocks, ahead_s = wrong_clocks(store), store.clock_ahead_s()
        store.close()
    except (ContimgError, SQLAlchemyError):
        return  # `check_database` has reported it
    for line, level in {**dict.fromkeys(clocks, Level.WARNING), **levels}.items():
        rule, _, text = line.partition(": ")
        text, _, remedy = text.partition("; ")
        yield Finding(f"alert {rule}", level, text, remedy or "see `contimg alerts`")
    if ahead_s is not None:
        text = f"this host's is {ahead_s:+.1f} s from the database's (limit {LIMIT_S:g} s)"
        fault = (abs(ahead_s) > LIMIT_S, Level.WARNING, "run `timedatectl set-ntp true` on the host that is wrong")
        yield grade("clocks", text, fault)


def check_catalogue(settings: Settings, config: StreamingConfig) -> Finding:
    """Check that a reference catalogue is installed, and that it covers the newest tiles.

    Parameters
    ----------
    settings : deployment settings, which name the catalogue.
    config : the configuration, with a store of this version.
    """
    about = "catalogue"
    try:
        path = settings.reference_path
        if path is None:
            number = len(installed_catalogues(settings.state_dir))
            text = f"{number} installed, none is the reference: images are not compared"
            remedy = "merge them with `contimg catalogue merge`, or name one in CONTIMG_REFERENCE_CATALOGUE"
            return grade(about, text, (number, Level.WARNING, remedy))
        name = open_catalogue(path).label
        store = Store.open(config.queue_db)
        try:
            coverage = check_tiles(store, path)
        finally:
            store.close()
    except (ContimgError, SQLAlchemyError) as error:
        text, _, remedy = str(error).partition("; ")
        return Finding(about, Level.ERROR, text, remedy or "build or name another")
    if coverage is not None and coverage.problem is not None:
        text, _, remedy = coverage.problem.removeprefix("catalogue: ").partition("; ")
        return Finding(about, Level.WARNING, text, remedy)
    tiles = "no tile yet" if coverage is None else f"covers {coverage.covered} of the last {coverage.tiles} tiles"
    return Finding(about, Level.OK, f"{name}: {tiles}")


def _refused_database(error: ContimgError) -> Finding:
    text, _, remedy = str(error).partition("; ")
    return Finding("store", Level.ERROR, text, remedy or "start the database, or correct queue_db")


def _check_input_dir(path: Path, poll_interval_s: float) -> Finding:
    about = "input_dir"
    if not path.is_dir():
        remedy = "create it, or set input_dir to the directory of subband files"
        return Finding(about, Level.ERROR, f"{path}: no such directory", remedy)
    if not _has_access(path, os.R_OK | os.X_OK):
        text, remedy = f"{path}: uid {os.geteuid()} cannot read it", f"chmod o+rx {path}, or give it a group"
        return Finding(about, Level.ERROR, text, remedy)
    kind = file_system(path)
    if not kind.raises_events:
        text = f"{path}: {kind.name} raises no events for files of other writers"
        remedy = f"the scan finds them within {poll_interval_s:g} s; lower poll_interval for a shorter delay"
        return Finding(about, Level.WARNING, text, remedy)
    return Finding(about, Level.OK, f"{path}: readable ({kind.name})")


def _check_writable(about: str, path: Path) -> Finding:
    if fault := write_fault(path):
        text, _, remedy = str(fault).partition("; ")
        return Finding(about, Level.ERROR, text, f"{remedy}, or set {about} to another directory")
    free_gb = shutil.disk_usage(next(parent for parent in (path, *path.parents) if parent.exists())).free / GIGABYTE
    return grade(
        about,
        f"{path}: {free_gb:.0f} GB free" + ("" if path.exists() else ", to be created"),
        (free_gb < MIN_GB, Level.ERROR, f"free some space (minimum {MIN_GB:g} GB); stages fail"),
        (free_gb < SUFFICIENT_GB[about], Level.WARNING,
         f"free some space: {SUFFICIENT_GB[about]:g} GB last a few hours at native size"),
    )  # fmt: skip


def _has_access(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=True)
