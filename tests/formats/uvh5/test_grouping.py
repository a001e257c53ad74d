"""File names and the grouping rule, against hand-written cases, drawn ones, and the telescope's own arrivals."""

import csv
import gzip
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judges import SHARED, require

from contimg.common.errors import Misconfigured
from contimg.formats.uvh5.grouping import (
    GroupInReach,
    SubbandFile,
    check_tolerance,
    founds_echo,
    nearest_group,
    seconds_of,
    subband_file_name,
)


@pytest.mark.parametrize(
    ("name", "seconds", "subband"),
    [
        ("2026-02-22T23:17:51_sb00.hdf5", 1_771_802_271, 0),
        ("2025-02-14T13:07:28_sb15.hdf5", 1_739_538_448, 15),
        ("/incoming/today/1970-01-01T00:00:10_sb07.hdf5", 10, 7),
    ],
)
def test_parse_name(name, seconds, subband):
    path = Path(name)
    assert SubbandFile.parse(path, 5, 2.0) == SubbandFile(path, seconds, subband, 5, 2.0)
    assert subband_file_name(seconds, subband) == path.name


@pytest.mark.parametrize(
    "name",
    [
        "2026-02-22T23:17:51_sb00_incomplete.hdf5",
        "2026-02-22T23:17:51_sb00.hdf5_incomplete",
        ".2026-02-22T23:17:51_sb00.hdf5",
        "2026-02-22T23:17:51_sb0.hdf5",
        "2026-02-22T23:17:51_sb100.hdf5",
        "2026-02-22T23:17:51_SB00.hdf5",
        "2026-02-22 23:17:51_sb00.hdf5",
        "2026-02-30T23:17:51_sb00.hdf5",
        "2026-02-22T25:17:51_sb00.hdf5",
        "2026-02-22T23:17:51_sb00.h5",
        "notes.txt",
        "",
    ],
)
def test_parse_other_name(name):
    assert SubbandFile.parse(Path(name)) is None


@given(st.integers(0, 4_102_444_799), st.integers(0, 99))
def test_name_round_trip(seconds, subband):
    path = Path(subband_file_name(float(seconds), subband))
    assert SubbandFile.parse(path) == SubbandFile(path, float(seconds), subband)


def named(time_s, subband):
    return SubbandFile(Path(subband_file_name(time_s, subband)), time_s, subband)


def test_file_joins_nearest_group_without_its_subband():
    groups = [GroupInReach("a", 1000, {0, 1}), GroupInReach("b", 1100, {1}), GroupInReach("c", 1300, set())]
    assert nearest_group(named(1040, 2), groups) == "a"
    assert nearest_group(named(1040, 0), groups) == "b"
    assert nearest_group(named(1040, 1), groups) is None
    assert nearest_group(named(1220, 2), groups) == "c"
    assert nearest_group(named(1421, 2), groups) is None


def test_tolerance_is_inclusive():
    groups = [GroupInReach("a", 1000, set())]
    assert [nearest_group(named(time, 0), groups) for time in (879, 880, 1120, 1121)] == [None, "a", "a", None]


def test_echo_comes_last():
    groups = [GroupInReach("good", 1000, {0}), GroupInReach("echo", 1001, {0}, echo=True)]
    assert nearest_group(named(1001, 1), groups) == "good"
    assert nearest_group(named(1001, 1), [GroupInReach("good", 1000, {0, 1}), groups[1]]) == "echo"
    assert founds_echo(named(1050, 0), groups)
    assert not founds_echo(named(1300, 0), groups)


@pytest.mark.parametrize("tolerance", [0, -1, 150, 200])
def test_large_tolerance_is_refused(tolerance):
    with pytest.raises(Misconfigured, match=rf"CONTIMG_GROUP_TOLERANCE_S={tolerance}\b.*\b300\b"):
        check_tolerance(tolerance, 300)
    check_tolerance(149.9, 300)


def sort_into_groups(files):
    """Deal files out one by one as the store does; returns members (true group, file) by group id."""
    reach: dict[str, tuple[float, set[int], bool]] = {}
    members = defaultdict(list)
    for truth, file in files:
        near = [
            GroupInReach(group, time_s, subbands, echo) for group, (time_s, subbands, echo) in list(reach.items())[-8:]
        ]
        group_id = nearest_group(file, near)
        if group_id is None:
            group_id = file.stamp
            assert group_id not in reach
            reach[group_id] = (file.time_s, set(), founds_echo(file, near))
        reach[group_id][1].add(file.subband)
        members[group_id].append((truth, file))
    return members


@given(st.data())
def test_groups_do_not_depend_on_order(data):
    """Stamps up to 82 s apart, groups 308-309 s apart, files of one group in any order: found exactly."""
    start, files = 1_771_802_271.0, []
    for group in range(data.draw(st.integers(1, 4))):
        offsets = data.draw(st.lists(st.integers(0, 82), min_size=16, max_size=16))
        order = data.draw(st.permutations(range(16)))
        files += [(group, named(start + offsets[subband], subband)) for subband in order]
        start += data.draw(st.sampled_from([308, 309]))
    members = sort_into_groups(files)
    assert all(len({truth for truth, _ in files}) == 1 and len(files) == 16 for files in members.values())


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.long
def test_real_arrivals(shuffled):
    """17 days of real stamps: 2208 complete groups, 23 incomplete ones, none above 16.

    The files come as counts per second; subband numbers are dealt out so that none repeats within a true group, a
    true group being what no gap of 120 s divides.
    """
    require("real arrivals")
    with gzip.open(SHARED / "real_arrivals.csv.gz", "rt") as text:
        rows = [
            row for row in csv.DictReader(text) if row["group_source"] == "fs" and int(row["n_subbands_found"]) <= 16
        ]
    stamps = sorted(t for row in rows for t in [seconds_of(row["timestamp"])] * int(row["n_subbands_found"]))
    assert len(stamps) == 35_435
    dealer, files, truth = random.Random(20260222), [], -1
    for index, time_s in enumerate(stamps):
        if index == 0 or time_s - stamps[index - 1] > 120:
            truth, hand = truth + 1, dealer.sample(range(16), 16)
        files.append((truth, named(time_s, hand.pop())))
    if shuffled:  # files of one group in any order
        files.sort(key=lambda file: (file[0], dealer.random()))
    members = sort_into_groups(files)
    sizes = Counter(len(group) for group in members.values())
    assert sizes[16] == 2208
    assert sum(number for size, number in sizes.items() if size < 16) == 23
    assert max(sizes) == 16
    assert all(len({truth for truth, _ in group}) == 1 for group in members.values())
