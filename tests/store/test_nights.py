"""Nights of the store: each number against a query of its own, gaps, reports written once, notes."""

from collections.abc import Iterator
from dataclasses import replace
from statistics import median

import pytest
from night_steps import FIRST_S, fill_nights
from sqlalchemy import event, text
from store_play import Clock, Telescope
from store_steps import MS, commit

from contimg.common.errors import BadInput
from contimg.instrument.dsa110 import BAND, CADENCE_S
from contimg.instrument.time import DAY_S, unix_to_mjd
from contimg.settings.retention import RetentionRules
from contimg.store import QueueRules, Stage, Store, tables
from contimg.tile.products import CalibratedMS, ChannelInterference

DAY, NEXT_DAY = "2026-02-22", "2026-02-23"
OUTAGES = (
    # antenna, began and ended in hours of the day
    ("103", -5.0, 3.0),
    ("7", 20.0, None),
    ("8", -30.0, -20.0),
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two nights with their files, seen two hours after the end of the second; tests only read it."""
    if request.param == "sqlite":
        location = str(tmp_path_factory.mktemp("filled") / "store.sqlite3")
    else:
        location = request.getfixturevalue("postgres").new_database()
    store = Store.open(location, QueueRules(), clock=Clock(FIRST_S + 2 * DAY_S + 7200))
    fill_nights(store, 2)
    with store.database.engine.begin() as connection:
        for antenna, began_h, ended_h in OUTAGES:
            ended_mjd = None if ended_h is None else unix_to_mjd(FIRST_S + 3600 * ended_h)
            connection.execute(
                tables.AntennaOutage.__table__.insert(),
                {"antenna": antenna, "state": "dead", "reason": "no signal", "ended_mjd": ended_mjd,
                 "began_mjd": unix_to_mjd(FIRST_S + 3600 * began_h)},
            )  # fmt: skip
    yield store
    store.close()


@pytest.fixture
def night_store(location: str, open_store, clock: Clock) -> Store:
    """Two nights without their files, seen two hours after the end of the second."""
    clock.now = FIRST_S + 2 * DAY_S + 7200
    store: Store = open_store(location, QueueRules())
    fill_nights(store, 2, files=False)
    return store


def ask(store: Store, query: str) -> list[tuple]:
    with store.database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def number(store: Store, query: str) -> int:
    ((value,),) = ask(store, query)
    return value


def test_numbers_equal_queries(filled: Store) -> None:
    night = filled.nights.night(DAY)
    groups = f"FROM groups WHERE reference_s >= {FIRST_S} AND reference_s < {FIRST_S + DAY_S}"
    files = (
        "FROM subband_files f JOIN groups g ON f.group_id = g.id "
        f"WHERE f.state <> 'quarantined' AND g.reference_s >= {FIRST_S} AND g.reference_s < {FIRST_S + DAY_S}"
    )
    images = f"FROM images WHERE group_id LIKE '{DAY}%'"
    assert night.arrived_tiles == number(filled, f"SELECT count(*) {groups}") == 268
    assert night.expected_tiles == round(DAY_S / CADENCE_S) == 280
    assert night.partial_tiles == number(filled, f"SELECT count(*) {groups} AND partial") == 6
    whole = ask(filled, f"SELECT f.group_id {files} AND NOT g.partial GROUP BY f.group_id HAVING count(*) = 16")
    assert night.complete_tiles == len(whole)
    assert night.complete_tiles + night.partial_tiles + night.incomplete_tiles == night.arrived_tiles
    present = dict(ask(filled, f"SELECT f.subband, count(*) {files} GROUP BY f.subband"))
    assert {row.subband: row.missing_tiles for row in night.missing_by_subband} == {
        subband: night.arrived_tiles - count for subband, count in present.items() if count < night.arrived_tiles
    }
    quarantined = "FROM subband_files WHERE state = 'quarantined' AND path LIKE '/incoming/" + DAY + "%'"
    assert night.quarantined_files == number(filled, f"SELECT count(*) {quarantined}") == len(night.quarantined)
    assert night.quarantined_tiles == number(filled, f"SELECT count(DISTINCT group_id) {quarantined}") == 3
    jobs = f"FROM jobs WHERE kind = 'tile' AND key LIKE '{DAY}%'"
    assert night.states == dict(ask(filled, f"SELECT state, count(*) {jobs} GROUP BY state"))
    assert night.failed_tiles == night.states["failed"]
    assert night.imaged_tiles == number(filled, f"SELECT count(*) {images}") == len(night.images)
    grades = dict(ask(filled, f"SELECT verdict, count(*) {images} GROUP BY verdict"))
    assert night.grades == {"ungraded": 0, **grades}
    uses = set(ask(filled, f"SELECT calibration_set, calibration_class, count(*) {images} GROUP BY 1, 2"))
    assert {(use.calibration_set, use.calibration_class, use.tiles) for use in night.calibrated_by} == uses
    ratios = [row[0] for row in ask(filled, f"SELECT rms_jy / expected_rms_jy {images}")]
    assert night.noise_ratio == pytest.approx(median(ratios)) == pytest.approx(night.noise_ratios.median)
    assert night.noise_ratios.tiles == len(ratios)
    fluxes = [row[0] for row in ask(filled, f"SELECT catalogue_flux_ratio {images}") if row[0] is not None]
    assert night.flux_ratio == pytest.approx(median(fluxes)) == pytest.approx(night.flux_ratios.median)
    offsets = [row[0] for row in ask(filled, f"SELECT catalogue_offset_arcsec {images}") if row[0] is not None]
    assert night.offset_arcsec == pytest.approx(median(offsets))
    mosaics = f"FROM mosaics WHERE epoch LIKE '{DAY}%'"
    assert night.mosaics == number(filled, f"SELECT count(*) {mosaics}") == len(night.epochs) == 48
    assert night.good_mosaics == number(filled, f"SELECT count(*) {mosaics} AND verdict = 'good'") == 44
    delays = sorted(
        done_s - arrived_s
        for arrived_s, done_s in ask(
            filled,
            "SELECT max(f.arrived_at), j.completed_at FROM jobs j JOIN subband_files f ON f.group_id = j.key "
            f"JOIN stage_runs r ON r.job_id = j.id WHERE j.key LIKE '{DAY}%' AND j.completed_at IS NOT NULL "
            "AND f.state <> 'quarantined' AND r.outcome = 'committed' GROUP BY j.id",
        )
    )
    assert night.latency.tiles == len(delays)
    assert (night.latency.median_s, night.latency.longest_s) == (median(delays), delays[-1])
    assert night.latency.p95_s == delays[-(-len(delays) * 95 // 100) - 1]


def test_span_and_night_agree(filled: Store) -> None:
    first, second = filled.nights.summaries(FIRST_S, FIRST_S + 2 * DAY_S)
    night = filled.nights.night(NEXT_DAY)
    assert {name: getattr(night, name) for name in vars(second)} == vars(second)
    assert night.nights_before[-1] == first
    assert len(night.nights_before) == 30
    assert night.nights_before[0].expected_tiles == 0, "the store began later"
    assert (first.grade, night.nights_before[0].grade) == ("good", None)


def test_gaps_are_between_tiles(night_store: Store, clock: Clock) -> None:
    (gap,) = night_store.nights.night(DAY).gaps
    assert (gap.ended_at, gap.missing_tiles, gap.maintenance) == (FIRST_S + DAY_S, 11, None)
    assert gap.began_at == pytest.approx(FIRST_S + 267 * CADENCE_S)
    with night_store.database.engine.begin() as connection:
        for table, column in (("images", "group_id"), ("groups", "id")):
            connection.execute(text(f"DELETE FROM {table} WHERE {column} BETWEEN '{DAY}T05' AND '{DAY}T07'"))
    clock.now = FIRST_S + 3600
    until_s, reason = FIRST_S + 6.5 * 3600, "power of the core"
    night_store.silences.add(None, until=until_s, reason=reason, by="ana", since=FIRST_S + 5 * 3600)
    clock.now = FIRST_S + 12 * 3600
    night = night_store.nights.night(DAY)
    gap, *_ = night.gaps
    assert gap.maintenance == "power of the core"
    assert gap.missing_tiles == round((gap.ended_at - gap.began_at) / CADENCE_S) - 1 == 23
    assert not night.is_over
    assert night.expected_tiles == 140


def test_day_without_tiles_is_one_gap(night_store: Store, clock: Clock) -> None:
    clock.now = FIRST_S + 4 * DAY_S
    night = night_store.nights.night("2026-02-24")
    assert (night.arrived_tiles, night.expected_tiles, night.grade) == (0, 280, None)
    assert [(gap.began_at, gap.ended_at) for gap in night.gaps] == [(night.began_at, night.ended_at)]
    assert night.latency is night.rms_jy is night.interference is None
    assert night_store.nights.night("2026-02-20").gaps == ()


def test_outages_within_the_day(filled: Store) -> None:
    night = filled.nights.night(DAY)
    assert [(row.antenna, row.down_s, row.ended_at is None) for row in night.outages] == [
        ("7", pytest.approx(4 * 3600), True), ("103", pytest.approx(3 * 3600), False),
    ]  # fmt: skip
    assert night.antennas_down == 2
    assert [row.antenna for row in filled.nights.night(NEXT_DAY).outages] == ["7"]


def test_alerts_and_actions_of_the_day(night_store: Store, clock: Clock) -> None:
    clock.now = FIRST_S + 3600
    night_store.alerts.update("stall", "nothing moves", level="error")
    night_store.jobs.pause("ana")
    night_store.events.add("the stream was started")
    clock.now = FIRST_S + DAY_S + 60
    night_store.alerts.update("stall", None)
    night_store.jobs.retry(f"{DAY}T02:49:57", by="vera")
    clock.now = FIRST_S + 2 * DAY_S
    first, second = night_store.nights.night(DAY), night_store.nights.night(NEXT_DAY)
    assert [(alert.rule, alert.ended_at) for alert in first.alert_list] == [("stall", FIRST_S + DAY_S + 60)]
    assert (first.alerts, second.alerts, len(second.alert_list)) == (1, 1, 1)
    assert [(action.author, action.text) for action in first.actions] == [("ana", "paused by ana")]
    assert [(action.author, action.group) for action in second.actions] == [("vera", f"{DAY}T02:49:57")]
    assert first.states["pending"] == first.waiting_tiles == 1


def test_notes_are_kept_and_checked(night_store: Store) -> None:
    note = night_store.nights.add_note(DAY, "wind  above 15 m/s\nfrom 04:00", "ana")
    assert (note.text, note.name, note.day) == ("wind above 15 m/s from 04:00", "ana", DAY)
    assert night_store.nights.night(DAY).notes == (note,)
    assert night_store.nights.night(DAY).note_count == 1
    for day, words in ((DAY, " "), (DAY, "x" * 2001), ("2026-02-30", "rain"), ("2026-02", "rain"), ("", "rain")):
        with pytest.raises(BadInput):
            night_store.nights.add_note(day, words, "ana")


def test_report_is_recorded_once(night_store: Store, clock: Clock) -> None:
    assert night_store.nights.due_reports(180.0) == (DAY, NEXT_DAY)
    assert night_store.nights.record_report(DAY, "/products/nights/a.html", "first line")
    assert not night_store.nights.record_report(DAY, "/products/nights/b.html", "second line")
    assert night_store.nights.due_reports(180.0) == (NEXT_DAY,)
    night = night_store.nights.night(DAY)
    assert (night.report_path, night.report_written_at) == ("/products/nights/a.html", clock.now)
    lines = [(row.level, row.text) for row in night_store.events.last(10) if row.rule == "night"]
    assert lines == [("info", "first line")]
    clock.now = FIRST_S + 2 * DAY_S + 100
    assert night_store.nights.due_reports(180.0) == ()
    clock.now = FIRST_S + 6 * DAY_S
    assert night_store.nights.due_reports(180.0)[0] == NEXT_DAY
    clock.now = FIRST_S + 12 * DAY_S
    assert len(night_store.nights.due_reports(180.0)) == 5, "nothing is observed any more"


def test_interference_is_the_mean_over_tiles(location: str, open_store, clock: Clock) -> None:
    store: Store = open_store(location, QueueRules(expected_subbands=1, min_subbands=1))
    telescope = Telescope(store)
    freqs_hz = BAND.channel_freqs_hz(15)[::-1]
    for index, fractions in enumerate(((0.0, 0.5, None), (0.1, 0.3, None))):
        group = telescope.whole_group(index)
        commit(store, group, Stage.CONVERT, replace(MS, path=MS.path / str(index)))
        interference = ChannelInterference(float(freqs_hz[0]), BAND.channel_width_hz, fractions)
        commit(store, group, Stage.CALIBRATE, CalibratedMS(None, None, 0.1, interference=interference))
    mean = store.nights.night(DAY).interference
    assert (mean.tiles, mean.fractions) == (2, (pytest.approx(0.05), pytest.approx(0.4), None))
    (subband,) = mean.subbands
    assert (subband.subband, subband.max_fraction) == (15, pytest.approx(0.4))
    assert subband.max_freq_hz == pytest.approx(freqs_hz[1])
    assert mean.mean_fraction == pytest.approx(0.225)
    clock.advance(3 * DAY_S)
    store.pruning.prune(RetentionRules(keep_antennas_days=2.0))
    assert store.nights.night(DAY).interference is None


def test_year_takes_a_fixed_number_of_queries_by_indexes(filled: Store) -> None:
    statements: list[tuple[str, object]] = []
    engine = filled.database.engine

    def note(_connection, _cursor, statement, parameters, *_) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    lengths = []
    for days in (1, 365):
        statements.clear()
        assert len(filled.nights.summaries(FIRST_S, FIRST_S + days * DAY_S)) == days
        lengths.append(len(statements))
    event.remove(engine, "before_cursor_execute", note)
    assert lengths[0] == lengths[1] <= 12
    plans = {}
    with engine.connect() as connection:
        explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
        if explain == "EXPLAIN":
            connection.execute(text("SET enable_seqscan = off"))
        for statement, parameters in statements:
            plan = connection.exec_driver_sql(f"{explain} {statement}", parameters)
            plans[statement] = "\n".join(str(row[-1]) for row in plan)
    assert not any("SCAN groups" in plan or "Seq Scan" in plan for plan in plans.values()), plans
    (of_images,) = (plan for statement, plan in plans.items() if "FROM images" in statement)
    assert engine.dialect.name != "sqlite" or "COVERING INDEX ix_images_night" in of_images
