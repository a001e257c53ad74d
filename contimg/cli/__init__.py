"""The `contimg` command: the table of its commands; a command's module is imported when the command runs."""

import ast
import os
import sys
import traceback
from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from contimg import __version__
from contimg.common.errors import BadInput, ContimgError, mask_secrets, os_refusal

_STATE_DIR = "PIPELINE_STATE_DIR"


class Access(StrEnum):
    """What a command does to the state directory and its store."""

    READ = "reading"  # it creates and changes nothing; without a store it ends with exit status 2
    WRITE = "writing"  # it changes a store that exists, or files outside the state directory
    CREATE = "creating"  # it also creates the store where there is none


READ, WRITE, CREATE = Access
Marks = Access | Mapping[str, Access]

# Section of the help, command, module of this package, and the mark of the command or of each of its subcommands.
COMMANDS: Mapping[str, Mapping[str, tuple[str, Marks]]] = {
    "Run: the stream and its processes": {
        "run": ("processes", CREATE),
        "start": ("service", CREATE),
        "stop": ("service", WRITE),
        "restart": ("service", WRITE),
        "demo": ("demo", WRITE),
        "producer": ("processes", CREATE),
        "web": ("processes", CREATE),
        "broker": ("processes", CREATE),
        "agent": ("processes", WRITE),
    },
    "Look: state and products": {
        "status": ("service", READ),
        "images": ("tile.images", {"list": READ, "show": READ, "get": WRITE}),
        "alerts": (
            "service",
            {
                **{"list": READ, "acknowledge": WRITE, "silence": WRITE},
                **{"maintenance list": READ, "maintenance add": WRITE, "maintenance end": WRITE},
            },
        ),
        "events": ("service", READ),
        "sources": (
            "sources",
            {"list": READ, "show": READ, "export": WRITE, "add": WRITE, "candidates": READ, "decide": WRITE},
        ),
        "publish": ("survey.publication", {"make": WRITE, "verify": WRITE}),
        "workers": ("processes", READ),
        "calibrators": ("tile.calibrations", READ),
        "antennas": ("tile.antennas", {"list": READ, "show": READ}),
        "night": ("survey.nights", WRITE),
    },
    "Act: on the queue and the calibration": {
        "pause": ("service", WRITE),
        "resume": ("service", WRITE),
        "attention": ("tile.groups", {"list": READ, "retry": WRITE, "discard": WRITE, "acknowledge": WRITE}),
        "groups": ("tile.groups", {"list": READ, "show": READ, "retry": WRITE, "discard": WRITE}),
        "epochs": ("tile.epochs", {"list": READ, "show": READ, "retry": WRITE, "make": WRITE, "sky": WRITE}),
        "calibrations": ("tile.calibrations", {"list": READ, "show": READ, "retire": WRITE, "import": CREATE}),
        "recalibrate": ("tile.calibrations", WRITE),
    },
    "Survey: what an observatory does around the stream": {
        "reprocess": ("survey.campaigns", WRITE),
        "campaigns": (
            "survey.campaigns",
            {
                **{"list": READ, "show": READ, "compare": READ, "presets": READ, "pause": WRITE, "resume": WRITE},
                **{"cancel": WRITE, "promote": WRITE, "drop": WRITE},
            },
        ),
    },
    "Data: one stage on given files": {
        "convert": ("tile.convert", WRITE),
        "calibrate": ("tile.stages", WRITE),
        "selfcal": ("tile.stages", WRITE),
        "image": ("tile.stages", WRITE),
        "mosaic": ("epoch", WRITE),
        "photometry": ("epoch", WRITE),
        "beam": ("tile.calibrations", {"measure": WRITE, "install": WRITE, "show": READ}),
        "catalogue": (
            "sky",
            {
                **{"build": WRITE, "list": READ, "show": READ, "query": READ, "merge": WRITE, "check": READ},
                **{"from-mosaics": WRITE},
            },
        ),
        "simulate": ("demo", WRITE),
    },
    "Admin: configuration, store, machine": {
        "config": ("configuration", {"show": READ, "check": READ, "set": CREATE, "undo": WRITE, "history": READ}),
        "db": ("survey.database", {"current": READ, "sizes": READ, "prune": WRITE, "upgrade": CREATE}),
        "backup": ("store", WRITE),
        "restore": ("store", CREATE),
        "archive": (
            "survey.archive",
            {"status": READ, "copy": WRITE, "verify": WRITE, "restore": WRITE, "prepare": WRITE},
        ),
        "retention": ("store", WRITE),
        "doctor": ("machine", READ),
        "plan": ("machine", READ),
        "completion": ("machine", READ),
        "viewer": ("machine", {"install": WRITE}),
    },
}
_ENTRIES = {name: entry for section in COMMANDS.values() for name, entry in section.items()}


