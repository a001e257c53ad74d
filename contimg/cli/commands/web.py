"""`contimg web`: serve the control panel."""


import click

from contimg.settings import Settings, load


@click.command()
@click.option(
    "--host",
    help="Address; others reach all but loopback, which needs CONTIMG_TOKEN.  [default: CONTIMG_WEB_HOST or 127.0.0.1]",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one.  [default: CONTIMG_WEB_PORT or 8080]"
)
def web(host: str | None, port: int | None) -> None:
    """Serve the control panel and the REST API until Ctrl-C or SIGTERM."""
    from web import create_app
    from web.http.serving import check_exposure, listen, serve, url_of
    from workers.logs import configure
    from workers.service import StreamingServiceManager

    settings = Settings.from_environment()
    settings = settings.replace(
        web_host=settings.web_host if host is None else host,
        web_port=settings.web_port if port is None else port,
    )
    check_exposure(settings.web_host, settings.token)
    listening = listen(settings.web_host, settings.web_port)
    configure(settings, load(settings))
    app = create_app(settings, service=StreamingServiceManager(settings))
    click.echo(f"panel at {url_of(listening)}")
    serve(app, listening)
