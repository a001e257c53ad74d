"""The service of one machine: a supervisor that runs it, and a manager that asks and tells it from outside.

The supervisor is in `workers.service.running` and `.supervisor`: who only asks loads none of what it runs.
"""

from workers.service.manager import StreamingServiceManager
from workers.service.plan import Extras
from workers.service.records import CommandOutcome, ServiceHealth, ServiceStatus

__all__ = [
    "CommandOutcome",
    "Extras",
    "ServiceHealth",
    "ServiceStatus",
    "StreamingServiceManager",
]