def access_of(context: click.Context | None) -> Access:
    """Return the mark of the command that runs.

    Parameters
    ----------
    context : of the command; None outside a command.
    """
    words: list[str] = []
    while context is not None and context.parent is not None:
        words.insert(0, context.info_name or "")
        context = context.parent
    marks = _ENTRIES[words[0]][1] if words and words[0] in _ENTRIES else WRITE
    return marks if isinstance(marks, Access) else marks.get(" ".join(words[1:]), WRITE)


class Commands(click.Group):
    """Group that imports a command's module on use; help and completion read the docstrings from the source."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of `COMMANDS`, in its order."""
        return list(_ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None for an unknown name."""
        if cmd_name not in _ENTRIES:
            return None
        command: click.Command = getattr(import_module(f"contimg.cli.{_ENTRIES[cmd_name][0]}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a command line; of an unknown one name those that resemble it."""
        if args[0] not in _ENTRIES and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.NoSuchCommand(args[0], possibilities=_ENTRIES, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section, each with the first sentence of its docstring."""
        helps, width = _short_helps(), max(map(len, _ENTRIES))
        for section, names in COMMANDS.items():
            with formatter.section(section):
                formatter.write_dl([(f"{name:<{width}}", helps[name]) for name in names])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command without importing any."""
        helps = _short_helps()
        commands = [CompletionItem(name, help=helps[name]) for name in _ENTRIES if name.startswith(incomplete)]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]


def _short_helps() -> dict[str, str]:
    """Read the first sentence of each command's docstring without importing its module, which takes seconds."""
    helps = {}
    for module in {module for module, _ in _ENTRIES.values()}:
        tree = ast.parse((Path(__file__).parent / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and _ENTRIES.get(node.name, ("",))[0] == module:
                text = ast.get_docstring(node) or ""
                helps[node.name] = click.Command(node.name, help=text).get_short_help_str(len(text))
    return helps


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="contimg")
@click.option(
    "--state-dir", type=click.Path(path_type=Path), metavar="DIR",
    help="State directory of the stream.  [default: PIPELINE_STATE_DIR, or state/ in this directory]",
)  # fmt: skip
@click.pass_context
def contimg(context: click.Context, state_dir: Path | None) -> None:
    """Turn the DSA-110's stream of subband files into calibrated continuum images."""
    if state_dir is not None:
        context.call_on_close(partial(_set_variable, os.environ.get(_STATE_DIR)))
        _set_variable(str(state_dir.expanduser().absolute()))


def _set_variable(value: str | None) -> None:
    """Set the variable of the state directory, for this process and those that it starts; None: remove it."""
    if value is None:
        os.environ.pop(_STATE_DIR, None)
    else:
        os.environ[_STATE_DIR] = value


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
        if isinstance(error, click.NoSuchOption) and error.option_name == "--state-dir":
            click.echo("Give it before the command: contimg --state-dir DIR COMMAND", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except (ContimgError, OSError) as error:
        reported = os_refusal(error) if isinstance(error, OSError) else error
        click.echo(f"contimg: {reported}", err=True)
        sys.exit(reported.exit_code)
    except UnicodeEncodeError as error:  # a name with bytes that no database takes
        click.echo(f"contimg: {error.object!r}: not a name in UTF-8; check it", err=True)
        sys.exit(BadInput.exit_code)
    except Exception:  # noqa: BLE001 (printed as Python does, without passwords)
        click.echo(mask_secrets(traceback.format_exc()), err=True, nl=False)
        sys.exit(1)
