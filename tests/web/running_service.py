"""A service that is up, as the service manager describes one."""

import time
from dataclasses import dataclass, field, replace

from contimg.store import Store

TOKEN = "correct horse battery staple"


@dataclass
class RunningService:
    """A service that is up, as the service manager describes one; it records its commands."""

    store: Store
    commands: list[str] = field(default_factory=list)
    running: bool = True
    pid: int | None = 4711
    started_at: float | None = field(default_factory=lambda: time.time() - 45_000)
    uptime_seconds: float | None = 45_000.0
    cpu_percent: float | None = 61.0
    memory_mb: float | None = 2212.0
    last_heartbeat: float | None = None
    config: dict[str, object] = field(default_factory=dict)
    error: str | None = None
    paused: bool = False
    backend: str | None = "docker"
    container: str | None = "contimg-stream-1"
    success: bool = True

    @property
    def message(self) -> str:
        return f"{self.commands[-1]} done"

    def status(self) -> "RunningService":
        return replace(self, paused=self.store.jobs.paused)

    def execute(self, command: str) -> "RunningService":
        self.commands.append(command)
        self.running = command != "stop"
        return self
