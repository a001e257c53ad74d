"""Checks of a machine for `contimg doctor`. Nothing is changed."""

from collections.abc import Callable, Iterator

from contimg.common.errors import ContimgError, Misconfigured
from contimg.settings import Settings, ignored_values, load
from workers.doctor import machine, packages, storage
from workers.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "examine"]


def examine(settings: Settings, describe_broker: Callable[[], str]) -> Iterator[Finding]:
    """Yield each finding as it is made, in the order in which errors are best corrected.

    Parameters
    ----------
    settings : deployment settings.
    describe_broker : returns the state of the broker in words, or raises ContimgError.
    """
    yield from packages.check_python_packages()
    yield from machine.check_cores_and_memory()
    yield machine.check_clock()
    yield machine.check_inotify()
    yield machine.check_open_files()
    yield packages.check_casa_data()
    yield packages.check_earth_orientation()
    yield packages.check_wsclean()
    try:
        config = load(settings)
    except Misconfigured as error:
        yield Finding("configuration", Level.ERROR, str(error), "correct it; the checks that need it were left out")
        return
    ignored = ignored_values(settings)
    for message in ignored:
        text, _, remedy = message.partition("; ")
        yield Finding("configuration", Level.WARNING, text, remedy)
    if not ignored:
        text = f"{settings.config_path} and the environment; see `contimg config check`"
        yield Finding("configuration", Level.OK, text)
    yield from storage.check_directories(settings, config)
    yield storage.check_hdf5_locking(config.input_dir)
    yield machine.check_tmpfs(config)
    yield machine.check_workers(config)
    database, is_readable = storage.check_database(config)
    yield database
    try:
        yield Finding("broker", Level.OK, describe_broker())
    except ContimgError as error:
        text, _, remedy = str(error).partition("; ")
        yield Finding("broker", Level.ERROR, text, remedy or "start it")
    if is_readable:
        yield storage.check_catalogue(settings, config)
        yield from storage.check_service(config)
