from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contimg.common.errors import BadInput
from contimg.formats.caltables.caltable_set import CaltableSet, scan_caltable_sets
from contimg.formats.ms.info import read_ms_info
from contimg.tile.calibrate.selection import find_mismatch, select_caltable_set


@pytest.fixture(scope="module")
def new(calibrated):
    return calibrated.done.new_set


@pytest.fixture(scope="module")
def tile(calibrated):
    return read_ms_info(calibrated.truth.path)


def moved(caltable_set, hours, name):
    days = hours / 24
    return replace(
        caltable_set, name=name, mjd=caltable_set.mjd + days, valid_from_mjd=caltable_set.valid_from_mjd + days,
        valid_to_mjd=caltable_set.valid_to_mjd + days,
    )  # fmt: skip


def test_scan_reads_back_what_was_written(calibrated, new):
    assert scan_caltable_sets(calibrated.directory) == [new]
    assert scan_caltable_sets(Path("/nowhere/at/all")) == []


def test_broken_description_is_named(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "set.json").write_text('{"name": "one"}')
    with pytest.raises(BadInput, match=r"one/set\.json"):
        scan_caltable_sets(tmp_path)
    (tmp_path / "one" / "set.json").write_text("[")
    with pytest.raises(BadInput, match=r"one/set\.json"):
        CaltableSet.read(tmp_path / "one")


@given(hours=st.lists(st.floats(-80, 80), max_size=6))
def test_nearest_valid_set_is_selected(new, tile, hours):
    sets = [moved(new, shift, str(index)) for index, shift in enumerate(hours)]
    chosen, reason = select_caltable_set(sets, tile)
    mjd = tile.mid_mjd_s / 86400
    valid = [caltable_set for caltable_set in sets if caltable_set.valid_from_mjd <= mjd <= caltable_set.valid_to_mjd]
    assert (chosen is None) == (not valid)
    assert reason
    if chosen is not None:
        assert abs(chosen.mjd - mjd) == min(abs(caltable_set.mjd - mjd) for caltable_set in valid)


def test_bandpass_is_valid_for_a_day_either_side(new, tile):
    assert find_mismatch(moved(new, -23, "earlier"), tile) is None
    assert find_mismatch(moved(new, -25, "older"), tile)
    assert find_mismatch(moved(new, 23, "later"), tile) is None
    assert find_mismatch(moved(new, 25, "much later"), tile) == find_mismatch(moved(new, -25, "older"), tile)
    assert new.gains_valid_to_mjd - new.gains_valid_from_mjd == pytest.approx(2 / 24, abs=0.01)


def test_mismatches_have_reasons(new, tile):
    changes = {"first_freq_hz": 1.2e9, "antennas": ("200", "201"), "dec_deg": new.dec_deg + 20}
    reasons = [find_mismatch(replace(new, **{name: value}), tile) for name, value in changes.items()]
    reasons += [find_mismatch(new.moved_to(Path("/nowhere")), tile), find_mismatch(moved(new, 25, "later"), tile)]
    assert all(reasons)
    assert len(set(reasons)) == 5, "each has its own reason"
    assert find_mismatch(replace(new, channel_width_hz=2 * new.channel_width_hz), tile) == reasons[0]
    chosen, reason = select_caltable_set([replace(new, antennas=())], tile)
    assert chosen is None
    assert reasons[1] in reason


def test_mismatch_counts_antennas_without_solution(new, tile):
    few = replace(new, antennas=new.antennas[:5])
    assert find_mismatch(few, tile) == "9 of 14 live antennas have no solution"
    alive = replace(tile, antennas=tile.antennas[:8])
    assert find_mismatch(few, alive) is None, "5 of 8"
