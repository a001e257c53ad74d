"""`contimg plan`: how many workers of each queue a site needs."""

import time
from statistics import median

import click

from contimg.instrument.dsa110 import CADENCE_S
from contimg.store import Outcome, Store, configured_store
from workers.scheduling import capacity
from workers.scheduling.capacity import FULL_SCALE, TILES_PER_HOUR, UTILISATION, Load

ENOUGH_RUNS = 5
_DAY_S = 86400.0


@click.command()
@click.option(
    "--tiles-per-hour", default=TILES_PER_HOUR, show_default=f"one each {CADENCE_S:g} s",
    type=click.FloatRange(min=0, min_open=True), help="Tiles that arrive in an hour.",
)  # fmt: skip
@click.option("--cores", required=True, type=click.IntRange(min=1), help="Cores of all the site's hosts.")
@click.option("--measured", is_flag=True, help="From the last day's stages of this site's store, not full-scale tiles.")
def plan(tiles_per_hour: float, cores: int, measured: bool) -> None:
    """Say how many workers of each queue a site needs, and whether its cores suffice; see docs/performance.md.

    Exit status 3: they do not.
    """
    loads = FULL_SCALE
    if measured:
        with configured_store() as store:
            loads = tuple(_measured(store, load) for load in FULL_SCALE)
    site = capacity.plan(tiles_per_hour, cores, loads)
    click.echo(f"{'queue':10} {'s a tile':>9} {'workers':>8} {'busy cores':>11} {'memory GiB':>11}")
    for queue in site.queues:
        load = queue.load
        click.echo(
            f"{load.stage:10} {load.seconds:9.1f} {queue.workers:8d} {queue.busy_cores:11.2f} {queue.memory_gib:11.1f}"
        )
    busy, memory = (sum(getattr(queue, name) for queue in site.queues) for name in ("busy_cores", "memory_gib"))
    click.echo(f"{'all':10} {sum(load.seconds for load in loads):9.1f} {'':8} {busy:11.2f} {memory:11.1f}")
    click.echo(
        f"{cores} cores do {site.most_tiles_per_hour:.0f} tiles an hour at {UTILISATION:.0%} of their time; "
        f"at all of it {site.real_time_factor:.1f} times faster than one telescope's sky"
    )
    if not site.enough:
        click.echo(f"{tiles_per_hour:.1f} tiles an hour are too many: give more cores", err=True)
        raise SystemExit(3)


def _measured(store: Store, load: Load) -> Load:
    """A stage's load by what it took here; the share of cores is that of a full-scale tile."""
    runs = [
        run
        for run in store.jobs.ended_runs(time.time() - _DAY_S)
        if run.stage == load.stage and run.outcome is Outcome.COMMITTED and run.seconds
    ]
    if len(runs) < ENOUGH_RUNS:
        raise click.ClickException(
            f"only {len(runs)} runs of {load.stage} ended here in the last day, {ENOUGH_RUNS} are needed; "
            "wait, or leave --measured out"
        )
    seconds = median(run.seconds or 0.0 for run in runs)
    memory = max(run.peak_rss_bytes or 0 for run in runs) / 2**30
    return Load(load.stage, seconds, seconds * load.core_s / load.seconds, memory or load.memory_gib)
