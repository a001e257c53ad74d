"""The `contimg` command: each subcommand's module is imported when the subcommand runs."""

import ast
import os
import sys
import traceback
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path

import click

from contimg import __version__
from contimg.errors import ContimgError, mask_secrets, os_refusal

# Subcommand to the module of this package that holds it.
MODULES = {
    name: module
    for module, names in {
        "calibrations": ("calibrations", "calibrators", "recalibrate"),
        "configuration": ("config",),
        "convert": ("convert",),
        "demo": ("demo", "simulate"),
        "groups": ("groups",),
        "images": ("images",),
        "machine": ("doctor", "plan"),
        "processes": ("agent", "broker", "producer", "run", "web", "workers"),
        "service": ("alerts", "events", "pause", "restart", "resume", "start", "status", "stop"),
        "stages": ("calibrate", "image", "selfcal"),
        "store": ("backup", "db", "restore", "retention"),
    }.items()
    for name in names
}


class Commands(click.Group):
    """Group that imports a subcommand's module on use; its help reads the docstrings from the source."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of `MODULES`."""
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand; None for an unknown name."""
        if cmd_name not in MODULES:
            return None
        command: click.Command = getattr(import_module(f"contimg.cli.{MODULES[cmd_name]}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands, each with the first sentence of its docstring."""
        width = formatter.width - 6 - max(map(len, MODULES))
        texts = {name: text for module in set(MODULES.values()) for name, text in _docstrings(module)}
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, click.Command(name, help=texts[name]).get_short_help_str(width)) for name in sorted(MODULES)]
            )


def _docstrings(module: str) -> list[tuple[str, str]]:
    """Read the docstrings of a module's functions without importing it, which takes seconds."""
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8"))
    return [(node.name, ast.get_docstring(node) or "") for node in tree.body if isinstance(node, ast.FunctionDef)]


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="contimg")
def contimg() -> None:
    """Turn the DSA-110's stream of subband files into calibrated continuum images."""


def main() -> None:
    """Run the command; an error of the package prints one line and sets its exit code."""
    for stream in (sys.stdout, sys.stderr):  # names of files may hold bytes that no encoding has
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        contimg.main(standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the output goes to `head`; nothing more can be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except (ContimgError, OSError) as error:
        reported = os_refusal(error) if isinstance(error, OSError) else error
        click.echo(f"contimg: {reported}", err=True)
        sys.exit(reported.exit_code)
    except Exception:  # noqa: BLE001 (printed as Python does, without passwords)
        click.echo(mask_secrets(traceback.format_exc()), err=True, nl=False)
        sys.exit(1)
