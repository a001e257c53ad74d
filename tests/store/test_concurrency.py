"""Eight workers in four processes on sixty groups, with deaths, freezes and failures: on both databases."""

import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from store_play import Telescope
from store_steps import metric_values
from store_worker import RULES

from contimg.store import TILE, Outcome, Stage, State

GROUPS = 60


@pytest.mark.long
def test_sixty_groups_are_each_committed_once(location, open_store):
    store = open_store(location, RULES, time.time)
    telescope = Telescope(store)
    for group in range(GROUPS):
        telescope.whole_group(group)
    program = [sys.executable, str(Path(__file__).with_name("store_worker.py")), location]
    workers = [subprocess.Popen([*program, str(seed)]) for seed in range(4)]
    try:
        assert [worker.wait(timeout=120) for worker in workers] == [0] * 4
    finally:
        for worker in workers:
            worker.kill()
    outcomes: Counter[str] = Counter()
    for group in store.files.groups(limit=GROUPS + 1):
        runs = store.jobs.runs(group.id)
        outcomes.update(run.outcome for run in runs)
        assert group.state == State.COMPLETED
        assert [run.stage for run in runs if run.outcome == Outcome.COMMITTED] == list(TILE.stages)
        assert all(first.ended_at <= second.started_at for first, second in pairwise(runs)), "two live leases"
    assert outcomes[Outcome.COMMITTED] == 3 * GROUPS
    assert set(outcomes) == {Outcome.COMMITTED, Outcome.EXPIRED, Outcome.FAILED}, (
        "no fault happened: nothing was tested"
    )
    events = [event.text for event in store.events.after(0, limit=10_000) if event.level == "info"]
    assert sum(bool(re.search(rf"\b({'|'.join(Stage)})\b.* [\d.]+ s\b", text)) for text in events) == 3 * GROUPS
    assert metric_values(store, "lease.lost"), "no frozen worker was refused"


def test_two_producers_form_groups_of_one(location, open_store):
    store = open_store(location, RULES, time.time)
    telescope = Telescope(store)

    def produce(_producer: int) -> int:
        return sum(telescope.arrive(group, subband).became_pending for group in range(15) for subband in (0, 1))

    with ThreadPoolExecutor(4) as pool:
        pending = sum(pool.map(produce, range(4)))
    groups = store.files.groups(limit=100)
    assert pending == len(groups) == 15, "each group becomes pending once, whoever saw its last file"
    assert all(group.subbands == (0, 1) for group in groups)


def test_concurrent_claims_lose_no_update(location, open_store):
    """What the driver's own BEGIN loses: 381 of 800 increments in an experiment. Each claim here is an increment."""
    store = open_store(location, RULES.replace(lease_s=60), time.time)
    group = Telescope(store).whole_group()

    def turn(owner: int) -> int:
        granted = 0
        while granted < 20:
            lease = store.leases.claim(group, Stage.CONVERT, str(owner))
            if not hasattr(lease, "token"):
                continue
            store.leases.release(lease)
            granted += 1
        return granted

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(turn, range(4))) == 80
    runs = store.jobs.runs(group)
    assert len(runs) == 80
    assert {run.outcome for run in runs} == {Outcome.RELEASED}
    assert store.files.group(group).attempts == 0
