"""Celery's configuration for senders, workers and inspection. Every setting was tested.

The store holds the state and messages only announce work, so they are acknowledged early: a stage that a killed worker
leaves behind is repeated by its lease, not by the broker.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Transport as RedisTransport
from redis.exceptions import ResponseError

from contimg.settings.broker import BrokerAddress
from contimg.store import Stage
from workers.broker import PREFIX


class Transport(RedisTransport):  # type: ignore[misc]  # kombu has no types
    """Kombu's transport, which waits for a server that answers and takes no messages as for one that does not answer.

    A read-only replica and a server whose memory is full accept connections; without the check a worker would end, or
    connect again without a pause.
    """

    connection_errors = (*RedisTransport.connection_errors, ResponseError)

    def establish_connection(self) -> Any:
        """Connect, and check that the server takes messages.

        Raises
        ------
        redis.exceptions.ResponseError : it refuses them.
        """
        connection = super().establish_connection()
        try:
            self._avail_channels[-1].client.set("probe", "1", ex=60)
        except Exception:
            self.close_connection(connection)
            raise
        return connection


TRANSPORT_ALIASES |= dict.fromkeys(("redis", "rediss"), f"{__name__}:{Transport.__name__}")


def celery_settings(broker_url: str, stage_limit_s: float = 3600.0) -> dict[str, Any]:
    """Return Celery's configuration.

    Parameters
    ----------
    broker_url : URL of the broker, in any spelling that `BrokerAddress` understands.
    stage_limit_s : maximum duration of a stage, s.
    """
    address = BrokerAddress.parse(broker_url)
    return {
        "broker_url": address.celery_url,
        "broker_use_ssl": address.ssl_options,
        # JSON only: a message cannot carry code.
        "task_serializer": "json",
        "accept_content": ["json"],
        # A queue for each stage of a tile; mosaics go through that of images.
        "task_routes": {f"contimg.{stage}": {"queue": str(stage.queue)} for stage in Stage},
        "task_default_queue": str(Stage.CONVERT),
        # Early acknowledgement, no prefetch; a killed child uses up an attempt and is not redelivered for ever.
        "task_acks_late": False,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "task_retry_on_worker_lost": True,
        "task_reject_on_worker_lost": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # No message is lost while the broker is away for a minute or two. Intervals in seconds.
        "task_publish_retry_policy": dict(max_retries=120, interval_start=0.2, interval_step=0.5, interval_max=5),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "visibility_timeout": 43200,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "queue_order_strategy": "priority",
            "priority_steps": [0, 3, 6, 9],
            "global_keyprefix": PREFIX,
        },
        # A stage that hangs is killed with its process; the reconciler ends its lease.
        "task_time_limit": stage_limit_s,
        # The store holds the results of stages; without a backend, sending needs no second connection.
        "task_ignore_result": True,
        # HDF5, casacore and CASA do not survive fork. A child is replaced after a number of stages or above a resident
        # size, before its leaks matter; a new one needs seconds for its imports and must not be killed for that.
        "worker_pool_start_method": "spawn",
        "worker_max_tasks_per_child": 1000,
        "worker_max_memory_per_child": 3 << 20,  # KB
        "worker_proc_alive_timeout": 120.0,
        "worker_soft_shutdown_timeout": 30,
        # 0 is the highest priority on Redis, and a message without priority would have it.
        "task_default_priority": 6,
        "task_inherit_parent_priority": True,
        "task_track_started": True,
        "worker_send_task_events": True,
        "task_send_sent_event": True,
    }
