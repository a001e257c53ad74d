"""The registry's choice and what a late set changes, on both databases."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from test_products import MS, commit, solve

from contimg.common.errors import BadInput
from contimg.store import Stage
from contimg.tile.products import CalibratedMS


def names(caltable_sets):
    return [caltable_set.name for caltable_set in caltable_sets]


def test_good_sets_first_then_nearest(store):
    for name, mjd, grade in (("near", 61093.9, "suspect"), ("far", 61093.6, "good"), ("farther", 61093.5, "good")):
        store.registry.register(replace(solve(name, mjd), grade=grade, reasons=("flagged",)))
    assert names(store.registry.valid_at(61093.97)) == ["far", "farther", "near"]
    record = store.registry.set_named("near")
    assert (record.grade, record.reasons, record.in_force) == ("suspect", ("flagged",), True)


def test_set_of_other_strip_is_not_valid(store):
    store.registry.register(replace(solve("here", 61093.6), dec_deg=33.3))
    store.registry.register(replace(solve("there", 61093.9), dec_deg=54.6))
    assert names(store.registry.valid_at(61093.97, 33.16)) == ["here"]
    assert names(store.registry.valid_at(61093.97, 33.9)) == []
    assert names(store.registry.valid_at(61093.97, 33.9, strip_deg=1.0)) == ["here"]


def test_retired_set_is_not_in_force(store):
    store.registry.register(solve("wet", 61093.9))
    store.registry.retire("wet", "rain on the feeds", by="ana")
    assert store.registry.valid_at(61093.97) == ()
    record = store.registry.set_named("wet")
    assert (record.retired, record.in_force) == ("rain on the feeds (ana)", False)
    with pytest.raises(BadInput, match="nobody"):
        store.registry.retire("nobody", "", by="ana")


def calibrated_tile(store, telescope, applied):
    group = telescope.whole_group()
    commit(store, group, Stage.CONVERT, MS)
    commit(store, group, Stage.CALIBRATE, CalibratedMS(applied, "because", 0.1))
    return group


def test_nearer_set_outdates_tile(store, telescope, clock):
    store.registry.register(replace(solve("early", 61093.6), dec_deg=33.2))
    group = calibrated_tile(store, telescope, "early")
    assert store.registry.outdated() == ()
    clock.advance(3600)
    store.registry.register(replace(solve("elsewhere", 61093.98), dec_deg=60.0))
    store.registry.register(replace(solve("doubtful", 61093.98), dec_deg=33.2, grade="suspect"))
    assert store.registry.outdated() == ()
    store.registry.register(replace(solve("late", 61094.0), dec_deg=33.2))
    (tile,) = store.registry.outdated()
    assert (tile.group, tile.applied, tile.better, tile.path) == (group, "early", "late", Path("/products/a.ms"))
    assert any(re.search(r"\blate\b", event.text) and re.search(r"\b1\b", event.text) for event in store.events.last(5))


def test_first_set_outdates_uncalibrated_tile(store, telescope):
    group = calibrated_tile(store, telescope, None)
    assert store.registry.outdated() == ()
    store.registry.register(solve("first", 61094.2))
    assert [(tile.group, tile.applied, tile.better) for tile in store.registry.outdated()] == [(group, None, "first")]
    store.registry.retire("first", "a mistake", by="ana")
    assert store.registry.outdated() == ()


def test_set_without_grade_is_refused(store):
    with pytest.raises(BadInput, match=r"x.*grade"):
        store.registry.register(replace(solve("x", 61093.9), grade=""))


def test_set_on_the_other_side_outdates_tile(store, telescope, clock):
    """Its gains would be interpolated with the earlier set's; a tile that has it is up to date until it is retired."""
    store.registry.register(replace(solve("early", 61093.9, 24), dec_deg=33.2))
    group = calibrated_tile(store, telescope, "early")
    clock.advance(3600)
    store.registry.register(replace(solve("late", 61094.4, 24), dec_deg=33.2))
    (tile,) = store.registry.outdated()
    assert (tile.group, tile.applied, tile.better, tile.second) == (group, "early", "early", "late")
    clock.advance(60)
    present = telescope.whole_group(1)
    commit(store, present, Stage.CONVERT, replace(MS, path=Path("/products/b.ms")))
    commit(store, present, Stage.CALIBRATE, CalibratedMS("early", "because", 0.1, second_set="late"))
    assert [outdated.group for outdated in store.registry.outdated()] == [group]
    store.registry.retire("late", "rain", by="ana")
    (tile,) = store.registry.outdated()
    assert (tile.group, tile.better, tile.second) == (present, "early", None)


def test_borrowed_sets_follow_the_valid_ones(store, telescope):
    store.registry.register(replace(solve("valid", 61093.5), grade="suspect", reasons=("flagged",)))
    store.registry.register(solve("old", 61091.9))
    store.registry.register(solve("older", 61088.0))
    assert names(store.registry.valid_at(61093.97)) == ["valid"]
    assert names(store.registry.valid_at(61093.97, borrow_days=3)) == ["valid", "old"]


def test_validities_of_bandpass_and_gains_are_kept(store):
    store.registry.register(solve("s1", 61093.9, 24))
    record = store.registry.set_named("s1")
    assert (record.valid_from_mjd, record.valid_to_mjd) == (61092.9, 61094.9)
    assert record.gains_valid_until - record.gains_valid_from == pytest.approx(7200, abs=1)
    assert record.is_valid_at(61094.8)
    assert not record.is_valid_at(61095.0)
