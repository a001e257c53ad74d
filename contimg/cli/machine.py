"""`contimg doctor`, `plan`, `viewer` and `completion`: is the machine fit and large enough; what is installed on it."""

import sys
import time
from pathlib import Path
from statistics import median

import click
from click.shell_completion import get_completion_class

from contimg.cli import contimg
from contimg.cli.shared import as_json_option, open_store, print_json
from contimg.common.errors import mask_secrets
from contimg.common.options import Choice
from contimg.instrument.dsa110 import CADENCE_S
from contimg.instrument.time import DAY_S
from contimg.settings import Settings
from contimg.store import Outcome, Store
from workers.scheduling import capacity
from workers.scheduling.capacity import FULL_SCALE, TILES_PER_HOUR, UTILISATION, Load

MIN_RUNS = 5
_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command()
@as_json_option
def doctor(as_json: bool) -> None:
    """Check everything that the stream needs of this machine.

    Each line is ok, a warning or an error with its remedy. The exit status is 1 with an error, 0 without. Nothing is
    changed.
    """
    from workers.doctor import Level, examine

    settings = Settings.from_environment()
    findings = []
    for finding in examine(settings, lambda: _describe_broker(settings)):
        findings.append(finding)
        if not as_json:
            level = click.style(f"{finding.level:<8}", fg=_COLOURS[finding.level])
            click.echo(f"{level} {finding.about:<18} {finding.text}")
            if finding.remedy:
                click.echo(f"{'':8} {'':18} -> {finding.remedy}")
    if as_json:
        print_json(findings)
    sys.exit(any(finding.level is Level.ERROR for finding in findings))


def _describe_broker(settings: Settings) -> str:
    """Describe the broker; raises ContimgError when a configured one does not answer."""
    from workers.broker import LAST_RESORT, check_answers, server_program, url_in_force

    url = url_in_force(settings)
    if url == LAST_RESORT and not settings.broker_url:
        return f"none is running; `contimg run` starts {server_program()}"
    check_answers(url)
    return f"{mask_secrets(url)} answers"


@click.command()
@click.option(
    "--tiles-per-hour", default=TILES_PER_HOUR, show_default=f"one each {CADENCE_S:g} s",
    type=click.FloatRange(min=0, min_open=True), help="Number of tiles that arrive in an hour.",
)  # fmt: skip
@click.option("--cores", required=True, type=click.IntRange(min=1), help="Number of cores of all hosts together.")
@click.option("--measured", is_flag=True, help="Use the stages of the last day in the store, not full-scale tiles.")
@as_json_option
def plan(tiles_per_hour: float, cores: int, measured: bool, as_json: bool) -> None:
    """Compute the workers and cores that a rate of tiles needs.

    See docs/performance.md. The exit status is 3 when the cores do not suffice.
    """
    loads = FULL_SCALE
    if measured:
        with open_store() as store:
            loads = tuple(_measure(store, load) for load in FULL_SCALE)
    site = capacity.plan(tiles_per_hour, cores, loads)
    if as_json:
        print_json(site)
    else:
        _print_plan(site)
    if not site.is_sufficient:
        click.echo(f"{tiles_per_hour:.1f} tiles an hour exceed this; add cores", err=True)
        raise SystemExit(3)


def _print_plan(site: capacity.Plan) -> None:
    """Print a line for each queue, one for all, and what the cores can process."""
    click.echo(f"{'queue':10} {'s a tile':>9} {'workers':>8} {'busy cores':>11} {'memory GiB':>11}")
    for queue in site.queues:
        load = queue.load
        click.echo(
            f"{load.stage:10} {load.seconds:9.1f} {queue.workers:8d} {queue.busy_cores:11.2f} {queue.memory_gib:11.1f}"
        )
    busy, memory = (sum(getattr(queue, name) for queue in site.queues) for name in ("busy_cores", "memory_gib"))
    click.echo(f"{'all':10} {sum(queue.load.seconds for queue in site.queues):9.1f} {'':8} {busy:11.2f} {memory:11.1f}")
    click.echo(
        f"{site.cores} cores process {site.max_tiles_per_hour:.0f} tiles an hour at a utilisation of "
        f"{UTILISATION:.0%}; fully used, {site.real_time_factor:.1f} times as fast as one telescope observes"
    )


def _measure(store: Store, load: Load) -> Load:
    """Return a stage's load from the runs of the last day, with the share of cores of a full-scale tile."""
    ended = [run for run in store.jobs.ended_runs(time.time() - DAY_S) if run.stage == load.stage and run.seconds]
    runs = [run for run in ended if run.outcome is Outcome.COMMITTED]
    if len(runs) < MIN_RUNS:
        raise click.ClickException(
            f"only {len(runs)} runs of {load.stage} ended here in the last day, {MIN_RUNS} are needed; "
            "wait, or omit --measured"
        )
    seconds = median(run.seconds or 0.0 for run in runs)
    memory = max(run.peak_rss_bytes or 0 for run in runs) / 2**30
    return Load(load.stage, seconds, seconds * load.core_s / load.seconds, memory or load.memory_gib)


@click.group()
def viewer() -> None:
    """Install the sky viewer of the panel, Aladin Lite."""


@viewer.command("install")
@click.argument("package", required=False, type=click.Path(path_type=Path))
def install_viewer(package: Path | None) -> None:
    """Install Aladin Lite, the sky viewer of the panel's Sky page.

    PACKAGE is its npm package as a file; without it the package is downloaded from the npm registry of
    NPM_CONFIG_REGISTRY, else of npm's configuration. Its SHA-512 is checked. The program is licensed under the GPL 3.
    """
    from web.pages.aladin import VERSION, find_script, install

    is_new = find_script() is None
    directory = install(package)
    click.echo(f"Aladin Lite {VERSION} {'installed in' if is_new else 'is in'} {directory}")


@click.command()
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands in a shell.

    \b
    bash  contimg completion bash > ~/.local/share/bash-completion/completions/contimg
    zsh   contimg completion zsh > DIRECTORY_OF_FPATH/_contimg
    fish  contimg completion fish > ~/.config/fish/completions/contimg.fish
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.ClickException(f"{shell}: no completion for this shell")
    click.echo(script(contimg, {}, "contimg", "_CONTIMG_COMPLETE").source())
