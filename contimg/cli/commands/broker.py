"""`contimg broker`: the message broker of one machine, by itself."""

import signal

import click

from contimg.errors import Transient
from contimg.settings import Settings

_ENDING = {signal.SIGTERM, signal.SIGINT}


@click.command()
def broker() -> None:
    """Run the broker that `contimg run` would start, until SIGTERM or Ctrl-C, for workers that are started one by one.

    Producer, workers and panel of the same state directory find it by themselves.
    """
    from workers.broker import EmbeddedBroker, server_program
    from workers.service.watchdog import notify

    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    embedded = EmbeddedBroker(Settings.from_environment().state_dir)
    endpoint = embedded.start()
    click.echo(f"{server_program().name} on 127.0.0.1:{endpoint.port}, messages in {embedded.directory}")
    notify("READY=1")
    try:
        while signal.sigtimedwait(_ENDING, 1.0) is None:
            if not embedded.is_running:
                raise Transient(f"{embedded.directory}: the broker ended; see {embedded.directory / 'server.log'}")
    finally:
        embedded.stop()
