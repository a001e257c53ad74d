"""Who runs the stream where no supervisor of ours does: containers, systemd's units, or an agent that may command them.

A backend knows its own parts only (the producer and the workers of one deployment), never the panel or the broker.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from contimg.options import Options, option
from contimg.settings import Settings
from workers.service.records import CommandOutcome


class BackendOptions(Options, env_prefix="CONTIMG_SERVICE_"):
    """Which of them it is, and where."""

    backend: Literal["auto", "process", "docker", "systemd", "agent"] = option(
        "auto", "who runs the stream"
    )  # fmt: skip
    project: str = option("contimg", "compose project whose containers are ours")
    engine: Path = option(Path("/var/run/docker.sock"), "socket of the container engine")
    agent: Path = option(Path("/run/contimg/agent.sock"), "socket of the agent")


@dataclass(frozen=True)
class PartsStatus:
    """The stream as its backend sees it.

    Attributes
    ----------
    running : whether the producer runs.
    name : of the container or unit, or None when there is none.
    pid : of the producer, where the backend tells it.
    started_at : epoch seconds.
    cpu_percent, memory_mb : of all parts; 100 % is one core. None when they do not run.
    """

    running: bool
    name: str | None = None
    pid: int | None = None
    started_at: float | None = None
    cpu_percent: float | None = None
    memory_mb: float | None = None


class Backend(Protocol):
    """What the manager asks of each. Commands wait until they are done."""

    kind: str

    def status(self) -> PartsStatus:
        """The parts now; Transient when whoever runs them does not answer."""

    def start(self) -> CommandOutcome:
        """Start the parts."""

    def stop(self) -> CommandOutcome:
        """Stop the parts after the stages under way."""

    def restart(self) -> CommandOutcome:
        """Stop and start them."""


def choose(settings: Settings, options: BackendOptions | None = None) -> Backend | None:
    """The backend that is told or found; None where the stream is a process of our own, or would be."""
    from workers.service.backends.agent import AgentClient
    from workers.service.backends.containers import Containers
    from workers.service.backends.units import Units

    options = options or BackendOptions.from_environment()
    containers = Containers(options.engine, options.project)
    match options.backend:
        case "agent":
            return AgentClient(options.agent)
        case "docker":
            return containers
        case "systemd":
            return Units()
        case "process":
            return None
    if options.agent.is_socket():
        return AgentClient(options.agent)
    if Units.are_installed():
        return Units()
    return containers if containers.work_on(settings.state_dir.absolute()) else None
