"""Epochs of the store: opened by images, ready when their window has passed, reopened, requested, kept by retention."""

from dataclasses import replace
from pathlib import Path

import pytest
from epoch_steps import MOSAIC, convert_tile, epochs_by_key, image_tile
from store_play import T0, Clock, Telescope, prepare_location
from store_steps import commit

from contimg.common.errors import BadInput
from contimg.epoch.windows import Windows
from contimg.instrument.time import unix_to_mjd
from contimg.settings import QueueRules, RetentionRules
from contimg.store import EpochMosaic, Lease, Stage, State, Store

FIRST = Windows().containing(T0 + 154.5)[0]
KEY = FIRST.key(163)
# Tiles of FIRST that begin after T0, and the first one after it.
TILES = [number for number in range(-12, 12) if FIRST.contains(T0 + 309 * number + 154.5)]
AFTER = TILES[-1] + 1


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return prepare_location(request, tmp_path)


@pytest.fixture
def store(location: str, open_store) -> Store:
    return open_store(location, QueueRules(expected_subbands=4, min_subbands=3, epochs=True))


@pytest.fixture
def night(telescope: Telescope, clock: Clock) -> Telescope:
    """A telescope whose clock stands after the window FIRST."""
    clock.now = FIRST.end_s + 100
    return telescope


def is_ready(store: Store) -> bool:
    """Whether this round makes the epoch KEY ready; its neighbours share tiles with it."""
    return KEY in store.epochs.collect()


def make_mosaic(store: Store, key: str = KEY, **numbers) -> Lease:
    job_id = store.epochs.epoch(key).job_id
    lease = store.leases.claim(job_id, Stage.MOSAIC, "worker")
    assert isinstance(lease, Lease), lease
    tiles = store.epochs.tiles(job_id)
    store.leases.commit(lease, [EpochMosaic(replace(MOSAIC, **numbers), tiles)])
    commit(store, job_id, Stage.MEASURE)
    return lease


def test_image_opens_windows_of_its_time(store, night):
    image_tile(night, TILES[0])
    windows = Windows().containing(T0 + 309 * TILES[0] + 154.5)
    assert epochs_by_key(store) == {window.key(163): "collecting" for window in windows}


def test_epochs_switched_off(location, open_store, clock):
    store = open_store(location, QueueRules(expected_subbands=4, min_subbands=3, epochs=False))
    image_tile(Telescope(store), 0)
    assert epochs_by_key(store) == {}


def test_epoch_waits_for_tiles_that_are_not_imaged(store, night, clock):
    for number in TILES[:2]:
        image_tile(night, number)
    group, image = convert_tile(night, TILES[2])
    night.whole_group(AFTER)
    assert not is_ready(store)
    assert store.epochs.epoch(KEY).waiting_tiles == (group,)
    commit(store, group, Stage.IMAGE, image)
    assert is_ready(store)
    assert (store.epochs.epoch(KEY).state, store.epochs.epoch(KEY).tile_count) == (State.PENDING, 3)


def test_epoch_is_not_ready_before_its_window_ends(store, night, clock):
    for number in TILES[:2]:
        image_tile(night, number)
    night.whole_group(AFTER)
    clock.now = FIRST.end_s - 1
    assert not is_ready(store)


def test_window_without_later_tile_passes_after_collection_timeout(store, night, clock):
    for number in TILES[:2]:
        image_tile(night, number)
    assert not is_ready(store)
    clock.advance(store.database.rules.collection_timeout_s)
    assert KEY in store.epochs.collect()


def test_failed_tile_is_not_waited_for(store, night):
    for number in TILES[:2]:
        image_tile(night, number)
    failed = night.whole_group(TILES[2])
    store.leases.fail(store.leases.claim(failed, Stage.CONVERT, "a"), "bad header", permanent=True)
    night.whole_group(AFTER)
    assert is_ready(store)


def test_waiting_for_tiles_has_a_limit(store, night, clock):
    for number in TILES[:2]:
        image_tile(night, number)
    night.whole_group(TILES[2])
    night.whole_group(AFTER)
    assert not is_ready(store)
    clock.advance(store.database.rules.epoch_wait_s)
    assert is_ready(store)


