"""The history of the antennas is committed with the tile; outages begin and end by two tiles in a row."""

from dataclasses import replace
from pathlib import Path

import pytest
from store_steps import IMAGE, MS, commit, solved_set

from contimg.instrument.time import DAY_S, mjd_to_unix
from contimg.quality.antennas import AntennaNumbers, AntennaState
from contimg.settings import RetentionRules
from contimg.store import Stage
from contimg.tile.products import CalibratedMS

TILE_DAYS = 309 / 86400
NAMES = ("7", "23", "103")


def numbers_of(out: dict[str, str], flagged: float = 0.05) -> tuple[AntennaNumbers, ...]:
    """Numbers of `NAMES`, with the antennas of `out` in their states."""
    return tuple(
        AntennaNumbers(name, letter, AntennaState(out.get(name, "good")), flagged, out.get(name) and "98% zero")
        for name in NAMES
        for letter in "XY"
    )


class Night:
    """Tiles of a night, by number, with the antennas that are out."""

    def __init__(self, store, telescope) -> None:
        self.store, self.telescope = store, telescope

    def mjd(self, number: int) -> float:
        return 0.5 * (MS.mjd_start + MS.mjd_end) + number * TILE_DAYS

    def run(self, number: int, **out: str) -> str:
        group = self.telescope.whole_group(number)
        shift = number * TILE_DAYS
        ms = replace(MS, path=Path(f"/p/{number}.ms"), mjd_start=MS.mjd_start + shift, mjd_end=MS.mjd_end + shift)
        commit(self.store, group, Stage.CONVERT, ms)
        antennas = numbers_of({name.lstrip("a"): state for name, state in out.items()})
        commit(self.store, group, Stage.CALIBRATE, CalibratedMS("s1", "solved", 0.2, antenna_numbers=antennas))
        return group

    def events(self) -> list[str]:
        return [event.text for event in self.store.events.last(100) if event.rule == "antenna"][::-1]


@pytest.fixture
def night(store, telescope) -> Night:
    return Night(store, telescope)


def test_outage_lasts_from_its_first_tile_to_the_first_usable_one(night, store):
    for number, out in enumerate([{}, {"a23": "dead"}, {"a23": "dead"}, {"a23": "dead"}, {}, {}]):
        night.run(number, **out)
    (outage,) = store.antennas.outages(0, 1e6)
    assert (outage.antenna, outage.state, outage.reason) == ("23", "dead", "98% zero")
    assert outage.began_mjd == pytest.approx(night.mjd(1), abs=1e-6)
    assert outage.ended_mjd == pytest.approx(night.mjd(4), abs=1e-6)
    assert outage.ended_at == pytest.approx(mjd_to_unix(night.mjd(4)), abs=0.1)
    died, returned = night.events()
    assert "died: 23 " in died
    assert "23 (dead for 15 min" in returned


def test_one_bad_tile_and_missing_tiles_make_no_event(night, store):
    for number, out in [(0, {}), (1, {"a7": "dead"}), (2, {}), (6, {}), (9, {"a7": "dead"}), (10, {})]:
        night.run(number, **out)
    assert store.antennas.outages(0, 1e6) == ()
    assert night.events() == []


def test_antennas_that_die_together_make_one_event(night, store):
    for number in range(3):
        night.run(number, a7="dead", a23="dead", a103="crossed")
    texts = night.events()
    assert len(texts) == 2
    assert texts[0].startswith("antennas died: 7 ")
    assert texts[1].startswith("antennas with X and Y exchanged: 103 ")
    assert {outage.antenna: outage.ended_mjd for outage in store.antennas.outages(0, 1e6)} == dict.fromkeys(NAMES)


def test_tile_that_comes_late_changes_no_outage(night, store):
    for number in (0, 1, 3):
        night.run(number)
    night.run(2, a7="dead")
    assert store.antennas.outages(0, 1e6) == ()
    assert len(store.antennas.history("7", 0, 1e6).measurements) == 8


def test_list_gives_the_newest_state_of_each_antenna(night, store):
    night.run(0, a7="dead")
    night.run(1, a7="dead")
    antennas = {row.antenna: row for row in store.antennas.list(0, 1e6).antennas}
    assert list(antennas) == ["7", "23", "103"]
    assert (antennas["7"].state, antennas["7"].polarisations) == ("dead", {"X": "dead", "Y": "dead"})
    assert antennas["7"].out_since_mjd == pytest.approx(night.mjd(0), abs=1e-6)
    assert antennas["23"].out_since_mjd is None
    assert store.antennas.newest_mjd() == pytest.approx(night.mjd(1), abs=1e-6)


def test_cells_hold_the_worst_state_of_a_step(night, store):
    for number, out in enumerate([{}, {"a23": "dead"}, {}, {}]):
        night.run(number, **out)
    span = night.mjd(0) - TILE_DAYS / 2, night.mjd(3) + TILE_DAYS / 2
    (cell,) = store.antennas.cells(*span, 2)
    assert (cell.antenna, cell.step, cell.state, cell.flagged_fraction) == ("23", 0, "dead", pytest.approx(0.05))
    assert store.antennas.tile_times(*span) == pytest.approx([night.mjd(number) for number in range(4)], abs=1e-6)


def test_caltable_set_has_its_own_rows_and_redo_replaces_them(night, store, telescope):
    group = night.run(0)
    commit(store, group, Stage.IMAGE, IMAGE)
    store.jobs.retry(group, stage=Stage.CALIBRATE)
    solved = (AntennaNumbers("7", "X", AntennaState.GOOD, 0.01, amplitude=0.03, phase_deg=-41.0, snr=38.0),)
    product = CalibratedMS(
        "s1", "solved", 0.2, solved_set(Path("/cal/s1"), night.mjd(0)), antenna_numbers=numbers_of({}),
        set_antenna_numbers=solved,
    )  # fmt: skip
    commit(store, group, Stage.CALIBRATE, product)
    rows = store.antennas.history("7", 0, 1e6).measurements
    assert [row.set_name for row in rows] == [None, None, "s1"]
    assert (rows[2].amplitude, rows[2].phase_deg, rows[2].snr, rows[2].group) == (0.03, -41.0, 38.0, group)


def test_prune_deletes_old_measurements_and_ended_outages(night, store, clock):
    clock.now = mjd_to_unix(night.mjd(0))
    for number, out in enumerate([{"a23": "dead"}, {"a23": "dead"}, {}, {}, {}]):
        night.run(number, **out)
    clock.now = mjd_to_unix(night.mjd(5))
    days = (clock.now - mjd_to_unix(night.mjd(3))) / DAY_S
    pruned = store.pruning.prune(RetentionRules(keep_antennas_days=days, keep_notable_days=days))
    rows = {part.records: part.rows for part in pruned}
    assert (rows["numbers of antennas in tiles"], rows["outages of antennas"]) == (18, 1)
    assert store.antennas.outages(0, 1e6) == ()
    assert len(store.antennas.history("7", 0, 1e6).measurements) == 4
