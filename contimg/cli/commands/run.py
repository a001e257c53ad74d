"""`contimg run`: broker, producer, workers and panel, until Ctrl-C."""

import os
from pathlib import Path

import click

from contimg.settings import Settings, load


@click.command()
@click.argument("input_dir", required=False, type=click.Path(path_type=Path))
@click.option("--output-dir", type=click.Path(path_type=Path), help="Where products go.  [default: as configured]")
@click.option("--web/--no-web", default=True, show_default=True, help="Serve the panel as well.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the panel.  [default: CONTIMG_WEB_PORT or 8080]")
@click.option("--flower/--no-flower", default=False, show_default=True, help="Run Flower, Celery's own monitor, too.")
def run(input_dir: Path | None, output_dir: Path | None, web: bool, port: int | None, flower: bool) -> None:
    """Process the subband files that arrive in INPUT_DIR (default: as configured) until Ctrl-C.

    Ctrl-C ends it after the stages under way, a second one at once; the next start goes on where this one stopped.
    """
    from workers import logs
    from workers.service import Extras
    from workers.service.display import Display
    from workers.service.running import run_until_told
    from workers.service.supervisor import Supervisor

    settings = Settings.from_environment()
    given = {"CONTIMG_INPUT_DIR": input_dir, "CONTIMG_OUTPUT_DIR": output_dir}
    environ = {**os.environ, **{name: str(path.absolute()) for name, path in given.items() if path is not None}}
    config = load(settings, environ)
    logs.configure(settings, config.model_copy(update={"log_level": "WARNING"}))
    settings = settings if port is None else settings.replace(web_port=port)
    extras = Extras(web, settings.web_host, settings.web_port, flower, settings.flower_port)
    supervisor = Supervisor(settings, extras, environ)
    display: Display | None = None

    def look() -> bool:
        nonlocal display
        if display is None:
            display = Display(supervisor.store)
            click.echo(f"watching {config.input_dir}, products in {config.output_dir}; Ctrl-C ends it")
            if web:
                click.echo(f"panel: http://{settings.web_host}:{settings.web_port}/")
        display.refresh()
        return True

    def leave() -> None:
        if display is not None:
            display.close()
            click.echo("stopping after the stages under way; Ctrl-C again stops at once")

    run_until_told(supervisor, look, leave)
    click.echo("stopped; nothing is left running")
