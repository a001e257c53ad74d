"""A week of a strip through broker, producer and workers: light curves, a variable source, a new one, a tile again.

Small: 16 antennas, 48 channels, two tiles of a day after the transit of 3C48, images of 720² pixels of 10″ with a
taper of 40″. Settings that are no sizes: 15 s in place of 600 s of waiting for further tiles, and the flag LARGE_BEAM
above 120″ in place of 75″. The tiles are in two windows, so that each source is measured twice a day.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from observed_days import Observatory, draw_sources

from contimg.instrument.time import DAY_S, mjd_to_unix
from contimg.simulation import TilePlan
from contimg.simulation.sky import Source, power_law
from contimg.simulation.variables import write_variables
from contimg.store import CandidateKind, State, Store
from contimg.store.sky.records import CandidateRecord, LightCurve

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
DATES = tuple(f"2026-02-{day}" for day in range(20, 25))
TARGETS, GAP = 2, 10
STEADY = 12
VARIABLE, NEW = "dimming", "appearing"
DIMMING = (1.0, 0.7, 0.65, 0.75, 1.0)
APPEARS = 3  # day
DAYS = np.arange(len(DATES))


@dataclass(frozen=True)
class Week:
    """The observed week.

    Attributes
    ----------
    observatory : which goes on running.
    sources : of the sky by name, with their steady fluxes.
    fluxes_jy : injected, of each day, by name.
    groups : of each date, the transit first.
    """

    observatory: Observatory
    sources: dict[str, Source]
    fluxes_jy: dict[str, np.ndarray]
    groups: dict[str, list[str]]

    @property
    def store(self) -> Store:
        return self.observatory.store

    def light_curve(self, name: str) -> LightCurve:
        """Light curve of the source at the position of one of the sky."""
        source = self.sources[name]
        (record,) = self.store.sky.cone(source.ra_deg, source.dec_deg, 0.01)
        return self.store.sky.light_curve(record.id)

    def candidates(self) -> dict[str, CandidateRecord]:
        """Candidates by the name of the source of the sky; those of no source by their own."""
        near = {record.source.id: name for name, record in ((name, self.light_curve(name)) for name in self.sources)}
        return {near.get(record.source_id, record.source_name): record for record in self.store.sky.candidates()}


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Week]:
    observatory = Observatory(tmp_path_factory.mktemp("week") / "week", GAP, TARGETS)
    tiles = observatory.plan(DATES[0])
    steady = draw_sources(tiles, STEADY, 0.08, 0.5, seed=4)
    added = [_between(steady, tiles, VARIABLE, 0.35)]
    added.append(_between([*steady, *added], tiles, NEW, 0.2))
    # One sidereal day is between the tiles of two dates.
    mjd = np.array([observatory.plan(date)[1].mid_jd - 2_400_000.5 for date in DATES])
    factors = {source.name: np.ones(len(DATES)) for source in steady}
    factors |= {VARIABLE: np.array(DIMMING), NEW: np.where(DAYS < APPEARS, 0.0, 1.0)}
    # The same factor from an hour before to an hour after: the tiles of a day see one flux.
    times = np.concatenate([mjd - 1 / 24, mjd + 1 / 24])
    write_variables(
        observatory.variables, {name: np.tile(factor, 2) for name, factor in factors.items()}, times, [*steady, *added]
    )
    observatory.install_catalogue([*steady, added[0]])
    observatory.start()
    try:
        groups = _observe(observatory)
        sources = {source.name: source for source in (*steady, *added)}
        fluxes = {name: float(sources[name].flux_jy(1.405e9)) * factor for name, factor in factors.items()}
        yield Week(observatory, sources, fluxes, groups)
    finally:
        observatory.close()


def _between(sources: list[Source], tiles: tuple[TilePlan, ...], name: str, flux_jy: float) -> Source:
    """A source in the middle tile, as far from the others as possible."""
    middle = tiles[len(tiles) // 2]
    east, north = (axis.ravel() for axis in np.meshgrid(np.linspace(-0.5, 0.5, 21), np.linspace(-0.5, 0.5, 21)))
    away = np.min(
        [np.hypot((middle.centre_ra_deg + east - source.ra_deg) * np.cos(np.deg2rad(source.dec_deg)),
                  middle.centre_dec_deg + north - source.dec_deg) for source in sources], axis=0,
    )  # fmt: skip
    best = int(np.argmax(away))
    source = power_law(name, middle.centre_ra_deg + east[best], middle.centre_dec_deg + north[best], flux_jy, -0.7)
    assert away[best] > 0.15
    return source


def _observe(observatory: Observatory) -> dict[str, list[str]]:
    """Let the days pass: a day arrives when the one before it is imaged and the mosaics before that are measured."""
    groups: dict[str, list[str]] = {}
    for number, date in enumerate(DATES):
        groups[date] = observatory.simulate(date)
        if number:
            observatory.wait_for_images(groups[DATES[number - 1]])
        if number > 1:
            observatory.wait_for_epochs(before_s=_noon(observatory, DATES[number - 1]))
        if number:
            observatory.deliver(date, *groups[date])
        else:
            observatory.deliver_with_calibrator(date, groups[date])
    observatory.wait_for_images(groups[DATES[-1]])
    observatory.wait_for_epochs()
    return groups


def _noon(observatory: Observatory, date: str) -> float:
    """Half a day before the tiles of a date."""
    return mjd_to_unix(observatory.plan(date)[0].mid_jd - 2_400_000.5) - DAY_S / 2


def test_every_day_has_its_mosaics(week: Week) -> None:
    epochs = week.store.epochs.list_epochs(1000).epochs
    mosaics = [epoch for epoch in epochs if epoch.tile_count == TARGETS]
    assert {epoch.state for epoch in mosaics} == {State.COMPLETED}
    assert len(mosaics) == 2 * len(DATES)
    assert {epoch.grade for epoch in mosaics} == {"good"}


def test_light_curves_are_the_injected_fluxes(week: Week) -> None:
    """Changes are those injected within their errors; cleaning 16 antennas leaves a few percent, each day the same."""
    pulls, biases = [], []
    for name, injected in week.fluxes_jy.items():
        counted = [point for point in week.light_curve(name).measurements if point.is_counted]
        expected_jy = injected[APPEARS if name == NEW else 0 :]
        assert len(counted) == expected_jy.size, name
        flux_jy, error_jy = (
            np.array([getattr(point, key) for point in counted]) for key in ("flux_jy", "flux_error_jy")
        )
        biases.append(flux_jy[-1] / expected_jy[-1] - 1)
        pulls += list((flux_jy / flux_jy[-1] - expected_jy / expected_jy[-1]) / (error_jy / flux_jy[-1]))
    assert np.max(np.abs(pulls)) < 4
    assert np.sqrt(np.mean(np.square(pulls))) < 1.2
    assert abs(np.median(biases)) < 0.01
    assert np.max(np.abs(biases)) < 0.06


def test_variable_and_appearing_source_are_the_only_candidates(week: Week) -> None:
    candidates = week.candidates()
    assert {name: record.kind for name, record in candidates.items()} == {
        VARIABLE: CandidateKind.VARIABLE, NEW: CandidateKind.NEW,
    }  # fmt: skip
    first = week.groups[DATES[APPEARS]]
    epoch = week.store.epochs.epoch(candidates[NEW].epoch)
    assert {tile.group for tile in epoch.tiles} == set(first[1:])


def test_tile_imaged_again_replaces_the_measurements(week: Week) -> None:
    """Both windows of the tile are made again; each source has as many measurements as before, of the new mosaics."""
    store, group = week.store, week.groups[DATES[2]][1]
    before = {name: week.light_curve(name) for name in week.sources}
    keys = [
        epoch.id for epoch in store.epochs.list_epochs(1000).epochs if group in {tile.group for tile in epoch.tiles}
    ]
    made_at = {key: store.mosaics.mosaic_of(store.epochs.epoch(key).job_id).created_at for key in keys}
    done = week.observatory.deployment.contimg("groups", "retry", group, "--stage", "image")
    assert done.returncode == 0, done.stderr
    week.observatory.wait_for_images([group])
    week.observatory.wait_for_epochs()
    assert len(keys) == 2
    for key in keys:
        assert store.mosaics.mosaic_of(store.epochs.epoch(key).job_id).created_at > made_at[key]
    appearing = week.light_curve(NEW).measurements
    assert {point.epoch for point in appearing if not point.is_detected} == set(keys), "limits: now it is known"
    for name, old in before.items():
        if name == NEW:
            continue
        new = week.light_curve(name)
        assert [(point.epoch, point.is_counted) for point in new.measurements] == [
            (point.epoch, point.is_counted) for point in old.measurements
        ]  # fmt: skip
        for value, tolerance in (("measured_jy", 1e-3), ("flux_jy", 0.01)):
            assert [getattr(point, value) for point in new.measurements] == pytest.approx(
                [getattr(point, value) for point in old.measurements], rel=tolerance
            )
        assert new.source.variability.n == old.source.variability.n
    assert len(store.sky.candidates()) == 2
