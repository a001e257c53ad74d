"""Write docs/reference.md from the program itself: every command, setting and address of the API.

usage: scripts/write_reference.py           write it
       scripts/write_reference.py --check   exit with 1 when it is not what the program says
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from flask import Flask

from contimg.cli import contimg as command
from contimg.settings import Settings, StreamingConfig, section_classes
from contimg.store import Store
from web import create_app

REFERENCE = Path(__file__).parents[1] / "docs/reference.md"
HEADING = """# Reference

Written by `scripts/write_reference.py` from the program itself; `make docs-check` fails when it is old.
"""


def whole() -> str:
    """The page."""
    parts = (HEADING, *commands(), *settings(), *api())
    return "\n".join(parts)


def commands() -> Iterator[str]:
    """Each command with what it takes."""
    yield "## Commands\n"
    yield "Exit codes: 0 done, 1 failed, 2 a setting, path or usage is wrong, 3 the data are, 4 try again later.\n"
    yield from _command(command, click.Context(command, info_name="contimg"))


def _command(found: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(found, click.Group):
        for name in found.list_commands(context):
            if inner := found.get_command(context, name):
                yield from _command(inner, click.Context(inner, info_name=name, parent=context))
        return
    usage = found.get_usage(context).removeprefix("Usage: ")
    yield f"### `{' '.join(usage.split())}`\n\n{_sentences(found.help or '')}\n"
    options = [one for one in found.params if isinstance(one, click.Option)]
    if options:
        yield "| option | default | what it is |\n|---|---|---|"
        for one in options:
            yield f"| {_flags(one)} | {_default(one.default)} | {_cell(one.help or '')} |"
        yield ""


def settings() -> Iterator[str]:
    """The keys of the configuration, and every environment variable."""
    yield "## Settings\n"
    yield "The sixteen keys of `streaming_config.json`; `CONTIMG_<KEY>` in the environment wins over the file.\n"
    yield "| key | default | what it is |\n|---|---|---|"
    for key, about in StreamingConfig.model_fields.items():
        yield f"| `{key}` | {_default(about.default)} | {_cell(about.description or '')} |"
    yield "\nEnvironment only:\n\n| variable | default | what it is |\n|---|---|---|"
    for name, default, help_text in sorted(_variables()):
        yield f"| `{name}` | {default} | {_cell(help_text)} |"
    yield ""


def _variables() -> Iterator[tuple[str, str, str]]:
    """Yield name, default and meaning of each environment variable that is not a key of the file."""
    keys = set(StreamingConfig.variables().values())
    for section in section_classes():
        for name, variable in section.variables().items():
            field = section.model_fields[name]
            if variable not in keys:
                yield variable, _default(field.default), field.description or ""


def api() -> Iterator[str]:
    """Each address of the panel's API with what it says of itself."""
    app = _app()
    yield "## API\n\nCommands (POST) ask for `Authorization: Bearer TOKEN` where `CONTIMG_TOKEN` is set.\n"
    yield "| request | what it does |\n|---|---|"
    for rule in sorted(app.url_map.iter_rules(), key=lambda one: one.rule):
        methods = ", ".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        if rule.rule.startswith(("/api", "/metrics", "/healthz", "/openapi")):
            about = (app.view_functions[rule.endpoint].__doc__ or "").strip().splitlines() or [""]
            yield f"| `{methods} {rule.rule}` | {_cell(about[0])} |"


def _app() -> Flask:
    with tempfile.TemporaryDirectory() as directory:
        store = Store.open(Path(directory) / "store.sqlite3")
        app = create_app(Settings(state_dir=Path(directory)), store)
        store.close()
        return app


def _flags(one: click.Option) -> str:
    return _cell(" ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts)))


def _default(value: object) -> str:
    if value is None or callable(value) or value == "" or "Sentinel" in type(value).__name__ or "UNSET" in repr(value):
        return ""
    text = str(value)
    return f"`{text}`" if text else ""


def _sentences(text: str) -> str:
    return " ".join(text.replace("\b", "").split())


def _cell(text: str) -> str:
    return _sentences(text).replace("|", "\\|")


if __name__ == "__main__":
    page = whole()
    if sys.argv[1:] == ["--check"]:
        sys.exit(
            0
            if REFERENCE.read_text(encoding="utf-8") == page + "\n"
            else f"{REFERENCE}: old; run scripts/write_reference.py"
        )
    REFERENCE.write_text(page + "\n", encoding="utf-8")
