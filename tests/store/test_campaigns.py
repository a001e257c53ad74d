"""A campaign in the store: its jobs, its progress, and what becomes of its products; on both databases."""

from dataclasses import replace
from pathlib import Path

import pytest
from campaign_steps import PRESET, create_campaign, discard_epochs, image_campaign, image_tiles
from sqlalchemy import func, select
from store_steps import IMAGE, MS, commit, solved_set

from contimg.common.errors import BadInput
from contimg.store import LIVE, ImageFilter, Refusal, Refused, RunFigures, Stage, State, tables
from contimg.store.jobs.kinds import CAMPAIGN_PRIORITY
from contimg.store.products.tile_products import CopiedMS
from contimg.tile.products import CalibratedMS


def live_images(store) -> list[tuple[str, str, float]]:
    return [(image.group, str(image.fits_path), image.rms_jy) for image in store.products.find_images(ImageFilter())]


def test_campaign_has_a_job_for_each_tile(store, telescope, clock):
    groups = image_tiles(telescope, 3)
    campaign = create_campaign(store)
    assert (campaign.tiles, campaign.state, campaign.preset) == (3, "running", PRESET)
    assert (campaign.created_by, campaign.created_at) == ("vera", clock.now)
    jobs = store.jobs.waiting(0)
    assert {job.key for job in jobs} == set(groups)
    assert {(job.processing, job.priority, job.stage) for job in jobs} == {("deep", CAMPAIGN_PRIORITY, Stage.IMAGE)}
    assert store.campaigns.preset("deep") == PRESET
    assert store.campaigns.preset(LIVE) == {}


def test_campaign_holds_tiles_of_its_span(store, telescope):
    groups = image_tiles(telescope, 3)
    begin_s = store.files.group(groups[1]).reference_s
    assert create_campaign(store, from_s=begin_s, to_s=begin_s + 309).tiles == 1
    assert [job.key for job in store.jobs.waiting(0)] == [groups[1]]


@pytest.mark.parametrize("name", ["live", "Deep", "a/b", "../x", "before-x", "", "x" * 60, "-x"])
def test_unusable_names_are_refused(store, telescope, name):
    image_tiles(telescope, 1)
    with pytest.raises(BadInput):
        create_campaign(store, name)


def test_campaign_without_tile_or_with_name_in_use_is_refused(store, telescope):
    with pytest.raises(BadInput, match="no tile"):
        create_campaign(store)
    with pytest.raises(BadInput):
        store.campaigns.campaign("deep")
    image_tiles(telescope, 1)
    create_campaign(store)
    with pytest.raises(BadInput, match="exists"):
        create_campaign(store)
    with pytest.raises(BadInput, match="mosaic"):
        create_campaign(store, "other", Stage.MOSAIC)


def test_campaign_waits_while_stream_has_work(store, telescope, clock):
    image_tiles(telescope, 2)
    create_campaign(store)
    group = telescope.whole_group(7)
    (sent,) = store.jobs.take_unsent(99, lambda jobs: jobs)
    assert sent.key == group
    assert store.jobs.take_unsent(99, lambda jobs: jobs, max_campaign_jobs=9) == ()
    lease = store.leases.claim(group, Stage.CONVERT, "a")
    assert store.jobs.take_unsent(99, lambda jobs: jobs, max_campaign_jobs=9) == ()
    store.leases.fail(lease, "disk full", permanent=False)
    campaign_jobs = store.jobs.take_unsent(99, lambda jobs: jobs, max_campaign_jobs=9)
    assert [job.processing for job in campaign_jobs] == ["deep", "deep"], "the live tile waits after an error"
    clock.advance(3600)
    refused = store.leases.claim(campaign_jobs[0].id, Stage.IMAGE, "b")
    assert isinstance(refused, Refused)
    assert refused.reason is Refusal.NOT_READY
    assert store.jobs.job(campaign_jobs[0].id).enqueued_at is None, "it is sent again"


def test_number_of_campaign_jobs_in_flight_is_limited(store, telescope):
    image_tiles(telescope, 3)
    create_campaign(store)
    assert len(store.jobs.take_unsent(99, lambda jobs: jobs, max_campaign_jobs=2)) == 2
    assert store.jobs.take_unsent(99, lambda jobs: jobs, max_campaign_jobs=2) == ()


def test_paused_campaign_is_neither_sent_nor_claimed(store, telescope):
    image_tiles(telescope, 2)
    create_campaign(store)
    (job,) = store.jobs.take_unsent(99, lambda jobs: jobs)
    assert store.campaigns.pause("deep", "vera").state == "paused"
    assert store.leases.claim(job.id, Stage.IMAGE, "a").reason is Refusal.NOT_READY
    assert store.jobs.take_unsent(99, lambda jobs: jobs) == ()
    with pytest.raises(BadInput, match="paused"):
        store.campaigns.pause("deep", "vera")
    assert store.campaigns.resume("deep", "vera").state == "running"
    assert len(image_campaign(store)) == 2
    assert store.campaigns.campaign("deep").state == "completed"


