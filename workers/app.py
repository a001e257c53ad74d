"""The Celery app: `celery -A workers.app worker -Q convert` works by itself."""

import logging
import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery, signals
from celery.utils.text import str_to_list

from contimg.errors import ContimgError
from contimg.files.processes import limit_memory
from contimg.settings import Settings, StageLimits, load
from contimg.store import Stage
from workers import logs
from workers.broker import check_answers, check_url, url_in_force, without_password
from workers.celery_settings import celery_settings

log = logging.getLogger(__name__)
_QUEUES = "CELERY_WORKER_QUEUES"  # of the worker that a pool process belongs to


def _broker_url() -> str:
    """The broker in force; the `celery` command would show a traceback for a wrong setting, so it ends here."""
    try:
        return check_url(url_in_force(Settings.from_environment()))
    except ContimgError as error:
        sys.stderr.write(f"contimg: {error}\n")
        sys.exit(error.exit_code)


def _limits() -> StageLimits:
    """The limits of stages; a wrong one is one line, as a wrong broker is."""
    try:
        return StageLimits.from_environment()
    except ContimgError as error:
        sys.stderr.write(f"contimg: {error}\n")
        sys.exit(error.exit_code)


app = Celery("contimg", include=["workers.execution.tasks"])
app.conf.update(celery_settings(_broker_url(), _limits().stage_limit_s))


@signals.setup_logging.connect
def _our_log_lines(**_: Any) -> None:
    settings = Settings.from_environment()
    logs.configure(settings, load(settings))


@signals.celeryd_init.connect
def _say_when_there_is_no_broker(**_: Any) -> None:
    """One line beside Celery's own attempts, which go on until the broker is there."""
    url = url_in_force(Settings.from_environment())
    try:
        check_answers(url)
        log.info("broker %s", without_password(url))
    except ContimgError as error:
        log.error("%s; trying again until it does", error)


@signals.heartbeat_sent.connect
def _show_that_it_works(**_: Any) -> None:
    """Touch the file whose age is this worker's health where it runs in a container.

    Celery beats every 2 s while its loop turns and the broker answers; asking it through the broker instead would take
    a second of processor time each time.
    """
    if beat := os.environ.get("CONTIMG_WORKER_BEAT"):
        Path(beat).touch()


@signals.celeryd_init.connect
def _tell_children_their_queues(options: dict[str, Any], **_: Any) -> None:
    os.environ[_QUEUES] = ",".join(str_to_list(options.get("queues") or ()))


@signals.worker_process_init.connect
def _limit_memory(**_: Any) -> None:
    limit_memory(_limits().stage_memory_mb << 20)


@signals.worker_process_init.connect
def _load_what_its_stages_need(**_: Any) -> None:
    """Before its first tile comes, and not while that waits."""
    from workers.execution import stages

    for stage in Stage:
        if stage in os.environ.get(_QUEUES, "").split(","):
            stages.load(stage)


@signals.worker_init.connect
def _stop_when_stages_have_ended(sender: Any, **_: Any) -> None:
    from workers.execution.shutdown import wait_for_stages
    from workers.execution.tasks import stage_context

    sender.wait_for_soft_shutdown = lambda: wait_for_stages(sender, stage_context().store)


@signals.worker_shutdown.connect
def _give_back_what_was_cut_short(**_: Any) -> None:
    """Leases of children that a cold shutdown ended go back uncounted, so that a restart goes on at once."""
    from workers.execution.recovery import release_leases_of_dead_processes
    from workers.execution.tasks import stage_context

    release_leases_of_dead_processes(stage_context().store)
