"""The producer process: producer, reconciler and periodic tasks, each in a thread."""

import logging
import signal
import threading

from sqlalchemy.exc import SQLAlchemyError

from contimg.common.errors import Misconfigured
from contimg.settings import DispatchSettings, Settings, check_all, ignored_values
from contimg.store import JobRecord, Store
from contimg.store.engine import check_rights
from contimg.survey.campaigns.options import CampaignOptions
from workers import logs
from workers.execution.processes import LivenessFiles
from workers.execution.recovery import release_leases_of_dead_processes
from workers.housekeeping.schedule import PeriodicTask, TaskSchedule, periodic_tasks
from workers.producer import END_BEAT, SCAN_BEAT
from workers.producer.producer import Producer
from workers.producer.scanner import IncomingScanner
from workers.scheduling import messages
from workers.scheduling.calibrator_tiles import CalibratorTiles
from workers.scheduling.dispatcher import Dispatcher
from workers.scheduling.reconciler import Reconciler
from workers.service.watchdog import ScanWatchdog

log = logging.getLogger(__name__)
_END_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def run_producer() -> None:
    """Run until SIGTERM or SIGINT. The leases of dead processes of this machine are released first.

    Raises
    ------
    Misconfigured : a setting is wrong, or `input_dir` is not a directory.
    """
    settings = Settings.from_environment()
    config, dispatch = check_all(settings), DispatchSettings.from_environment()
    logs.configure(settings, config)
    if config.input_dir.exists() and not config.input_dir.is_dir():
        raise Misconfigured(
            f"input_dir={config.input_dir}: not a directory; set it to the one in which subband files arrive"
        )
    check_rights(config.queue_db)
    store = Store.of(config)
    for message in ignored_values(settings):
        log.warning("%s", message)
        store.events.add(message, level="warning")
    release_leases_of_dead_processes(store)

    def send(job: JobRecord) -> None:
        messages.send(job.id, job.stage, job.priority)

    campaigns = CampaignOptions.from_environment()
    dispatcher = Dispatcher(store, send, dispatch, config.max_workers, CalibratorTiles.of(store), campaigns)
    producer = Producer(store, IncomingScanner(config.input_dir), dispatcher, config.poll_interval, dispatch.events)
    reconciler = Reconciler(store, dispatcher, messages.backlog, LivenessFiles(settings.state_dir))
    reconciliation = PeriodicTask("reconciliation", config.worker_poll_interval, reconciler.round)
    watchdog = ScanWatchdog(lambda: store.activity.last_beat(SCAN_BEAT), config.poll_interval)
    # Signals are waited for, not handled: a handler could interrupt the holder of a lock that it needs itself.
    signal.pthread_sigmask(signal.SIG_BLOCK, _END_SIGNALS)
    stop = threading.Event()
    loops = (producer, TaskSchedule([reconciliation]), TaskSchedule(periodic_tasks(config, store)))
    threads = [threading.Thread(target=loop.run, args=(stop,)) for loop in loops]
    for thread in threads:
        thread.start()
    log.info("%s: scanned every %g s", config.input_dir, config.poll_interval)
    while signal.sigtimedwait(_END_SIGNALS, 1.0) is None and all(thread.is_alive() for thread in threads):
        watchdog.tick()
    stop.set()
    producer.wake()
    for thread in threads:
        thread.join()
    try:
        store.activity.beat(END_BEAT)
    except SQLAlchemyError as error:  # the age of the last scan shows the end
        log.error("store: the end of the producer was not recorded: %s", str(error).splitlines()[0])
    store.close()
    log.info("producer ended")
