"""The registry's choice and what a late set changes, on both databases."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from test_products import MS, commit, solve

from contimg.errors import BadInput
from contimg.store import Stage
from contimg.tile.products import CalibratedMS


def names(caltable_sets):
    return [caltable_set.name for caltable_set in caltable_sets]


def test_good_ones_first_then_the_nearest(store):
    for name, mjd, grade in (("near", 61093.9, "suspect"), ("far", 61093.6, "good"), ("farther", 61093.5, "good")):
        store.registry.register(replace(solve(name, mjd), grade=grade, reasons=("flagged",)))
    assert names(store.registry.valid_at(61093.97)) == ["far", "farther", "near"]
    record = store.registry.set_named("near")
    assert (record.grade, record.reasons, record.in_force) == ("suspect", ("flagged",), True)


def test_another_strip_is_never_chosen(store):
    store.registry.register(replace(solve("here", 61093.6), dec_deg=33.3))
    store.registry.register(replace(solve("there", 61093.9), dec_deg=54.6))
    assert names(store.registry.valid_at(61093.97, 33.16)) == ["here"]
    assert names(store.registry.valid_at(61093.97, 33.9)) == []
    assert names(store.registry.valid_at(61093.97, 33.9, strip_deg=1.0)) == ["here"]


def test_a_retired_set_is_out_of_force_and_says_why(store):
    store.registry.register(solve("wet", 61093.9))
    store.registry.retire("wet", "rain on the feeds")
    assert store.registry.valid_at(61093.97) == ()
    record = store.registry.set_named("wet")
    assert (record.retired, record.in_force) == ("rain on the feeds", False)
    with pytest.raises(BadInput, match="nobody"):
        store.registry.retire("nobody", "")


def calibrated_tile(store, telescope, applied):
    group = telescope.whole_group()
    commit(store, group, Stage.CONVERT, MS)
    commit(store, group, Stage.CALIBRATE, CalibratedMS(applied, "because", 0.1))
    return group


def test_a_late_and_nearer_set_marks_the_tile(store, telescope, clock):
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


def test_an_uncalibrated_tile_is_marked_by_the_first_set_and_a_retired_one_unmarks_it(store, telescope):
    group = calibrated_tile(store, telescope, None)
    assert store.registry.outdated() == ()
    store.registry.register(solve("first", 61094.2))
    assert [(tile.group, tile.applied, tile.better) for tile in store.registry.outdated()] == [(group, None, "first")]
    store.registry.retire("first", "a mistake")
    assert store.registry.outdated() == ()


def test_a_set_to_register_has_a_grade(store):
    with pytest.raises(BadInput, match=r"x.*grade"):
        store.registry.register(replace(solve("x", 61093.9), grade=""))
