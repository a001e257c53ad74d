"""`contimg night [DATE]`: what became of a night."""

import click

from contimg.cli.shared import by_option, open_store, print_json
from contimg.common.errors import BadInput
from contimg.settings import Settings, load
from contimg.store.survey.nights.nights import day_limits
from contimg.survey.nights import render_markdown, render_text, write_report


@click.command()
@click.argument("date", required=False)
@click.option("--html", "form", flag_value="html", help="Write the page of the report again, and print its path.")
@click.option("--json", "form", flag_value="json", help="Print JSON instead of text.")
@click.option("--markdown", "form", flag_value="markdown", help="Print Markdown instead of text.")
@click.option("--note", metavar="TEXT", help="Add a note of an observer to the night.")
@by_option
def night(date: str | None, form: str | None, note: str | None, by: str) -> None:
    """Show what became of a night, which is one UTC day.

    DATE is a day such as 2026-02-22; without it, the day of the newest tile. The report of a day that is over is the
    page `nights/DATE/night.html` of the products, which the stream writes by itself within five minutes.
    """
    if date is not None:
        day_limits(date)
    with open_store() as store:
        day = date or store.nights.newest_day()
        if day is None:
            raise BadInput("no tile in the store yet; give a day such as 2026-02-22")
        if note is not None:
            store.nights.add_note(day, note, by)
        shown = store.nights.night(day)
    if form == "json":
        print_json(shown)
    elif form == "html":
        click.echo(str(write_report(shown, load(Settings.from_environment()).output_dir)))
    else:
        click.echo(render_markdown(shown) if form == "markdown" else render_text(shown), nl=False)
