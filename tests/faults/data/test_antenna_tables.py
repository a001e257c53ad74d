"""Antenna tables that repeat names, lack positions, or contradict the uvw of the same file."""

import erfa
import h5py
import numpy as np
import pytest
from casacore.tables import table

from contimg.common.errors import BadFile
from contimg.formats.uvh5.header import read_header
from contimg.tile.convert import convert


def used_slots(file):
    return np.unique(file["Header/ant_1_array"][:])


def set_names(file, names_by_slot):
    names = file["Header/antenna_names"][:]
    for slot, name in names_by_slot.items():
        names[slot] = name
    file["Header/antenna_names"][:] = names


def move(file, change):
    positions = file["Header/antenna_positions"][:]
    file["Header/antenna_positions"][:] = change(positions, used_slots(file))


def exchanged(positions, used):
    positions[used[[2, 4]]] = positions[used[[4, 2]]]
    return positions


def moved(positions, used):
    positions[used[2]] += (7.0, -5.0, 3.0)
    return positions


def turned(positions, used):
    """The array turned about the Earth's axis, which changes no length."""
    angle = np.deg2rad(0.5)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return positions @ turn.T


def in_local_axes(positions, used):
    """East, north, up in place of the axes of the Earth."""
    longitude, latitude = np.deg2rad([-118.283, 37.2334051])
    east = [-np.sin(longitude), np.cos(longitude), 0]
    north = [-np.sin(latitude) * np.cos(longitude), -np.sin(latitude) * np.sin(longitude), np.cos(latitude)]
    return positions @ np.array([east, north, np.cross(east, north)]).T


@pytest.fixture(scope="module")
def names(drift_sim_files):
    with h5py.File(drift_sim_files[0]) as file:
        return [file["Header/antenna_names"][slot].decode() for slot in used_slots(file)]


@pytest.mark.parametrize("repeated", [(2, 5), (0, 1, 2, 3, 4, 5, 6, 7)], ids=["pair", "all"])
def test_repeated_names_of_antennas_with_data(repeated, changed_files):
    files = changed_files(lambda file: set_names(file, dict.fromkeys(used_slots(file)[list(repeated)], b"DSA")), [5])
    with pytest.raises(BadFile, match=rf"'DSA' for {len(repeated)} antennas") as caught:
        read_header(files[5])
    with h5py.File(files[5]) as file:
        for slot in used_slots(file)[list(repeated)]:
            assert f"{slot}" in str(caught.value).split("numbers")[1]


def test_repeated_names_of_slots_without_data(changed_files, drift_sim_ms, names, tmp_path):
    def rename(file):
        used = used_slots(file)
        unused = np.setdiff1d(np.arange(117), used)
        set_names(file, {unused[0]: b"", unused[1]: b"spare", unused[2]: b"spare", unused[3]: names[0].encode()})

    converted = convert(changed_files(rename), tmp_path / "tile.ms")
    with (
        table(f"{converted.path}::ANTENNA", ack=False) as result,
        table(f"{drift_sim_ms.path}::ANTENNA", ack=False) as reference,
    ):
        assert len(set(result.getcol("NAME"))) == 117
        assert "" not in result.getcol("NAME")
        assert [name for name in result.getcol("NAME") if name in names] == [
            n for n in reference.getcol("NAME") if n in names
        ]


@pytest.mark.parametrize(
    ("change", "wrong", "metres"),
    [(exchanged, (2, 4), "375.6 m"), (moved, (2,), "8.6 m")],
    ids=["exchanged", "moved"],
)
def test_positions_that_contradict_uvw(change, wrong, metres, changed_files, names):
    files = changed_files(lambda file: move(file, change), [5])
    with pytest.raises(BadFile, match="uvw_array") as caught:
        read_header(files[5])
    assert metres in caught.value.reason
    assert caught.value.reason.split("those of ")[1].startswith(
        f"antenna{'s' * (len(wrong) > 1)} {', '.join(names[index] for index in wrong)}:"
    )


def scale(file):
    file["Header/antenna_positions"][:] *= 0.3048


def set_declination(file):
    file["Header/extra_keywords/phase_center_dec"][...] += np.deg2rad(0.3)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (scale, "most antennas"),
        (lambda file: move(file, in_local_axes), "antenna_positions"),
        (lambda file: move(file, turned), "antenna_positions"),
        (lambda file: move(file, lambda positions, _: -positions), "antenna_positions"),
        (set_declination, "declination"),
        (lambda file: file["Header/uvw_array"].__setitem__((3, 0), np.nan), "uvw_array"),
    ],
    ids=["in feet", "east north up", "turned", "negated", "declination", "not a number"],
)
def test_other_contradictions_of_uvw(change, named, changed_files):
    files = changed_files(change, [5])
    with pytest.raises(BadFile, match=named):
        read_header(files[5])


