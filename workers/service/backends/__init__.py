"""Backends: what runs the stream where no supervisor does, that is containers, systemd units, or an agent for these.

A backend controls the producer and the workers of one deployment, not the panel or the broker.
"""

from pathlib import Path
from typing import Literal, Protocol

from contimg.common.options import Options, option
from contimg.settings import Settings
from workers.service.records import Command, CommandOutcome, PartsStatus


class BackendOptions(Options, env_prefix="CONTIMG_SERVICE_"):
    """Selection of the backend, and its addresses."""

    backend: Literal["auto", "process", "docker", "systemd", "agent"] = option("auto", "What runs the stream")
    project: str = option("contimg", "Compose project of the stream's containers")
    engine: Path = option(Path("/var/run/docker.sock"), "Socket of the container engine")
    agent: Path = option(Path("/run/contimg/agent.sock"), "Socket of the agent")


class Backend(Protocol):
    """Interface of a backend."""

    kind: str

    def status(self) -> PartsStatus:
        """Return the state of the parts; raises Transient when the backend does not answer."""

    def execute(self, command: Command) -> CommandOutcome:
        """Start, stop (after the stages under way) or restart the parts, and wait until that is done.

        Parameters
        ----------
        command : `start`, `stop` or `restart`.

        Returns
        -------
        the outcome; `success` is False when the parts refused or did not get ready in time.

        Raises
        ------
        Transient : the backend does not answer.
        """


def choose_backend(settings: Settings, options: BackendOptions | None = None) -> Backend | None:
    """Return the configured or detected backend; None where the stream is a child of a supervisor.

    Parameters
    ----------
    settings : deployment settings; containers must use its state directory.
    options : the options, by default of the environment.
    """
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
    return containers if containers.use_state_dir(settings.state_dir.absolute()) else None
