"""The model of a site's load: against its own promises, and against a queue that is played through."""

import random
import re
from math import ceil

from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from contimg.cli.machine import plan as command
from contimg.store import Store
from workers.scheduling.capacity import FULL_SCALE, UTILISATION, Load, max_tiles_per_hour, plan

LOADS = st.lists(
    st.builds(Load, st.just("image"), st.floats(0.1, 500), st.floats(0.1, 1000), st.floats(0.1, 8)),
    min_size=1, max_size=4,
)  # fmt: skip


@given(st.floats(0.1, 500), st.integers(1, 128), LOADS)
def test_no_worker_is_busier_than_it_may_be(tiles_per_hour, cores, loads):
    site = plan(tiles_per_hour, cores, loads)
    for queue in site.queues:
        seconds = max(queue.load.seconds, queue.load.core_s / cores)
        assert tiles_per_hour * seconds / 3600 <= queue.workers * UTILISATION * (1 + 1e-9)
        assert queue.workers == 1 or tiles_per_hour * seconds / 3600 > (queue.workers - 1) * UTILISATION
    assert site.is_sufficient == (sum(queue.busy_cores for queue in site.queues) <= cores * UTILISATION * (1 + 1e-9))


@given(st.floats(0.1, 100), st.floats(1, 10), LOADS)
def test_more_tiles_never_need_fewer_workers(tiles_per_hour, times, loads):
    few, many = plan(tiles_per_hour, 8, loads), plan(tiles_per_hour * times, 8, loads)
    assert all(before.workers <= after.workers for before, after in zip(few.queues, many.queues, strict=True))


def test_tile_waits_no_longer_than_planned():
    """Tiles at random times to one stage with the planned workers: the mean wait is about the work, not more."""
    load, tiles_per_hour, rng = Load("image", 30.0, 30.0, 1.0), 250.0, random.Random(5)
    (queue,) = plan(tiles_per_hour, 64, [load]).queues
    assert queue.workers == ceil(250 * 30 / 3600 / UTILISATION)
    free, now, waited = [0.0] * queue.workers, 0.0, []
    for _ in range(20_000):
        now += rng.expovariate(tiles_per_hour / 3600)
        first = min(range(queue.workers), key=free.__getitem__)
        start = max(now, free[first])
        waited.append(start - now)
        free[first] = start + load.seconds
    assert sum(waited) / len(waited) < 1.2 * load.seconds


@given(st.integers(1, 64), st.integers(1, 64), LOADS)
def test_throughput_is_bound_by_workers_or_by_cores(cores, workers, loads):
    most = max_tiles_per_hour(loads, cores, workers)
    site = plan(1.0, cores, loads)
    assert most <= site.max_tiles_per_hour / UTILISATION * (1 + 1e-9), "the cores never do more than all they can"
    assert most <= max_tiles_per_hour(loads, cores, workers + 1) * (1 + 1e-9)
    assert most <= workers * max_tiles_per_hour(loads, cores, 1) * (1 + 1e-9)
    enough = max_tiles_per_hour(loads, cores, 10**6)
    assert abs(enough - site.max_tiles_per_hour / UTILISATION) <= 1e-9 * enough


def test_stages_of_one_thread_fill_as_many_cores_as_there_are_workers():
    loads = [Load("convert", 2.0, 2.0, 0.1), Load("image", 4.0, 4.0, 0.1)]
    assert [max_tiles_per_hour(loads, 2, workers) for workers in (1, 2, 3)] == [600, 1200, 1200]


def test_the_command_says_when_the_cores_do_not_suffice():
    fine = CliRunner().invoke(command, ["--cores", "2"])
    assert fine.exit_code == 0, fine.output
    assert all(load.stage in fine.output for load in FULL_SCALE)
    short = CliRunner().invoke(command, ["--cores", "1", "--tiles-per-hour", "500"])
    assert short.exit_code == 3
    assert all(load.stage in short.output for load in FULL_SCALE)
    assert "500" in short.output


def test_measured_loads_need_runs_in_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path))
    Store.open(tmp_path / "contimg.sqlite3").close()
    done = CliRunner().invoke(command, ["--cores", "2", "--measured"])
    assert done.exit_code == 1
    assert "convert" in done.output
    assert re.search(r"\b0\b", done.output)