def test_tile_of_another_strip_is_not_waited_for(store, night):
    for number in TILES[:2]:
        image_tile(night, number)
    convert_tile(night, TILES[2], 54.6)
    night.whole_group(AFTER)
    assert is_ready(store)


def test_epoch_of_one_tile_is_made_on_request_only(store, night):
    image_tile(night, TILES[0])
    night.whole_group(AFTER)
    assert not is_ready(store)
    assert store.epochs.epoch(KEY).state == State.DISCARDED
    assert store.jobs.retry(store.epochs.epoch(KEY).job_id).state == State.PENDING


def test_bad_tiles_alone_make_no_mosaic(store, night):
    image_tile(night, TILES[0])
    image_tile(night, TILES[1], verdict="bad")
    night.whole_group(AFTER)
    assert not is_ready(store)
    assert store.epochs.epoch(KEY).state == State.DISCARDED


@pytest.fixture
def imaged(store, night) -> Telescope:
    """The epoch KEY with a mosaic of two tiles."""
    for number in TILES[:2]:
        image_tile(night, number)
    night.whole_group(AFTER)
    store.epochs.collect()
    make_mosaic(store)
    return night


def test_commit_stores_mosaic_and_its_tiles(store, imaged):
    epoch = store.epochs.epoch(KEY)
    mosaic = store.mosaics.mosaic(epoch.mosaic_id)
    assert (epoch.state, epoch.grade, mosaic.epoch) == (State.COMPLETED, "good", KEY)
    assert (mosaic.fits_path, mosaic.members, mosaic.seconds) == (MOSAIC.fits_path, MOSAIC.members, {"add": 1.0})
    image = store.products.image_of(epoch.tiles[0].group)
    assert [row.epoch for row in store.mosaics.list_mosaics(image_id=image.id).mosaics] == [KEY]
    assert [row.id for row in store.mosaics.list_mosaics().mosaics] == [mosaic.id]


def test_later_tile_reopens_epoch_and_replaces_mosaic(store, imaged):
    first = store.mosaics.mosaic_of(store.epochs.epoch(KEY).job_id)
    image_tile(imaged, TILES[2])
    assert store.epochs.epoch(KEY).state == State.COLLECTING
    assert store.mosaics.mosaic(first.id) == first, "the old mosaic stays until the new one is committed"
    assert is_ready(store)
    make_mosaic(store, rms_jy=0.0001)
    assert [row.rms_jy for row in store.mosaics.list_mosaics().mosaics] == [0.0001]
    assert store.epochs.epoch(KEY).state == State.COMPLETED


def test_tile_imaged_again_reopens_epoch(store, imaged, clock):
    tile = store.epochs.epoch(KEY).tiles[0]
    image = store.products.image_of(tile.group)
    clock.advance(60)
    store.jobs.retry(tile.group, stage=Stage.IMAGE)
    commit(store, tile.group, Stage.IMAGE, image)
    assert is_ready(store)


def test_mosaic_stays_when_its_tiles_were_retired(store, imaged, clock):
    first = store.mosaics.mosaic_of(store.epochs.epoch(KEY).job_id)
    for record in store.epochs.list_epochs(states=[State.PENDING]).epochs:
        make_mosaic(store, record.id)
    for record in store.epochs.list_epochs(states=[State.COLLECTING]).epochs:
        store.jobs.discard(record.job_id)
    clock.advance(2 * 86400)
    rules = RetentionRules(keep_images_days=1, keep_last=0, keep_flagged=False)
    assert [store.retention.retire(product, lambda paths: None) for product in store.retention.due(rules)] == [True] * 2
    image_tile(imaged, TILES[2])
    image_tile(imaged, TILES[3])
    assert store.epochs.epoch(KEY).state == State.COLLECTING
    assert not is_ready(store)
    assert store.epochs.epoch(KEY).state == State.COMPLETED
    assert store.mosaics.mosaic_of(store.epochs.epoch(KEY).job_id) == first
    assert any("were retired" in event.text for event in store.events.after(0) if event.group == KEY)
    assert KEY not in [job.key for job in store.epochs.request(unix_to_mjd(T0) - 1, unix_to_mjd(T0) + 1)]


