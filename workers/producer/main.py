"""The producer process: the loops of producer, reconciler and housekeeper, from configuration to clean end."""

import logging
import signal
import threading

from sqlalchemy.exc import SQLAlchemyError

from contimg.errors import Misconfigured
from contimg.settings import DispatchSettings, Settings, load
from contimg.store import Store
from workers import logs
from workers.execution.liveness import LivenessFiles
from workers.execution.recovery import release_leases_of_dead_processes
from workers.housekeeping.chores import chores
from workers.housekeeping.housekeeper import Housekeeper
from workers.producer.producer import BEAT, ENDED, Producer
from workers.producer.scanner import Incoming
from workers.scheduling import messages as chain
from workers.scheduling.calibrator_tiles import CalibratorTiles
from workers.scheduling.dispatcher import Dispatcher
from workers.scheduling.reconciler import Reconciler
from workers.service.watchdog import ScanWatchdog

log = logging.getLogger(__name__)
_ENDING = {signal.SIGTERM, signal.SIGINT}


def produce() -> None:
    """Run until SIGTERM or SIGINT. Start-up is recovery: what dead processes held goes back, then all is scanned."""
    settings = Settings.from_environment()
    config, flow = load(settings), DispatchSettings.from_environment()
    logs.configure(settings, config)
    if config.input_dir.exists() and not config.input_dir.is_dir():
        raise Misconfigured(f"input_dir={config.input_dir}: not a directory; give the one where subband files arrive")
    store = Store.of(config)
    release_leases_of_dead_processes(store)
    dispatcher = Dispatcher(store, chain.send_job, flow, config.max_workers, _calibrators(store))
    producer = Producer(store, Incoming(config.input_dir), dispatcher, config.poll_interval, flow.events)
    liveness = LivenessFiles(settings.state_dir)
    reconciler = Reconciler(store, dispatcher, chain.backlog, config.worker_poll_interval, liveness)
    watchdog = ScanWatchdog(lambda: store.activity.last_beat(BEAT), config.poll_interval)
    # Waiting for signals instead of handling them: a handler could interrupt a lock that it needs itself.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    stop = threading.Event()
    working = (producer, reconciler, Housekeeper(chores(config, store)))
    loops = [threading.Thread(target=one.run, args=(stop,), name=type(one).__name__) for one in working]
    for loop in loops:
        loop.start()
    log.info("watching %s", config.input_dir)
    while signal.sigtimedwait(_ENDING, 1.0) is None and all(loop.is_alive() for loop in loops):
        watchdog.tick()
    stop.set()
    producer.wake()
    for loop in loops:
        loop.join()
    _say_that_it_ended(store)
    store.close()
    log.info("ended")


def _say_that_it_ended(store: Store) -> None:
    try:
        store.activity.beat(ENDED)
    except SQLAlchemyError as error:  # it will be seen by the age of the last scan
        log.error("store: %s", str(error).splitlines()[0])


def _calibrators(store: Store) -> CalibratorTiles:
    """Tiles of calibrators, by the limits that the calibrate stage has."""
    from contimg.tile.calibrate.options import CalibrateOptions

    limits = CalibrateOptions.from_environment()
    return CalibratorTiles(store, limits.min_attenuation, limits.min_apparent_jy)