def test_cancelled_campaign_discards_waiting_jobs(store, telescope):
    image_tiles(telescope, 3)
    create_campaign(store)
    assert len(image_campaign(store, limit=1)) == 1
    (job,) = store.jobs.take_unsent(99, lambda jobs: jobs)
    lease = store.leases.claim(job.id, Stage.IMAGE, "a")
    campaign = store.campaigns.cancel("deep", "vera")
    assert campaign.state == "cancelled"
    assert campaign.tile_states == {State.COMPLETED: 1, State.IN_PROGRESS: 1, State.DISCARDED: 1}
    with pytest.raises(BadInput, match="cancel"):
        store.promotion.begin_drop("deep", "vera")
    store.leases.commit(lease, [replace(IMAGE, fits_path=Path("/products/campaigns/deep/images/last.fits"))])
    assert store.campaigns.campaign("deep").done == 3


def test_failed_jobs_are_requeued(store, telescope):
    image_tiles(telescope, 2)
    create_campaign(store)
    (job,) = store.jobs.take_unsent(99, lambda jobs: jobs)
    store.leases.fail(store.leases.claim(job.id, Stage.IMAGE, "a"), "no data left", permanent=True)
    image_campaign(store)
    campaign = store.campaigns.campaign("deep")
    assert (campaign.state, campaign.tile_states[State.FAILED]) == ("completed", 1)
    assert store.campaigns.resume("deep", "vera", failed=True).tile_states[State.PENDING] == 1
    assert image_campaign(store) == [job.key]
    with pytest.raises(BadInput, match="no failed job"):
        store.campaigns.resume("deep", "vera", failed=True)


def test_estimate_is_of_live_runs_and_then_of_the_same_preset(store, telescope):
    groups = image_tiles(telescope, 2)
    assert store.estimates.estimate(Stage.IMAGE, 0.0, 4e9, PRESET, 2).stages[0].core_s is None
    figures = RunFigures(seconds=10.0, core_s=18.0, bytes_written=5_000_000)
    for group in groups:
        store.jobs.retry(group, stage=Stage.IMAGE)
        lease = store.leases.claim(group, Stage.IMAGE, "a")
        store.leases.commit(lease, [replace(IMAGE, fits_path=store.products.image_of(group).fits_path)], figures)
    estimate = store.estimates.estimate(Stage.IMAGE, 0.0, 4e9, PRESET, 2)
    assert (estimate.tiles, estimate.based_on, estimate.duration_s) == (2, LIVE, 10.0)
    assert (estimate.core_hours, estimate.disk_bytes) == (2 * 18.0 / 3600, 10_000_000)
    create_campaign(store)
    (job,) = store.jobs.take_unsent(99, lambda jobs: jobs)
    lease = store.leases.claim(job.id, Stage.IMAGE, "a")
    store.leases.commit(lease, [replace(IMAGE, fits_path=Path("/d.fits"))], RunFigures(seconds=60.0))
    estimate = store.estimates.estimate(Stage.IMAGE, 0.0, 4e9, PRESET, 1)
    assert (estimate.based_on, estimate.stages[0].seconds) == ("deep", 60.0)
    assert store.campaigns.campaign("deep").remaining_s == 60.0


def test_comparison_is_tile_by_tile(store, telescope):
    groups = image_tiles(telescope, 3)
    create_campaign(store)
    image_campaign(store, limit=2)
    comparison = store.comparisons.compare("deep")
    assert (comparison.total, comparison.compared, comparison.noise_ratio) == (3, 2, 0.5)
    assert [tile.group for tile in comparison.tiles] == groups
    assert [tile.grade_change for tile in comparison.tiles] == ["", "better", "better"], "the newest are done first"
    assert (comparison.grades, comparison.reference_grades) == ({"good": 2}, {"suspect": 3})
    page = store.comparisons.compare("deep", limit=2)
    assert (len(page.tiles), page.next) == (2, groups[1])
    assert [tile.group for tile in store.comparisons.compare("deep", 2, page.next).tiles] == groups[2:]


