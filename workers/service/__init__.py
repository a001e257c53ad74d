"""The service of one machine: the supervisor that runs it, and the manager that other processes control it with.

This package imports the manager only; `workers.service.supervisor` and `.loop` load what the supervisor needs.
"""

from workers.service.manager import StreamingServiceManager
from workers.service.plan import Extras
from workers.service.records import CommandOutcome, ServiceHealth, ServiceStatus

__all__ = ["CommandOutcome", "Extras", "ServiceHealth", "ServiceStatus", "StreamingServiceManager"]
