"""What is sent, in which order, and how much at once."""

from pathlib import Path

import numpy as np
import pytest
from store_steps import register_file

from contimg.common.errors import Transient
from contimg.formats.uvh5.grouping import seconds_of, stamp_of, subband_file_name
from contimg.instrument.calibrators import UNMODELLED_JY, catalogue
from contimg.settings import DispatchSettings
from contimg.simulation import SimulateOptions, plan_tiles
from contimg.sky.catalogue import CatalogueSources, Provenance, write_catalogue
from contimg.store import QueueRules, Stage, Store
from contimg.tile.calibrate.options import CalibrateOptions
from contimg.tile.products import ConvertedMS
from workers.scheduling.calibrator_tiles import CalibratorTiles, find_calibrators, with_calibrator
from workers.scheduling.dispatcher import Dispatcher

T0 = 1_771_802_000.0


@pytest.fixture
def few(tmp_path) -> Store:
    opened = Store.open(tmp_path / "few.sqlite3", QueueRules(expected_subbands=1, min_subbands=1))
    yield opened
    opened.close()


def arrive(store: Store, number: int) -> str:
    name = subband_file_name(T0 + 309 * number, 0)
    return register_file(store, f"/incoming/{name}", 1, 1.0).file.group


@pytest.mark.parametrize(("order", "expected"), [("newest", [4, 3, 2, 1, 0]), ("oldest", [0, 1, 2, 3, 4])])
def test_groups_are_sent_in_configured_order(few, order, expected):
    sent = []
    groups = [arrive(few, number) for number in range(5)]
    Dispatcher(few, lambda job: sent.append(job.key), DispatchSettings(order=order)).fill()
    assert sent == [groups[number] for number in expected]


def test_in_flight_limit(few):
    sent = []
    dispatcher = Dispatcher(few, lambda job: sent.append(job.key), DispatchSettings(max_in_flight=3))
    groups = [arrive(few, number) for number in range(8)]
    assert len(dispatcher.fill()) == 3
    assert dispatcher.fill() == ()
    lease = few.leases.claim(groups[7], Stage.CONVERT, "a worker")
    assert dispatcher.fill() == (), "a group in progress takes its place as well"
    few.leases.fail(lease, "bad", permanent=True)
    assert dispatcher.fill() == (groups[4],)
    newest = arrive(few, 9)
    few.leases.fail(few.leases.claim(groups[6], Stage.CONVERT, "a worker"), "bad", permanent=True)
    assert dispatcher.fill() == (newest,), "the newest overtakes the backlog, which waits in the store"


def test_unsent_jobs_are_not_counted(few):
    def away(_job):
        raise Transient("broker: does not answer")

    arrive(few, 0)
    with pytest.raises(Transient):
        Dispatcher(few, away).fill()
    assert few.files.groups()[0].enqueued_at is None
    sent = []
    Dispatcher(few, lambda job: sent.append(job.key)).fill()
    assert len(sent) == 1


def test_calibrator_tiles_are_sent_first(few):
    class Known:
        def have_calibrator(self, reference_s):
            return [at == T0 + 309 for at in reference_s]

    groups = [arrive(few, number) for number in range(3)]
    assert Dispatcher(few, lambda *_: None, calibrators=Known()).fill() == (groups[1], groups[2], groups[0])
    assert Dispatcher(few, lambda *_: None, calibrators=Known()).ordered(few.jobs.waiting(0))


@pytest.mark.parametrize(("order", "first"), [("newest", 3), ("oldest", 1)])
def test_calibrator_search_is_limited_to_look_ahead(few, order, first, monkeypatch):
    class Known:
        def have_calibrator(self, reference_s):
            checked.append(list(reference_s))
            return [at in (T0 + 309, T0 + 3 * 309) for at in reference_s]

    monkeypatch.setattr("workers.scheduling.dispatcher.LOOK_AHEAD", 2)
    checked, groups = [], [arrive(few, number) for number in range(5)]
    rules = DispatchSettings(order=order, max_in_flight=1)
    assert Dispatcher(few, lambda *_: None, rules, calibrators=Known()).fill() == (groups[first],)
    assert [len(times) for times in checked] == [2], "the others were not even read"


