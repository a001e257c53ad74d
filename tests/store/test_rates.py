"""The stream's latency, on both databases."""

from dataclasses import replace
from pathlib import Path

import pytest
from store_play import Clock, Telescope
from store_steps import IMAGE, MS, commit

from contimg.store import Lease, Stage, Store
from contimg.tile.products import CalibratedMS


def run(store: Store, clock: Clock, group: str, number: int, seconds: float) -> None:
    clock.advance(seconds)
    commit(store, group, Stage.CONVERT, replace(MS, path=Path(f"/p/{number}.ms")))
    commit(store, group, Stage.CALIBRATE, CalibratedMS(None, "none", 0.1))
    commit(store, group, Stage.IMAGE, replace(IMAGE, fits_path=Path(f"/p/{number}.fits")))


def test_latency_is_that_of_first_runs(store: Store, telescope: Telescope, clock: Clock) -> None:
    first, retried, reprocessed = (telescope.whole_group(number) for number in range(3))
    run(store, clock, first, 0, 60)
    run(store, clock, reprocessed, 2, 60)
    lease = store.leases.claim(retried, Stage.CONVERT, "a")
    assert isinstance(lease, Lease)
    store.leases.fail(lease, "no", permanent=True)
    clock.advance(1000)
    store.jobs.retry(retried)
    store.jobs.retry(reprocessed)
    run(store, clock, retried, 1, 500)
    run(store, clock, reprocessed, 2, 500)
    rates = store.overview.snapshot().rates
    assert rates.groups_per_hour == 3
    assert rates.latency_s == pytest.approx(60)
    assert (rates.image_after_s, rates.image_after_p95_s) == (pytest.approx(60), pytest.approx(60))