def test_tile_imaged_during_the_stage_reopens_epoch(store, imaged, clock):
    store.jobs.retry(store.epochs.epoch(KEY).job_id)
    job_id = store.epochs.epoch(KEY).job_id
    lease = store.leases.claim(job_id, Stage.MOSAIC, "worker")
    tiles = store.epochs.tiles(job_id)
    image_tile(imaged, TILES[2])
    assert store.epochs.epoch(KEY).state == State.IN_PROGRESS
    store.leases.commit(lease, [EpochMosaic(MOSAIC, tiles)])
    commit(store, job_id, Stage.MEASURE)
    assert store.epochs.epoch(KEY).state == State.COLLECTING
    assert is_ready(store)


def test_request_makes_epochs_of_images_on_disk(location, open_store, clock):
    off = open_store(location, QueueRules(expected_subbands=4, min_subbands=3, epochs=False))
    telescope = Telescope(off)
    image_tile(telescope, TILES[0])
    image_tile(telescope, TILES[1], 54.6)
    span = (unix_to_mjd(T0) - 1, unix_to_mjd(T0) + 1)
    assert [job.key[-5:] for job in off.epochs.request(*span, 54.6)] == ["D+546"] * 2
    assert {job.key[-5:] for job in off.epochs.request(*span)} == {"D+163"}
    assert set(epochs_by_key(off).values()) == {"pending"}
    assert off.epochs.request(*span) == ()


def test_request_leaves_finished_epochs(store, imaged):
    span = (unix_to_mjd(T0) - 1, unix_to_mjd(T0) + 1)
    assert KEY not in [job.key for job in store.epochs.request(*span)]


def test_retention_keeps_tiles_of_open_epochs(store, night, clock):
    for number in TILES[:2]:
        image_tile(night, number)
    night.whole_group(AFTER)
    rules = RetentionRules(keep_images_days=1, keep_last=0, keep_flagged=False)
    clock.advance(2 * 86400)
    assert store.retention.due(rules) == ()
    while store.epochs.collect():
        for key, state in epochs_by_key(store).items():
            if state == "pending":
                make_mosaic(store, key)
    due = store.retention.due(rules)
    assert {product.kind for product in due} == {"image"}
    assert all(store.retention.retire(product, lambda paths: None) for product in due)
    assert store.epochs.collect() == (), "a retired tile reopens nothing"
    mosaic = store.retention.due(RetentionRules(keep_mosaics_days=1, keep_last=0))
    assert mosaic == ()


def test_strip_history_is_median_of_good_mosaics(store, imaged, clock):
    assert store.mosaics.history_rms_jy(163, FIRST.start_s + 86164) is None
    assert store.mosaics.history_rms_jy(546, FIRST.start_s + 86164) is None


def test_group_has_no_mosaic_stage(store, night):
    group = image_tile(night, TILES[0])
    with pytest.raises(BadInput, match="no stage mosaic"):
        store.jobs.retry(group, stage=Stage.MOSAIC)


def test_unknown_epoch(store):
    with pytest.raises(BadInput, match="contimg epochs list"):
        store.epochs.epoch("2026-02-22_L0130_D+163")


def test_sources_of_good_mosaics_are_found_by_position(store, night, clock):
    """The newest mosaic's flux of a place counts; bad mosaics and sources elsewhere do not."""
    place = {"ra_deg": 24.4, "dec_deg": 16.3}
    for number in TILES:
        image_tile(night, number)
    clock.advance(store.database.rules.collection_timeout_s)
    store.epochs.collect()
    source = {"name": "J0137+1618", **place, "flux_jy": 0.8}
    far = {"name": "far", "ra_deg": 30.0, "dec_deg": 16.3, "flux_jy": 2.0}
    make_mosaic(store, sources=(source, far))
    (listed,) = store.mosaics.find_sources(24.5, 16.2, 3.0, FIRST.start_s + 86164)
    assert (listed["name"], listed["flux_jy"], listed["freq_hz"]) == ("J0137+1618", 0.8, MOSAIC.freq_hz)
    assert store.mosaics.find_sources(24.5, 16.2, 3.0, FIRST.start_s) == ()
    assert store.mosaics.find_sources(24.5, -16.2, 3.0, FIRST.start_s + 86164) == ()
