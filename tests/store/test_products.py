"""Product rows stand with the commit that made them, and the registry answers by time: on both databases."""

from dataclasses import replace
from pathlib import Path

import pytest
from store_steps import IMAGE, MS, commit, metric_values, solved_set

from contimg.common.errors import LeaseLost
from contimg.formats.caltables.caltable_set import CaltableSet
from contimg.store import ImageFilter, Stage
from contimg.tile.products import CalibratedMS


def solve(name: str, mjd: float, hours: float = 12) -> CaltableSet:
    return solved_set(Path(f"/cal/{name}"), mjd, hours)


def test_commits_write_products(store, telescope, clock):
    group = telescope.whole_group()
    commit(store, group, Stage.CONVERT, MS)
    record = store.products.measurement_set(group)
    assert (record.path, record.missing_subbands, record.bytes) == (MS.path, (3, 7), 2_300_000_000_000)
    assert (record.calibrated_at, record.calibration_set) == (None, None)
    commit(store, group, Stage.CALIBRATE, CalibratedMS("s1", "solved", 0.2, solve("s1", 61093.9)))
    record = store.products.measurement_set(group)
    assert (record.calibrated_at, record.calibration_set, record.flagged_fraction) == (clock.now, "s1", 0.2)
    commit(store, group, Stage.IMAGE, IMAGE)
    image = store.products.image_of(group)
    assert {name: getattr(image, name) for name in vars(IMAGE)} == vars(IMAGE)
    assert store.products.image(image.id) == image
    assert store.overview.snapshot().images == (image,)
    assert store.products.image(99) is None
    assert store.products.find_images(ImageFilter(), before=(IMAGE.mjd, 0)) == ()


def test_numbers_of_hands_subbands_and_antennas_are_kept(store, telescope):
    group = telescope.whole_group()
    commit(store, group, Stage.CONVERT, MS)
    assert store.products.measurement_set(group).bad_antennas == {}
    bad = {"pad37": "no fringes of the calibrator", "pad60": "autocorrelation is flat"}
    commit(store, group, Stage.CALIBRATE, CalibratedMS("s1", "solved", 0.2, bad_antennas=bad))
    assert store.products.measurement_set(group).bad_antennas == bad
    numbers = {
        "missing_subbands": (3, 7), "hands": "XX, YY", "hand_ratio": 0.8, "hand_ratio_error": 0.01,
        "gain_hand_ratio": 1.3, "history_rms_jy": 0.002, "edge_noise_ratio": 1.1, "sources_found": 0,
        "calibration_grade": "suspect",
    }  # fmt: skip
    commit(store, group, Stage.IMAGE, replace(IMAGE, **numbers))
    image = store.products.image_of(group)
    assert {name: getattr(image, name) for name in numbers} == numbers


def test_noise_history_is_of_good_images_of_the_strip(store, telescope):
    def add(number: int, rms_jy: float, **changes) -> None:
        group = telescope.whole_group(number)
        commit(store, group, Stage.CONVERT, replace(MS, path=Path(f"/products/{number}.ms")))
        commit(store, group, Stage.CALIBRATE, CalibratedMS("s1", "solved", 0.2))
        files = {name: None for name in ("beam_fits_path", "png_path")} | {
            "fits_path": Path(f"/products/{number}.fits")
        }
        row = {"mjd": 61000.0 + number, "verdict": "good", "rms_jy": rms_jy, **files, **changes}
        commit(store, group, Stage.IMAGE, replace(IMAGE, **row))

    history = store.products.history_rms_jy
    for number in range(4):
        add(number, 0.001 * (number + 1))
    assert history(33.16, 61020.0) is None, "too few"
    add(4, 0.005)
    add(5, 0.5, verdict="suspect")
    add(6, 0.5, dec_deg=37.0)
    add(7, 0.5, mjd=61021.0)
    assert history(33.3, 61020.0) == 0.003
    assert history(33.16, 61000.0 + 60) is None, "too long ago"
    assert history(33.16, 61020.0, processing="campaign") is None


def test_refused_commit_writes_no_product(store, telescope, clock):
    group = telescope.whole_group()
    frozen = store.leases.claim(group, Stage.CONVERT, "frozen")
    clock.advance(200)
    store.leases.expire()
    with pytest.raises(LeaseLost):
        store.leases.commit(frozen, [MS])
    assert store.products.measurement_set(group) is None


def test_interrupted_commit_writes_nothing(store, telescope):
    group = telescope.whole_group()
    lease = store.leases.claim(group, Stage.CONVERT, "a")
    with pytest.raises(TypeError, match=r"\bstr\b"):
        store.leases.commit(lease, [MS, "not a product"])
    assert store.products.measurement_set(group) is None
    assert store.leases.commit(lease, [MS]) is Stage.CALIBRATE


def test_reconversion_replaces_product_and_calibration(store, telescope):
    group = telescope.whole_group()
    commit(store, group, Stage.CONVERT, MS)
    commit(store, group, Stage.CALIBRATE, CalibratedMS(None, "no calibration valid at that time", 0.125))
    assert store.products.measurement_set(group).calibration_note == "no calibration valid at that time"
    commit(store, group, Stage.IMAGE, IMAGE)
    store.jobs.retry(group)
    commit(store, group, Stage.CONVERT, replace(MS, missing_subbands=()))
    (record,) = store.products.measurement_sets()
    assert (record.missing_subbands, record.calibrated_at, record.calibration_note) == ((), None, None)


def test_valid_sets_nearest_first(store):
    for name, mjd in (("yesterday", 61093.0), ("today", 61094.0), ("tomorrow", 61095.0)):
        store.registry.register(solve(name, mjd, hours=30))
    assert [caltable_set.name for caltable_set in store.registry.valid_at(61094.1)] == [
        "today",
        "tomorrow",
        "yesterday",
    ]
    assert [caltable_set.name for caltable_set in store.registry.valid_at(61092.0)] == ["yesterday"]
    assert store.registry.valid_at(61080.0) == ()
    today = store.registry.set_named("today")
    assert [table.kind for table in today.tables] == ["bandpass", "gain"], "in the order in which they are applied"
    assert (today.quality, today.reference_antenna, today.group) == ({"flagged_fraction": 0.01}, "pad103", None)
    assert [caltable_set.name for caltable_set in store.registry.sets(2)] == ["tomorrow", "today"]


def test_new_solve_supersedes_earlier_set_of_tile(store, telescope):
    group = telescope.whole_group()
    store.registry.register(solve("first", 61094.0), group=group)
    store.registry.register(solve("second", 61094.0), group=group)
    store.registry.register(solve("second", 61094.0), group=group)
    assert [caltable_set.name for caltable_set in store.registry.valid_at(61094.0)] == ["second"]
    assert store.registry.set_named("first").superseded_by == "second"
    assert len(store.registry.set_named("second").tables) == 2


def test_events_and_metrics_are_ordered(store, clock):
    for number in range(3):
        store.events.add(f"event {number}", level="warning" if number else "info", group=None)
        store.metrics.add({"disk.free_bytes": number * 1e12, "not.known": None})
        clock.advance(10)
    first, *later = store.events.after(0)
    assert store.events.after(first.id) == tuple(later)
    assert [event.text for event in store.events.last(level="warning")] == ["event 2", "event 1"]
    assert metric_values(store, "disk.free_bytes") == [0, 1e12, 2e12]
    assert metric_values(store, "not.known") == []
