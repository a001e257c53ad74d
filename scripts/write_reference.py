"""Write docs/reference.md from the program: every command, setting and API request.

usage: scripts/write_reference.py           write the page
       scripts/write_reference.py --check   exit with 1 when the page differs from the program
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from flask import Flask
from pydantic.fields import FieldInfo

from contimg.cli import contimg as root_command
from contimg.common.options import choices, limits
from contimg.settings import Settings, StreamingConfig, section_classes
from contimg.store import Store
from web import create_app

REFERENCE = Path(__file__).parents[1] / "docs/reference.md"
HEADING = """# Reference

Written by `scripts/write_reference.py` from the program; `make docs-check` fails when it is out of date.
"""


def write_page() -> str:
    """Return the text of the page."""
    return "\n".join((HEADING, *commands(), *settings(), *api(), ""))


def commands() -> Iterator[str]:
    """Yield the section of each command with its options."""
    yield "## Commands\n"
    yield "Exit codes: 0 success, 1 failure, 2 wrong setting, path or usage, 3 wrong data, 4 try again later; "
    yield "`contimg status` ends with 4 while a full disk pauses the stream.\n"
    yield from _command(root_command, click.Context(root_command, info_name="contimg"))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if subcommand := command.get_command(context, name):
                yield from _command(subcommand, click.Context(subcommand, info_name=name, parent=context))
        return
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield f"### `{' '.join(usage.split())}`\n\n{_join_lines(command.help or '')}\n"
    options = [option for option in command.params if isinstance(option, click.Option)]
    if options:
        yield "| option | default | description |\n|---|---|---|"
        for option in options:
            names = " ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
            yield _row(names, _default(option.default), option.help or "")
        yield ""


def settings() -> Iterator[str]:
    """Yield the keys of the configuration and the environment variables of every section."""
    yield "## Settings\n"
    yield "The sixteen keys of `streaming_config.json`; `CONTIMG_<KEY>` in the environment overrides the file.\n"
    yield "| key | default | values | description |\n|---|---|---|---|"
    for key, field in StreamingConfig.model_fields.items():
        yield _setting(key, field)
    yield "\nEnvironment only:\n\n| variable | default | values | description |\n|---|---|---|---|"
    keys = set(StreamingConfig.variables().values())
    fields = {
        variable: section.model_fields[name]
        for section in section_classes()
        for name, variable in section.variables().items()
        if variable not in keys
    }
    for variable, field in sorted(fields.items()):
        yield _setting(variable, field)
    yield ""


def _setting(name: str, field: FieldInfo) -> str:
    values = ", ".join(f"`{choice}`" for choice in choices(field)) or str(limits(field))
    return _row(f"`{name}`", _default(field.default), values, field.description or "")


def api() -> Iterator[str]:
    """Yield each request of the panel's API with its parameters, from the API's document."""
    app = _app()
    yield "## API\n"
    yield "[api.md](api.md) explains paging, times, errors and tokens. `/openapi.json` has every field with its unit.\n"
    yield "| request | description |\n|---|---|"
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if rule.rule.startswith(("/metrics", "/healthz", "/openapi")):
            lines = (app.view_functions[rule.endpoint].__doc__ or "").strip().splitlines() or [""]
            yield _row(f"`GET {rule.rule}`", lines[0])
    for path, methods in sorted(app.api_doc["paths"].items()):  # type: ignore[attr-defined]
        for method, operation in methods.items():
            yield f"\n### `{method.upper()} {path}`\n\n{operation['summary']} {operation['description']}\n"
            if parameters := operation.get("parameters"):
                yield "| parameter | default | example | description |\n|---|---|---|---|"
                for parameter in parameters:
                    schema = parameter["schema"]
                    default, example = _default(schema.get("default")), f"`{schema['examples'][0]}`"
                    yield _row(f"`{parameter['name']}`", default, example, parameter["description"])


def _app() -> Flask:
    with tempfile.TemporaryDirectory() as directory:
        store = Store.open(Path(directory) / "store.sqlite3")
        app = create_app(Settings(state_dir=Path(directory)), store)
        store.close()
        return app


def _default(value: object) -> str:
    is_unset = value in (None, "") or callable(value) or "UNSET" in repr(value)
    return "" if is_unset else f"`{value}`"


def _join_lines(text: str) -> str:
    return " ".join(text.replace("\b", "").split())


def _row(*cells: str) -> str:
    return f"| {' | '.join(_join_lines(cell).replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    page = write_page()
    if sys.argv[1:] == ["--check"]:
        is_current = REFERENCE.read_text(encoding="utf-8") == page
        sys.exit(0 if is_current else f"{REFERENCE}: out of date; run scripts/write_reference.py")
    REFERENCE.write_text(page, encoding="utf-8")