def test_calibrator_tiles_are_cached_per_declination(few, monkeypatch):
    reckoned = []

    def with_calibrator(starts_s, dec_rad, *_limits):
        reckoned.append(list(starts_s))
        return starts_s == T0

    monkeypatch.setattr("workers.scheduling.calibrator_tiles.with_calibrator", with_calibrator)
    tiles = CalibratorTiles(few, CalibrateOptions())
    assert tiles.have_calibrator([T0]) == [False], "no declination is known yet"
    for dec_deg, times, new in ((33.2, [T0, 1.0], [T0, 1.0]), (33.201, [2.0, T0], [2.0]), (40.0, [T0], [T0])):
        put_measurement_set(few, dec_deg)
        assert tiles.have_calibrator(times) == [at == T0 for at in times]
        assert reckoned.pop() == new


def put_measurement_set(store: Store, dec_deg: float) -> None:
    """The newest Measurement Set, with which the declination becomes known."""
    group = arrive(store, len(store.products.measurement_sets()))
    lease = store.leases.claim(group, Stage.CONVERT, "a worker")
    mjd = 61093.0 + 0.004 * len(store.products.measurement_sets())
    ms = ConvertedMS(
        path=Path(f"/products/{group}.ms"), mjd_start=mjd, mjd_end=mjd, ra_deg=0.0, dec_deg=dec_deg, integrations=24,
        channels=768, antennas=96, missing_subbands=(), flagged_fraction=0.0, bytes=0,
    )  # fmt: skip
    store.leases.commit(lease, [ms])


@pytest.mark.long
def test_3c48_is_in_beam_of_its_tile():
    """The simulator plans 3C48's transit with Astropy in the middle of its first tile; a day of tiles around it."""
    tiles = plan_tiles(SimulateOptions(groups=250))
    starts = np.array([seconds_of(tile.group) for tile in tiles])
    dec_rad = np.deg2rad(tiles[0].centre_dec_deg)
    calibrators = find_calibrators(dec_rad, 10.0, CalibrateOptions())
    is_due = with_calibrator(starts, dec_rad, 0.7, calibrators)
    assert is_due[0], "its transit"
    assert not is_due[3:200].all()
    # 0.7 of the beam is reached 0.9 deg off the centre, 4.7 min of drift at this declination: the next tile is out.
    assert not is_due[2:5].any()
    assert with_calibrator(starts[:1] + 86164.1, dec_rad, 0.7, calibrators)[0], "a sidereal day later again"
    assert stamp_of(starts[0]) == tiles[0].group


def test_order_follows_the_rule_of_the_stage(tmp_path):
    """A calibrator of less than 1.5 Jy counts where a catalogue gives its neighbours, and none that it lacks."""
    dec_rad = np.deg2rad(33.16)
    labels = {(source.ra_rad, source.dec_rad): source for source in catalogue()}

    def found(**changes):
        calibrators = find_calibrators(dec_rad, 0.54, CalibrateOptions(**changes))
        return {labels[calibrator.position_rad].label: calibrator for calibrator in calibrators}

    alone = found()
    assert {calibrator.min_jy for calibrator in alone.values()} == {UNMODELLED_JY}
    faint, absent = (
        next(source for source in catalogue() if source.usable and low < source.flux_20cm_jy < high
             and abs(np.rad2deg(source.dec_rad) - 33.16) < 4)
        for low, high in ((0.8, 1.3), (2.0, 3.0))
    )  # fmt: skip
    assert faint.label not in alone
    assert absent.label in alone
    listed = [(faint, faint.flux_20cm_jy, 0.0), (absent, 0.5, 1.0)]
    sources = CatalogueSources.of(
        1.45e9, [source.name for source, _, _ in listed], [np.rad2deg(source.ra_rad) for source, _, _ in listed],
        [np.rad2deg(source.dec_rad) + offset for source, _, offset in listed], [flux for _, flux, _ in listed],
    )  # fmt: skip
    path = tmp_path / "site.catalogue"
    write_catalogue(path, sources, Provenance(
        name="site", kind="survey", frequency_hz=1.45e9, beam_deg=0.0125, flux_limit_jy=0.0025,
    ))  # fmt: skip
    with_neighbours = found(catalogue=str(path))
    assert with_neighbours[faint.label].min_jy == pytest.approx(0.54)
    assert absent.label not in with_neighbours
