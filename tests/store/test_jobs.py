"""Jobs of several processings beside each other, their products' inputs, and who may use SQLAlchemy."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from contimg.common.errors import BadInput
from contimg.store import LIVE, TILE, FileState, Lease, Outcome, Refusal, Stage, State
from contimg.store.jobs.kinds import CAMPAIGN_PRIORITY, KINDS, LIVE_PRIORITY
from contimg.tile.products import ConvertedMS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def group(telescope) -> str:
    return telescope.whole_group()


@pytest.fixture
def deep(store, group):
    """The same tile in a campaign."""
    return store.jobs.create(TILE.name, group, reference_s=store.jobs.job(group).reference_s, processing="deep")


def converted(path: str) -> ConvertedMS:
    return ConvertedMS(Path(path), 61093.0, 61093.1, 0.0, 33.0, 24, 768, 96, (), 0.0, 1)


def test_stages_of_kinds():
    assert sorted(stage for kind in KINDS.values() for stage in kind.stages) == sorted(Stage)
    for kind in KINDS.values():
        for earlier, later in zip(kind.stages, (*kind.stages[1:], None), strict=True):
            assert earlier.kind is kind
            assert earlier.following is later
            assert later is None or earlier.precedes(later)
            assert earlier.remaining == (earlier, *(later.remaining if later else ()))


def test_group_id_refers_to_live_job(store, group, deep):
    live = store.jobs.job(group)
    assert (live.kind, live.key, live.processing, live.priority) == ("tile", group, LIVE, LIVE_PRIORITY)
    assert (deep.key, deep.processing, deep.priority) == (group, "deep", CAMPAIGN_PRIORITY)
    assert store.jobs.job(live.id) == live
    assert store.jobs.job(deep.id) == deep
    assert {job.id for job in store.jobs.waiting(0)} == {live.id, deep.id}
    assert [record.job_id for record in store.files.groups()] == [live.id], "a group is listed once"
    with pytest.raises(BadInput, match="deep"):
        store.jobs.create(TILE.name, group, reference_s=0.0, processing="deep")


def test_jobs_of_one_tile_are_independent(store, group, deep):
    live_lease = store.leases.claim(group, Stage.CONVERT, "a")
    assert isinstance(live_lease, Lease)
    assert store.leases.claim(deep.id, Stage.CONVERT, "a").reason is Refusal.NOT_READY, "the stream goes first"
    store.leases.commit(live_lease, [converted("/live.ms")])
    for stage in TILE.stages[1:]:
        store.leases.commit(store.leases.claim(group, stage, "a"))
    campaign_lease = store.leases.claim(deep.id, Stage.CONVERT, "a")
    assert isinstance(campaign_lease, Lease)
    assert live_lease.files == campaign_lease.files
    assert (campaign_lease.group, campaign_lease.processing, campaign_lease.kind) == (group, "deep", "tile")
    assert "deep" in campaign_lease.label
    store.leases.commit(campaign_lease, [converted("/deep.ms")])
    assert store.products.measurement_set(group).path == Path("/live.ms")
    assert store.products.measurement_set(deep.id).path == Path("/deep.ms")
    assert [run.outcome for run in store.jobs.runs(deep.id)] == [Outcome.COMMITTED]
    store.jobs.discard(deep.id)
    assert store.jobs.retry(deep.id, stage=Stage.CONVERT).processing == "deep"
    assert store.files.group(group).stage is Stage.IMAGE
    assert store.leases.claim(group, Stage.CONVERT, "a").reason is Refusal.DONE


def test_live_jobs_are_sent_before_campaigns(store, telescope, group, deep, clock):
    later = telescope.whole_group(1)
    for newest_first in (True, False):
        taken = store.jobs.take_unsent(9, lambda jobs: jobs, newest_first=newest_first)
        assert [job.key for job in taken] == ([later, group] if newest_first else [group, later])
        assert store.jobs.take_unsent(9, lambda jobs: jobs) == (), "the stream has work"
        store.jobs.mark_unsent([job.id for job in taken])
    for tile in (group, later):
        store.jobs.discard(tile)
    assert [job.id for job in store.jobs.take_unsent(9, lambda jobs: jobs)] == [deep.id]


def test_campaign_is_not_counted_in_stream(store, group, deep, clock):
    for stage in TILE.stages:
        store.leases.commit(store.leases.claim(group, stage, "a"))
    assert store.activity.read().waiting == 0
    assert store.overview.snapshot().states[State.PENDING] == 0
    assert store.overview.snapshot().states[State.COMPLETED] == 1


def test_bad_file_in_campaign_leaves_live_job(store, telescope, group, deep):
    for stage in TILE.stages:
        store.leases.commit(store.leases.claim(group, stage, "a"))
    lease = store.leases.claim(deep.id, Stage.CONVERT, "b")
    store.files.quarantine(telescope.path(0, 1), "NaN", lease=lease)
    assert store.jobs.job(deep.id).state is State.PENDING
    assert (store.files.group(group).state, store.files.group(group).stage) == (State.COMPLETED, Stage.IMAGE)
    again = store.leases.claim(deep.id, Stage.CONVERT, "b")
    assert (again.attempt, sorted(again.files), again.partial) == (1, [0, 2, 3], True)
    assert [file.subband for file in store.files.latest(FileState.QUARANTINED)] == [1]


def test_active_leases_are_in_progress(store, group, deep):
    assert store.leases.active() == ()
    store.jobs.discard(group)
    lease = store.leases.claim(deep.id, Stage.CONVERT, "host:1", task_id="t")
    assert store.leases.active() == (replace(lease, files={}, partial=False),)
    assert store.leases.active(task_id="t") == store.leases.active()
    assert store.leases.active(task_id="other") == ()


def test_only_store_uses_sqlalchemy():
    for path in sorted(path for package in ("workers", "web") for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", None) or ""
            names = [f"{module}.{name.name}" for name in node.names] if isinstance(node, ast.ImportFrom) else (
                [name.name for name in node.names] if isinstance(node, ast.Import) else []
            )  # fmt: skip
            for name in names:
                assert not name.startswith("contimg.store.tables"), path
                assert not name.startswith("sqlalchemy") or name.startswith("sqlalchemy.exc"), f"{path}: {name}"
