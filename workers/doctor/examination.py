"""Everything that is looked at, in the order in which one would mend it."""

from collections.abc import Callable, Iterator

from contimg.errors import ContimgError, Misconfigured
from contimg.settings import Settings, load
from workers.doctor import directories, machine, packages, store
from workers.doctor.finding import Finding, error, ok

Broker = Callable[[], str]


def examine(settings: Settings, broker: Broker) -> Iterator[Finding]:
    """Each finding as it is made. `broker` says in words where the broker is, or raises ContimgError."""
    yield from packages.python_packages()
    yield from machine.cores_and_memory()
    yield machine.clock()
    yield machine.inotify()
    yield packages.casa_data()
    yield packages.earth_orientation()
    yield packages.wsclean()
    try:
        config = load(settings)
    except Misconfigured as wrong:
        yield error("configuration", str(wrong), "mend it; the checks that need it were left out")
        return
    yield ok("configuration", f"{settings.config_path}, environment over it: `contimg config check`")
    yield from directories.directories(settings, config)
    yield directories.hdf5_locking(config.input_dir)
    yield machine.memory_file_system(config)
    yield machine.workers(config)
    yield store.database(config)
    try:
        yield ok("broker", broker())
    except ContimgError as wrong:
        first, _, remedy = str(wrong).partition("; ")
        yield error("broker", first, remedy or "start it")
