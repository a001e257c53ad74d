"""`contimg doctor`: is this machine fit for the stream?"""

import sys
from dataclasses import asdict

import click

from contimg.cli.listing import as_json_option, print_json
from contimg.settings import Settings

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command()
@as_json_option
def doctor(as_json: bool) -> None:
    """Look at everything that the stream needs of this machine; each line is ok, a warning or an error with its remedy.

    The exit status is 0 without errors, 1 with one. Nothing is changed.
    """
    from workers.doctor import Level, examine

    settings = Settings.from_environment()
    found = []
    for one in examine(settings, lambda: _broker(settings)):
        found.append(one)
        if not as_json:
            level = click.style(f"{one.level:<8}", fg=_COLOURS[one.level])
            click.echo(f"{level} {one.about:<18} {one.text}")
            if one.remedy:
                click.echo(f"{'':8} {'':18} -> {one.remedy}")
    if as_json:
        print_json([asdict(one) for one in found])
    sys.exit(any(one.level is Level.ERROR for one in found))


def _broker(settings: Settings) -> str:
    """Where the broker is, in words; raises ContimgError when it is nowhere."""
    from workers.broker import LAST_RESORT, check_answers, server_program, url_in_force, without_password

    url = url_in_force(settings)
    if url == LAST_RESORT and not settings.broker_url:
        return f"none runs; `contimg run` starts {server_program()}"
    check_answers(url)
    return f"{without_password(url)} answers"
