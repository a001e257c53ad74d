"""The messages of a job: one chain of its remaining stages, each carrying the job's id and nothing else."""

from typing import Any

from celery import chain
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from contimg.store import QUEUES, Stage
from contimg.store.jobs.kinds import LIVE_PRIORITY
from contimg.store.jobs.records import JobRef
from workers.app import app
from workers.broker import broker_error

# The producer must not stand still while the broker is away: what is not sent, the reconciler sends later.
_BRIEFLY = {"max_retries": 1, "interval_start": 0.2, "interval_step": 0.2, "interval_max": 0.5}


def send(job: JobRef, stage: Stage = Stage.CONVERT, priority: int = LIVE_PRIORITY) -> None:
    """Send the chain of a job from `stage` on.

    Parameters
    ----------
    job : id of the job, or of the group whose live job is meant.
    stage : first stage of the chain; the remaining stages of its kind follow.
    priority : priority in the broker; the lower number goes first.

    Raises
    ------
    Transient : the broker does not take the message soon.
    """
    # Given in each message, for a sender does not load the tasks and their defaults: without, it would wait for the
    # result backend, and the messages would have the highest priority.
    options: dict[str, Any] = {"ignore_result": True, "priority": priority}
    messages = (app.signature(f"contimg.{name}", (job,), options=options, immutable=True) for name in stage.remaining)
    try:
        chain(*messages).apply_async(retry=True, retry_policy=_BRIEFLY)
    except (OperationalError, RedisError) as error:
        raise broker_error(app.conf.broker_url, error) from None


def backlog() -> dict[Stage, int]:
    """How many messages wait in each queue; Transient when the broker does not answer."""
    with app.connection_for_read() as connection:
        try:
            with connection.channel() as channel:  # default_channel would try for ever
                # Declared, not only looked up: with a key prefix kombu then finds no queue at all.
                return {queue: int(channel.queue_declare(queue=str(queue)).message_count) for queue in QUEUES}
        except (*connection.connection_errors, RedisError) as error:
            raise broker_error(app.conf.broker_url, error) from None
