"""`contimg workers`: workers and queues, as Celery itself says."""

from dataclasses import asdict

import click

from contimg.cli.listing import as_json_option, print_json
from contimg.errors import Transient
from contimg.settings import Settings


@click.command()
@as_json_option
def workers(as_json: bool) -> None:
    """Ask the workers who they are, what they take and what they do; the answer takes a second or two."""
    from contimg.store import Stage
    from workers.broker import url_in_force
    from workers.inspection import Asker

    found = Asker().ask(url_in_force(Settings.from_environment()))
    if found.error:
        raise Transient(found.error)
    if as_json:
        print_json({**asdict(found), "unserved": found.unserved})
        return
    for one in found.workers:
        click.echo(f"{one.name}  takes {', '.join(one.queues)}; {one.busy} of {one.processes} busy, {one.done} done")
    for stage in Stage:
        served = "" if str(stage) not in found.unserved else ", no worker takes them"
        click.echo(f"{stage}: {found.waiting.get(str(stage), 0)} messages wait{served}")