def turn_uv(file):
    """North of J2000 in place of that of date: 26 years of precession at this right ascension and declination."""
    uvw, angle = file["Header/uvw_array"][:].astype(float), np.deg2rad(0.15)
    turned = uvw[:, :2] @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    file["Header/uvw_array"][:, :2] = turned


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file["Header/uvw_array"].write_direct(-file["Header/uvw_array"][:]),
        turn_uv,
        lambda file: file["Header/uvw_array"].__setitem__(..., 0),
        lambda file: file["Header"].__delitem__("uvw_array"),
    ],
    ids=["antenna 1 - antenna 2", "north of J2000", "not written", "absent"],
)
def test_conventions_of_uvw(change, changed_files, drift_sim_ms, tmp_path):
    converted = convert(changed_files(change, [5]), tmp_path / "tile.ms")
    with table(str(converted.path), ack=False) as result, table(str(drift_sim_ms.path), ack=False) as reference:
        channels = slice(10 * 48, 11 * 48)
        assert np.array_equal(result.getcol("DATA")[:, channels], reference.getcol("DATA")[:, channels])
        assert np.array_equal(result.getcol("UVW"), reference.getcol("UVW"))


def test_geocentric_positions(changed_files, drift_sim_ms, tmp_path):
    def add_centre(file):
        header = file["Header"]
        longitude, latitude = np.deg2rad([header["longitude"][()], header["latitude"][()]])
        header["antenna_positions"][:] += erfa.gd2gc(1, longitude, latitude, header["altitude"][()])

    converted = convert(changed_files(add_centre), tmp_path / "tile.ms")
    with (
        table(f"{converted.path}::ANTENNA", ack=False) as result,
        table(f"{drift_sim_ms.path}::ANTENNA", ack=False) as reference,
    ):
        assert np.abs(result.getcol("POSITION") - reference.getcol("POSITION")).max() < 1e-6
    with table(str(converted.path), ack=False) as result, table(str(drift_sim_ms.path), ack=False) as reference:
        assert np.abs(result.getcol("DATA") - reference.getcol("DATA")).max() < 1e-4


def test_positions_of_slots_without_data(changed_files, drift_sim_ms, tmp_path):
    def forget(file):
        positions = file["Header/antenna_positions"][:]
        positions[np.setdiff1d(np.arange(117), used_slots(file))] = np.nan
        file["Header/antenna_positions"][:] = positions

    converted = convert(changed_files(forget), tmp_path / "tile.ms")
    with table(f"{converted.path}::ANTENNA", ack=False) as antenna:
        assert np.isfinite(antenna.getcol("POSITION")).all()
    with table(str(converted.path), ack=False) as result, table(str(drift_sim_ms.path), ack=False) as reference:
        assert np.array_equal(result.getcol("DATA"), reference.getcol("DATA"))


def test_numbers_of_slots_without_data(changed_files, drift_sim_ms, tmp_path):
    def forget(file):
        unused = np.setdiff1d(np.arange(117), used_slots(file))
        numbers = file["Header/antenna_numbers"][:]
        numbers[unused] = -1
        file["Header/antenna_numbers"][:] = numbers

    converted = convert(changed_files(forget), tmp_path / "tile.ms")
    with table(str(converted.path), ack=False) as result, table(str(drift_sim_ms.path), ack=False) as reference:
        for name in ("DATA", "ANTENNA1", "ANTENNA2"):
            assert np.array_equal(result.getcol(name), reference.getcol(name))


def test_number_of_an_antenna_with_data_twice(changed_files):
    def repeat(file):
        file["Header/antenna_numbers"][0] = used_slots(file)[2]

    with pytest.raises(BadFile, match="antenna_numbers"):
        read_header(changed_files(repeat, [5])[5])


def test_position_of_an_antenna_with_data(changed_files, names):
    def forget(file):
        file["Header/antenna_positions"][used_slots(file)[3]] = np.nan

    with pytest.raises(BadFile, match=rf"antenna_positions.*: {names[3]}$"):
        read_header(changed_files(forget, [5])[5])


def test_baseline_in_both_orders(changed_files):
    def turn(file):
        header = file["Header"]
        row = 36 + 1  # second integration
        first, second = header["ant_1_array"][row], header["ant_2_array"][row]
        assert first != second
        header["ant_1_array"][row], header["ant_2_array"][row] = second, first

    with pytest.raises(BadFile, match=r"row 37\b.*order"):
        read_header(changed_files(turn, [5])[5])
