"""The service of one machine: a supervisor that runs it, and a manager that asks and tells it from outside."""

from workers.service.manager import StreamingServiceManager
from workers.service.plan import Extras
from workers.service.records import CommandOutcome, ServiceHealth, ServiceStatus
from workers.service.running import run_until_told
from workers.service.supervisor import Supervisor

__all__ = [
    "CommandOutcome",
    "Extras",
    "ServiceHealth",
    "ServiceStatus",
    "StreamingServiceManager",
    "Supervisor",
    "run_until_told",
]
