"""The `contimg` command: subcommands are found by name and loaded on demand."""

import ast
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import click

from contimg import __version__
from contimg.cli import commands
from contimg.errors import ContimgError


class Commands(click.Group):
    """Loads a subcommand's module only when it is run; `contimg --help` reads what they say of themselves."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every module of `contimg.cli.commands`."""
        return sorted(module.name for module in iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command that a module of `contimg.cli.commands` holds under its own name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(import_module(f"contimg.cli.commands.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands, each with the first sentence of its docstring."""
        names = self.list_commands(ctx)
        room = formatter.width - 6 - max(len(name) for name in names)
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, click.Command(name, help=_docstring(name)).get_short_help_str(room)) for name in names]
            )


def _docstring(command: str) -> str:
    """Of a subcommand's function, from its source: to import all of them takes seconds."""
    for place in commands.__path__:
        tree = ast.parse((Path(place) / f"{command}.py").read_text(encoding="utf-8"))
        for one in tree.body:
            if isinstance(one, ast.FunctionDef) and one.name == command:
                return ast.get_docstring(one) or ""
    return ""


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="contimg")
def contimg() -> None:
    """The DSA-110's stream of subband files, turned into calibrated continuum images."""


def main() -> None:
    """Run the command; an error that this package raises on purpose is one line and its own exit code."""
    try:
        contimg.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except ContimgError as error:
        click.echo(f"contimg: {error}", err=True)
        sys.exit(error.exit_code)
