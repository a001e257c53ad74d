"""`contimg agent`: the process that may start and stop the stream for a panel that may not."""

import signal
import threading
from pathlib import Path

import click

from contimg.errors import Misconfigured
from contimg.settings import Settings, load


@click.command()
@click.option("--backend", type=click.Choice(["docker", "systemd"]), required=True, help="Who runs the stream.")
@click.option("--socket", "path", type=click.Path(path_type=Path), help="Where it listens.  [default: as configured]")
def agent(backend: str, path: Path | None) -> None:
    """Listen for start, stop, restart and status of this deployment's stream, until SIGTERM or Ctrl-C.

    Run it as a user who may command the container engine or systemd, in the panel's group; the panel needs no such
    right.
    """
    from workers.logs import configure
    from workers.service.backends import BackendOptions
    from workers.service.backends.agent import AgentServer
    from workers.service.backends.containers import Containers
    from workers.service.backends.units import Units

    settings = Settings.from_environment()
    configure(settings, load(settings))
    options = BackendOptions.from_environment()
    if backend == "docker" and not options.engine.is_socket():
        raise Misconfigured(f"{options.engine}: no socket of a container engine; CONTIMG_SERVICE_ENGINE names it")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    server = AgentServer(
        path or options.agent, Containers(options.engine, options.project) if backend == "docker" else Units()
    )
    threading.Thread(target=server.serve, daemon=True).start()
    click.echo(f"agent for {backend}, listening on {path or options.agent}")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.close()
