"""The Celery app: `celery -A workers.app worker -Q convert` works without further settings."""

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from celery import Celery, signals
from celery.utils.text import str_to_list

from contimg.common.errors import ContimgError, os_refusal
from contimg.common.files.processes import limit_memory
from contimg.settings import Settings, StageLimits, check_all, load
from contimg.store import Stage
from contimg.store.engine import check_rights
from workers import logs
from workers.broker import check_answers, url_in_force
from workers.celery_settings import celery_settings
from workers.service.streams import check_broker_is_known, check_store_exists

log = logging.getLogger(__name__)
_QUEUES = "CELERY_WORKER_QUEUES"  # queues of the worker that a child process belongs to
Value = TypeVar("Value")


def _or_exit(read: Callable[[], Value]) -> Value:
    """Return a setting; end with one line when it is wrong, where the `celery` command would print a traceback."""
    try:
        return read()
    except (ContimgError, OSError) as error:
        reported = os_refusal(error) if isinstance(error, OSError) else error
        sys.stderr.write(f"contimg: {reported}\n")
        sys.exit(reported.exit_code)


def _check_settings() -> None:
    """Check every setting, that there is a store, and that this user may write to it."""
    settings = Settings.from_environment()
    config = check_all(settings)
    check_store_exists(settings)
    check_rights(config.queue_db)


def _broker_url() -> str:
    """Return the broker's URL; a command of Celery in a directory that leads to no broker would wait for ever."""
    settings = Settings.from_environment()
    if Path(sys.argv[0]).parts[-2:] in (("celery", "__main__.py"), ("bin", "celery")):
        check_broker_is_known(settings)
    return url_in_force(settings)


app = Celery("contimg", include=["workers.execution.tasks"])
app.conf.update(celery_settings(_or_exit(_broker_url), _or_exit(StageLimits.from_environment).stage_limit_s))


@signals.setup_logging.connect
def _configure_logs(**_: Any) -> None:
    settings = Settings.from_environment()
    logs.configure(settings, load(settings))


@signals.celeryd_init.connect
def _log_broker(options: dict[str, Any], **_: Any) -> None:
    """Check the settings, log the broker or that it is away (Celery then connects), pass the queues to children."""
    _or_exit(_check_settings)
    os.environ[_QUEUES] = ",".join(str_to_list(options.get("queues") or ()))
    try:
        check_answers(_broker_url())
        log.info("broker %s", _broker_url())
    except ContimgError as error:
        log.error("%s; connecting until it answers", error)


@signals.heartbeat_sent.connect
def _touch_beat_file(**_: Any) -> None:
    """Touch the file whose age is the health of a worker in a container.

    Celery sends a heartbeat every 2 s while its loop runs and the broker answers. A request through the broker instead
    would cost a second of processor time each time.
    """
    if path := os.environ.get("CONTIMG_WORKER_BEAT"):
        with suppress(OSError):  # a full disk; the age of the file then shows it
            Path(path).touch()


@signals.worker_process_init.connect
def _prepare_child(**_: Any) -> None:
    """Limit the memory of a child process and import the libraries of its stages before its first message."""
    from workers.execution import stages

    limit_memory(_or_exit(StageLimits.from_environment).stage_memory_mb << 20)
    for stage in Stage:
        if stage.queue in os.environ.get(_QUEUES, "").split(","):
            stages.load(stage)


@signals.worker_init.connect
def _wait_for_stages_at_shutdown(sender: Any, **_: Any) -> None:
    from workers.execution.shutdown import wait_for_stages
    from workers.execution.tasks import stage_context

    sender.wait_for_soft_shutdown = lambda: wait_for_stages(sender, stage_context().store)


@signals.worker_ready.connect
def _record_clock(**_: Any) -> None:
    from workers.execution.tasks import stage_context
    from workers.housekeeping.clocks import record_clock_repeatedly

    record_clock_repeatedly(lambda: stage_context().store)


@signals.worker_shutdown.connect
def _release_leases_of_children(**_: Any) -> None:
    """Release leases of children that a cold shutdown has killed: a restart repeats their stages at once."""
    from workers.execution.recovery import release_leases_of_dead_processes
    from workers.execution.tasks import stage_context

    logs.RepeatedSteps().run("release of leases", lambda: release_leases_of_dead_processes(stage_context().store))
