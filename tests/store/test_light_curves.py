"""Measurements of epochs in the store: which are counted, and statistics in any order of commits and replacements."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from epoch_steps import MOSAIC
from hypothesis import given, settings
from hypothesis import strategies as st
from light_curve_steps import EPOCHS, SCALE, Epoch, commit_epoch, make_photometry, statistics_rows
from store_play import prepare_location

from contimg.common.errors import BadInput
from contimg.epoch.photometry.products import MeasurementFlag
from contimg.formats.records import to_plain
from contimg.settings import RetentionRules
from contimg.sky.variability.statistics import FluxSums
from contimg.store import Store, tables


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return prepare_location(request, tmp_path)


def light_curve(store: Store, name: str = "a", **options):
    return store.sky.light_curve(store.sky.source(name).id, **options).measurements


def test_commit_stores_measurements_of_an_epoch(store):
    commit_epoch(store, Epoch(day=0), {"a": (0.5, 0.01), "b": (0.001, 0.002)})
    (point,) = light_curve(store)
    assert (point.epoch, point.flux_jy, point.pb, point.flags) == (Epoch(day=0).key, 0.5, 0.9, ())
    assert point.flux_error_jy == pytest.approx(np.hypot(0.01, SCALE.systematic * 0.5))
    assert (point.is_counted, point.is_detected) == (True, True)
    (faint,) = light_curve(store, "b")
    assert not faint.is_detected
    assert faint.limit_jy == pytest.approx(0.006, rel=1e-3)


def test_sources_keep_their_identity_over_epochs(store):
    for day in range(3):
        commit_epoch(store, Epoch(day=day), {"a": (0.5, 0.01)})
    listed = store.sky.sources()
    assert [source.identifiers for source in listed.sources] == [{"nvss": "a"}]
    assert listed.sources[0].variability.n == 3


def test_position_of_another_catalogue_is_the_same_source(store):
    commit_epoch(store, Epoch(day=0), {"a": (0.5, 0.01), "b": (0.5, 0.01)})
    photometry = make_photometry(Epoch(day=1), {"a": (0.5, 0.01), "b": (0.5, 0.01)})
    shifted = replace(photometry, source_id=np.array(["x", "y"]), ra_deg=photometry.ra_deg + np.array([1, 30]) / 3600)
    store.sky.commit_measurements(Epoch(day=1).key, None, shifted, SCALE, catalogue="racs")
    identifiers = {source.id: source.identifiers for source in store.sky.sources().sources}
    assert sorted(map(sorted, (known.items() for known in identifiers.values()))) == [
        [("nvss", "a"), ("racs", "x")], [("nvss", "b")], [("racs", "y")],
    ]  # fmt: skip


def test_point_of_a_day_is_from_the_epoch_nearest_the_centre(store):
    early, late = Epoch(day=0, centre_distance_deg=3.0), Epoch(day=0, window=1, centre_distance_deg=1.0)
    commit_epoch(store, early, {"a": (0.5, 0.01)})
    assert [point.is_counted for point in light_curve(store)] == [True]
    commit_epoch(store, late, {"a": (0.6, 0.01)})
    assert [(point.flux_jy, point.is_counted) for point in light_curve(store)] == [(0.5, False), (0.6, True)]
    assert store.sky.source("a").variability.n == 1
    assert [point.flux_jy for point in light_curve(store, counted_only=True)] == [0.6]


@pytest.mark.parametrize("ra_deg", [359.99, 0.01])
def test_one_point_a_day_at_right_ascension_zero(store, ra_deg):
    for day in range(4):
        for window in range(2):
            epoch = Epoch(day=day, window=window, ra_deg=ra_deg, centre_distance_deg=1.0 + window)
            commit_epoch(store, epoch, {"a": (0.5, 0.01)})
    points = light_curve(store)
    assert [point.is_counted for point in points] == [True, False] * 4


def test_hard_flag_is_stored_and_not_counted(store):
    commit_epoch(store, Epoch(day=0), {"a": (0.5, 0.01)})
    commit_epoch(store, Epoch(day=1), {"a": (9.0, 0.01)}, flags=MeasurementFlag.BAD_POSITIONS)
    commit_epoch(store, Epoch(day=2), {"a": (0.5, 0.01)}, flags=MeasurementFlag.EDGE)
    assert [point.is_counted for point in light_curve(store)] == [True, False, True]
    assert light_curve(store)[1].flags == ("BAD_POSITIONS",)
    assert store.sky.source("a").variability.n == 2


def test_farther_epoch_counts_where_the_nearest_is_flagged(store):
    commit_epoch(store, Epoch(day=0, centre_distance_deg=1.0), {"a": (9.0, 0.01)}, flags=MeasurementFlag.UNCALIBRATED)
    commit_epoch(store, Epoch(day=0, window=1, centre_distance_deg=3.0), {"a": (0.5, 0.01)})
    assert [point.flux_jy for point in light_curve(store, counted_only=True)] == [0.5]


def test_epoch_whose_normalisation_failed_does_not_enter(store):
    commit_epoch(store, Epoch(day=0), {"a": (0.5, 0.01)})
    refused = replace(SCALE, accepted=False, factor_error=float("nan"), reason="2 reference sources (minimum 3)")
    commit_epoch(store, Epoch(day=1), {"a": (0.7, 0.01)}, normalisation=refused)
    assert [(point.flux_jy, point.is_counted) for point in light_curve(store)] == [(0.5, True), (0.7, False)]
    commit_epoch(store, Epoch(day=1), {"a": (0.7, 0.01)})
    assert store.sky.source("a").variability.n == 2


def test_fluxes_are_normalised(store):
    commit_epoch(store, Epoch(day=0), {"a": (0.5, 0.01)}, normalisation=replace(SCALE, factor=2.0, offset_jy=0.1))
    (point,) = light_curve(store)
    assert (point.flux_jy, point.measured_jy) == (0.2, 0.5)
    assert store.sky.source("a").variability.last_jy == 0.2


def test_processings_are_apart(store):
    commit_epoch(store, Epoch(day=0), {"a": (0.5, 0.01)})
    commit_epoch(store, Epoch(day=0), {"a": (0.7, 0.01)}, processing="deep")
    commit_epoch(store, Epoch(day=1), {"a": (0.8, 0.01)}, processing="deep")
    assert [point.flux_jy for point in light_curve(store)] == [0.5]
    assert [point.flux_jy for point in light_curve(store, processing="deep")] == [0.7, 0.8]
    assert store.sky.source("a", "deep").variability.n == 2
    assert store.sky.source("a").variability.n == 1


def test_position_outside_the_image_has_no_measurement(store):
    commit_epoch(store, Epoch(day=0), {"a": (np.nan, np.nan)}, flags=MeasurementFlag.OUTSIDE)
    commit_epoch(store, Epoch(day=1), {"a": (np.nan, np.nan)}, flags=MeasurementFlag.NO_DATA)
    (point,) = light_curve(store)
    assert (point.flux_jy, point.flags) == (None, ("NO_DATA",))
    assert store.sky.source("a").variability is None


def test_image_without_time_is_refused(store):
    photometry = replace(make_photometry(Epoch(day=0), {"a": (0.5, 0.01)}), mjd=None)
    with pytest.raises(BadInput, match="MJD-OBS"):
        store.sky.commit_measurements("key", None, photometry, SCALE)
    assert store.sky.sources().total == 0


def test_remade_mosaic_leaves_what_a_single_one_would(location, open_store, made_sqlite, tmp_path):
    store, single = open_store(location), open_store(str(shutil.copy(made_sqlite, tmp_path / "single.sqlite3")))
    for opened in (store, single):
        for day in (0, 1, 2):
            commit_epoch(opened, Epoch(day=day), {"a": (0.5 + 0.01 * day, 0.01), "b": (0.2, 0.003)})
    commit_epoch(store, Epoch(day=3), {"a": (7.0, 0.02), "b": (0.1, 0.002)})
    commit_epoch(store, Epoch(day=1), {"a": (3.0, 0.02)})
    for opened in (store, single):
        commit_epoch(opened, Epoch(day=3), {"a": (0.51, 0.01)})
        commit_epoch(opened, Epoch(day=1), {"a": (0.52, 0.01), "b": (0.2, 0.003)})
    assert statistics_rows(store) == statistics_rows(single)
    assert store.sky.source("b").variability.n == 3


FLUXES = st.dictionaries(
    st.sampled_from("abc"), st.tuples(st.floats(-0.01, 2.0), st.floats(1e-4, 0.1)), min_size=1, max_size=3
)
NUMBERS = count()
STEPS = st.lists(
    st.tuples(st.sampled_from(EPOCHS), st.one_of(st.none(), FLUXES), st.sampled_from([0, 0, 0, 1 << 5, 1 << 8])),
    min_size=1, max_size=12,
)  # fmt: skip


@pytest.fixture(scope="module")
def shared_store(made_sqlite, tmp_path_factory) -> Iterator[Store]:
    """One store for all examples, each in processings of its own."""
    store = Store.open(shutil.copy(made_sqlite, tmp_path_factory.mktemp("examples") / "store.sqlite3"))
    yield store
    store.close()


@pytest.mark.parametrize("examples", [12, pytest.param(200, marks=pytest.mark.long)])
def test_statistics_follow_from_the_epochs_alone(examples, shared_store):
    """Adding, replacing and removing epochs in any order gives the same bits as the last state added in order."""

    @settings(max_examples=examples, deadline=None, database=None)
    @given(steps=STEPS)
    def check(steps):
        name = f"example {next(NUMBERS)}"
        last = {}
        for epoch, fluxes, flags in steps:
            if fluxes is None:
                assert shared_store.sky.remove_measurements(epoch.key, name) == (last.pop(epoch, None) is not None)
            else:
                commit_epoch(shared_store, epoch, fluxes, flags=flags, processing=name)
                last[epoch] = fluxes, flags
        for epoch in sorted(last, key=lambda epoch: epoch.mjd):
            commit_epoch(shared_store, epoch, last[epoch][0], flags=last[epoch][1], processing=f"{name} in order")
        in_order = statistics_rows(shared_store, f"{name} in order")
        assert statistics_rows(shared_store, name) == in_order
        check_against_direct(shared_store, name)

    check()


def check_against_direct(store: Store, processing: str) -> None:
    """η and V of every source against the sums of its light curve."""
    for source in store.sky.sources(processing=processing).sources:
        curve = store.sky.light_curve(source.id, processing, counted_only=True)
        assert (source.variability is None) == (not curve.measurements)
        if source.variability is not None:
            columns = ("flux_jy", "flux_error_jy", "mjd")
            sums = FluxSums.of(
                *(np.array([[getattr(point, name) for point in curve.measurements]]) for name in columns)
            )
            assert source.variability.n == len(curve.measurements)
            for name in ("eta", "modulation_index", "vs", "weighted_mean_jy", "last_jy", "trend_jy_per_day"):
                expected = getattr(sums, name)[0]
                assert getattr(source.variability, name) == (None if np.isnan(expected) else expected)


def test_reference_fluxes_of_earlier_epochs(store):
    for day in range(3):
        commit_epoch(store, Epoch(day=day), {"a": (0.5, 0.01)} | ({"b": (0.2, 0.01)} if day else {}))
    mean, error = store.sky.reference_fluxes(["b", "a", "unknown"], "nvss")
    np.testing.assert_allclose(mean, [np.nan, 0.5, np.nan])
    assert error[1] == pytest.approx(np.hypot(0.01, SCALE.systematic * 0.5) / np.sqrt(3))


def test_cone_search_across_right_ascension_zero(store):
    commit_epoch(store, Epoch(day=0, ra_deg=359.99), {"a": (0.5, 0.01), "b": (0.5, 0.01), "c": (0.5, 0.01)})
    near = store.sky.cone(0.01, 16.3, 0.15)
    assert [list(source.identifiers.values()) for source in near] == [["a"], ["b"]]
    assert near[0].separation_deg == pytest.approx(0.02 * np.cos(np.deg2rad(16.3)), rel=1e-3)
    assert store.sky.cone(180.0, 16.3, 1.0) == ()
    assert len(store.sky.cone(0.01, 16.3, 170.0)) == 3


def test_plane_holds_sources_with_enough_points(store):
    for day in range(3):
        commit_epoch(store, Epoch(day=day), {"a": (0.5 + 0.1 * day, 0.01)} | ({} if day else {"b": (0.2, 0.01)}))
    plane = store.sky.eta_v()
    assert (len(plane), plane.n.tolist()) == (1, [3])
    assert plane.eta[0] == store.sky.source("a").variability.eta > 20
    assert len(store.sky.eta_v(min_n=1)) == 2


def test_sources_by_eta_in_pages(store):
    for day in range(3):
        commit_epoch(store, Epoch(day=day), {"a": (0.5, 0.01), "b": (0.5 + 0.1 * day, 0.01), "c": (0.5, 0.02)})
    first = store.sky.sources(1)
    assert (first.total, first.sources[0].identifiers) == (3, {"nvss": "b"})
    value, number = first.next.split("~")
    following = store.sky.sources(5, before=(float(value), int(number)))
    assert len(following.sources) == 2
    assert following.next is None
    assert [source.identifiers["nvss"] for source in store.sky.sources(min_eta=10.0).sources] == ["b"]
    assert [source.identifiers["nvss"] for source in store.sky.sources(name="A").sources] == ["a"]


def test_source_added_later_is_measured_back(store):
    for day in range(3):
        commit_epoch(store, Epoch(day=day), {"a": (0.5, 0.01)})
    before = statistics_rows(store)
    added = store.sky.add_source(24.3, 16.1, name="new", by="ops")
    for day in (2, 0):
        photometry = make_photometry(Epoch(day=day), {"x": (0.1 + 0.1 * day, 0.01)})
        assert store.sky.add_measurements(Epoch(day=day).key, photometry, [added.id]) == 1
    assert [point.flux_jy for point in light_curve(store, "new")] == [0.1, pytest.approx(0.3)]
    assert [row for row in statistics_rows(store) if row["n"] == 3] == before
    with pytest.raises(BadInput, match="not measured"):
        store.sky.add_measurements("other", photometry, [added.id])
    with pytest.raises(BadInput, match="new"):
        store.sky.add_source(24.3, 16.1, name="new")


def test_retired_mosaic_keeps_its_measurements(store, clock):
    job = make_job(store)
    with store.database.write() as session:
        row = tables.MosaicRow(job_id=job, processing="live", epoch=Epoch(day=0).key, strip=163, reference_s=1.0,
                               rms_jy=0.001, verdict="good", record=to_plain(MOSAIC), created_at=clock())  # fmt: skip
        session.add(row)
        session.flush()
        number = row.id
    photometry = make_photometry(Epoch(day=0), {"a": (0.5, 0.01)})
    store.sky.commit_measurements(Epoch(day=0).key, number, photometry, SCALE, catalogue="nvss")
    assert [point.mosaic_id for point in light_curve(store)] == [number]
    before = statistics_rows(store)
    clock.advance(3 * 86400)
    (due,) = store.retention.due(RetentionRules(keep_mosaics_days=1, keep_last=0))
    assert store.retention.retire(due, lambda paths: None)
    assert [(point.mosaic_id, point.is_counted) for point in light_curve(store)] == [(None, True)]
    assert statistics_rows(store) == before


def make_job(store: Store) -> int:
    """A completed job of an epoch; returns its number."""
    with store.database.write() as session:
        job = tables.Job(kind="epoch", key=Epoch(day=0).key, processing="live", priority=6, reference_s=1.0,
                         state="completed", stage="measure", created_at=1.0, updated_at=1.0)  # fmt: skip
        session.add(job)
        session.flush()
        return job.id
