"""`contimg run` and its parts: `producer`, `web`, `broker`, `agent`; and `workers`, which lists Celery's workers."""

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

import click

from contimg.cli.shared import PATH, as_json_option, print_json
from contimg.common.errors import Misconfigured, Transient
from contimg.common.options import Choice
from contimg.formats.records import to_plain
from contimg.settings import Settings, check_all, load
from contimg.store import Store
from contimg.store.engine import is_missing

_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


@click.command()
@click.argument("input_dir", required=False, type=PATH)
@click.option("--output-dir", type=PATH, help="Directory of products.  [default: as configured]")
@click.option("--web/--no-web", default=True, show_default=True, help="Serve the panel.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the panel.  [default: CONTIMG_WEB_PORT or 8080]")
@click.option("--flower/--no-flower", default=False, show_default=True, help="Run Flower, Celery's monitor.")
def run(input_dir: Path | None, output_dir: Path | None, web: bool, port: int | None, flower: bool) -> None:
    """Run broker, producer, workers and panel until Ctrl-C.

    The subband files that arrive in INPUT_DIR (default: as configured) are processed. Ctrl-C stops the stream after the
    stages under way, a second one immediately; the next start continues from there.
    """
    from workers import logs
    from workers.service import Extras
    from workers.service.display import Display
    from workers.service.loop import run_until_stopped
    from workers.service.plan import describe_addresses
    from workers.service.supervisor import Supervisor

    settings = Settings.from_environment()
    directories = {"CONTIMG_INPUT_DIR": input_dir, "CONTIMG_OUTPUT_DIR": output_dir}
    environ = {**os.environ, **{name: str(path.absolute()) for name, path in directories.items() if path is not None}}
    config = load(settings, environ)
    logs.configure(settings, config.model_copy(update={"log_level": "WARNING"}))
    settings = settings if port is None else settings.replace(web_port=port)
    extras = Extras(web, flower)

    def show(store: Store) -> Display:
        display = Display(store)
        display.print(f"watching {config.input_dir}, products in {config.output_dir}; Ctrl-C stops")
        for line in describe_addresses(extras, settings, environ):
            display.print(line)
        return display

    run_until_stopped(Supervisor(settings, extras, environ), show)
    with suppress(OSError):
        click.echo("stopped; no process is left running")


@click.command()
def producer() -> None:
    """Watch the incoming directory and dispatch jobs.

    It runs until SIGTERM or Ctrl-C. Workers are separate processes: celery -A workers.app worker -Q convert.
    """
    from workers.producer.main import run_producer

    run_producer()


@click.command()
@click.option(
    "--host", help="Address; any but loopback requires CONTIMG_TOKEN.  [default: CONTIMG_WEB_HOST or 127.0.0.1]"
)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [default: CONTIMG_WEB_PORT or 8080]"
)
def web(host: str | None, port: int | None) -> None:
    """Serve the panel and the REST API until Ctrl-C or SIGTERM."""
    from web import create_app
    from web.http.serving import check_exposure, listen, serve, url_of
    from workers.logs import configure
    from workers.service import StreamingServiceManager
    from workers.service.plan import describe_token
    from workers.service.streams import find_streams

    settings = Settings.from_environment()
    flags = {"web_host": host, "web_port": port}
    settings = settings.replace(**{name: value for name, value in flags.items() if value is not None})
    check_exposure(settings.web_host, settings.token)
    listening = listen(settings.web_host, settings.web_port)
    config = check_all(settings)
    configure(settings, config)
    if is_missing(config.queue_db):
        for stream in find_streams():
            click.echo(f"contimg: {stream}, not of this state directory, which has no store yet", err=True)
    app = create_app(settings, service=StreamingServiceManager(settings))
    click.echo(f"panel at {url_of(listening)}  {describe_token(settings)}")
    serve(app, listening)


@click.command()
def broker() -> None:
    """Run the broker of `contimg run` by itself.

    It runs until SIGTERM or Ctrl-C, for workers started separately. Producer, workers and panel of the same state
    directory find it themselves.
    """
    from workers.broker import EmbeddedBroker, server_program
    from workers.service.watchdog import notify_systemd

    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    settings = Settings.from_environment()
    check_all(settings)
    embedded = EmbeddedBroker(settings.state_dir)
    endpoint = embedded.start()
    click.echo(f"{server_program().name} on 127.0.0.1:{endpoint.port}, messages in {embedded.directory}")
    notify_systemd("READY=1")
    try:
        while signal.sigtimedwait(_STOP_SIGNALS, 1.0) is None:
            if not embedded.is_running:
                raise Transient(f"{embedded.directory}: the broker ended; see {embedded.directory / 'server.log'}")
    finally:
        embedded.stop()


@click.command()
@click.option("--backend", type=Choice(["docker", "systemd"]), required=True, help="Manager of the stream.")
@click.option("--socket", "path", type=PATH, help="Socket of the agent.  [default: as configured]")
def agent(backend: str, path: Path | None) -> None:
    """Start and stop the stream's containers or units.

    It accepts the panel's start, stop, restart and status of this deployment's stream, until SIGTERM or Ctrl-C. Run it
    as a user who may use the container engine or systemd, in the panel's group; the panel then needs no such right.
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
        raise Misconfigured(f"{options.engine}: not the socket of a container engine; set CONTIMG_SERVICE_ENGINE")
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    controlled = Containers(options.engine, options.project) if backend == "docker" else Units()
    server = AgentServer(path or options.agent, controlled)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    click.echo(f"agent for {backend}, listening on {path or options.agent}")
    signal.sigwait(_STOP_SIGNALS)
    server.close()


@click.command()
@as_json_option
def workers(as_json: bool) -> None:
    """List Celery's workers and the messages of each queue.

    It takes a second or two.
    """
    from contimg.store import Stage
    from workers.broker import url_in_force
    from workers.inspection import CeleryInspector
    from workers.service.streams import check_broker_is_known

    settings = Settings.from_environment()
    check_broker_is_known(settings)
    inspection = CeleryInspector().inspect(url_in_force(settings))
    if inspection.error:
        raise Transient(inspection.error)
    if as_json:
        print_json({**to_plain(inspection), "unserved": inspection.unserved})
        return
    for worker in inspection.workers:
        click.echo(
            f"{worker.name}  queues {', '.join(worker.queues)}; {worker.busy} of {worker.processes} busy, "
            f"{worker.done} done"
        )
    for stage in map(str, Stage):
        unserved = ", no worker serves this queue" if stage in inspection.unserved else ""
        click.echo(f"{stage}: {inspection.waiting.get(stage, 0)} messages waiting{unserved}")