def test_promoted_images_are_those_of_the_stream(store, telescope, clock):
    groups = image_tiles(telescope, 4)
    before = live_images(store)
    create_campaign(store)
    with pytest.raises(BadInput, match="running"):
        store.promotion.promote("deep", "vera")
    image_campaign(store)
    clock.advance(10)
    assert store.promotion.promote("deep", "vera").state == "promoted"
    assert {(path, rms) for _, path, rms in live_images(store)} == {
        (f"/products/campaigns/deep/images/{group}.fits", 0.001) for group in groups
    }
    for group in groups:
        live = store.jobs.job(group)
        assert (live.state, store.products.image_of(live.id).rms_jy) == (State.COMPLETED, 0.001)
        assert store.products.measurement_set(group) is not None
    assert store.campaigns.campaign("before-deep").state == "completed"
    assert store.comparisons.compare("deep").noise_ratio == 0.5, "compared with what it replaced"
    assert store.comparisons.compare("before-deep").noise_ratio == 2.0
    assert any("promoted by vera" in event.text for event in store.events.last(20))
    store.promotion.promote("before-deep", "vera")
    assert live_images(store) == before, "a promotion can be undone"


def test_epochs_of_promoted_images_are_opened_again(store, telescope):
    image_tiles(telescope, 4)
    create_campaign(store)
    image_campaign(store)
    discard_epochs(store, LIVE)
    store.promotion.promote("deep", "vera")
    after = store.epochs.list_epochs().epochs
    assert {epoch.state for epoch in after} == {State.COLLECTING}
    assert {tile.fits_path.parts[2] for epoch in after for tile in epoch.tiles} == {"campaigns"}


def test_promotion_waits_for_live_job_in_progress(store, telescope):
    group, *_ = image_tiles(telescope, 1)
    create_campaign(store)
    image_campaign(store)
    store.jobs.retry(group, stage=Stage.IMAGE)
    with pytest.raises(BadInput, match=group):
        store.promotion.promote("deep", "vera")
    assert live_images(store)[0][2] == 0.002


def test_calibration_of_campaign_has_its_own_measurement_set_and_sets(store, telescope):
    group, *_ = image_tiles(telescope, 1)
    live = store.products.measurement_set(group)
    name = group
    store.registry.register(solved_set(Path(f"/products/calibration/{name}"), 61093.97), group=group)
    create_campaign(store, stage=Stage.CALIBRATE)
    (job,) = store.jobs.take_unsent(99, lambda jobs: jobs)
    solved = solved_set(Path(f"/products/campaigns/deep/calibration/{name}"), 61093.97)
    copied = Path(f"/products/campaigns/deep/{group}.ms")
    commit(store, job.id, Stage.CALIBRATE, CopiedMS(copied), CalibratedMS(name, "solved", 0.3, solved))
    commit(store, job.id, Stage.IMAGE, replace(IMAGE, fits_path=Path("/products/campaigns/deep/images/a.fits")))
    discard_epochs(store, "deep")
    assert store.products.measurement_set(group) == live
    own = store.products.measurement_set(job.id)
    assert (own.path, own.flagged_fraction, own.integrations) == (copied, 0.3, MS.integrations)
    assert store.registry.set_named(name).tables[0].path.parent == Path(f"/products/calibration/{name}")
    assert store.registry.set_named(name, "deep").tables[0].path.parent == solved.directory
    assert [row.tables[0].path.parent for row in store.registry.valid_at(61093.97, processing="deep")] == [
        solved.directory
    ]
    store.promotion.promote("deep", "vera")
    assert store.products.measurement_set(group).path == copied
    assert store.registry.set_named(name).tables[0].path.parent == solved.directory
    assert len(store.registry.sets()) == 1


def test_live_tile_is_processed_again_after_promotion(store, telescope):
    group, *_ = image_tiles(telescope, 1)
    first = store.products.image_of(group).fits_path
    create_campaign(store)
    image_campaign(store)
    store.promotion.promote("deep", "vera")
    store.jobs.retry(group, stage=Stage.IMAGE)
    commit(store, group, Stage.IMAGE, replace(IMAGE, fits_path=first, rms_jy=0.5))
    assert live_images(store) == [(group, str(first), 0.5)]
    assert store.comparisons.compare("before-deep").compared == 0, "its file was written over"


def test_dropped_campaign_leaves_no_row(store, telescope):
    image_tiles(telescope, 2)
    before = live_images(store)
    create_campaign(store)
    image_campaign(store)
    paths = store.promotion.begin_drop("deep", "vera")
    assert {path.parent for path in paths} == {Path("/products/campaigns/deep/images")}
    assert store.campaigns.campaign("deep").state == "dropping"
    assert store.promotion.begin_drop("deep", "vera") == paths, "a second process continues"
    store.promotion.finish_drop("deep", "vera")
    assert live_images(store) == before
    with store.database.read() as session:
        for table in tables.Base.metadata.sorted_tables:
            if "processing" in table.c:
                of_campaign = select(func.count()).select_from(table).where(table.c.processing != LIVE)
                assert session.scalar(of_campaign) == 0, table.name
    assert create_campaign(store).tiles == 2, "the name can be used again"
