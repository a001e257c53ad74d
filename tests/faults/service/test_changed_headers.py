"""A running stream takes groups whose headers contradict themselves: refused with the antennas, or repaired."""

import re

import h5py
import numpy as np
import pytest
from casacore.tables import table

from contimg.simulation import SimulateOptions, simulate
from contimg.store import FileState, State

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def repeat_name(header, used):
    names = header["antenna_names"][:]
    names[used[2]] = names[used[4]]
    header["antenna_names"][:] = names


def exchange_positions(header, used):
    positions = header["antenna_positions"][:]
    positions[used[[2, 4]]] = positions[used[[4, 2]]]
    header["antenna_positions"][:] = positions


def write_dump_length(header, used):
    header["integration_time"][:] = 0.134217728


CHANGES = (repeat_name, exchange_positions, write_dump_length)


def test_groups_with_changed_headers(stream, tmp_path):
    options = SimulateOptions(
        groups=len(CHANGES) + 1, antennas=6, channels=16, integrations=4, clock_spread=0, threads=1
    )
    groups = []
    for number, tile in enumerate(simulate(options, tmp_path / "telescope")):
        for path in tile.files.values():
            with h5py.File(path, "r+") as file:
                header = file["Header"]
                used = np.unique(header["ant_1_array"][:])
                if number < len(CHANGES):
                    CHANGES[number](header, used)
        groups.append(stream.deliver(*sorted(tile.files.values())))
    repeated, exchanged, dump_length, unchanged = groups

    for group in (repeated, exchanged):
        stream.await_group(group, State.FAILED, 15)
        assert stream.store.products.measurement_set(group) is None
    reasons = {file.path.name[:19]: file.reason for file in stream.store.files.latest(FileState.QUARANTINED, limit=100)}
    assert reasons.keys() == {repeated, exchanged}
    assert re.search(rf"'{used[4] + 1}'.* {used[2]}, {used[4]}\b", reasons[repeated])
    assert re.search(rf"antennas {used[2] + 1}, {used[4] + 1}\b", reasons[exchanged])

    for group in (dump_length, unchanged):
        stream.await_group(group, State.COMPLETED)
        with table(str(stream.store.products.measurement_set(group).path), ack=False) as main:
            assert main.getcol("EXPOSURE") == pytest.approx(12.884902, rel=1e-4)
    warnings = {event.group: event.text for event in stream.store.events.last(50, level="warning")}
    assert re.search(r"0\.134218 s.*12\.8849 s.*16 of 16", warnings[dump_length])
    assert unchanged not in warnings
    noise = [stream.store.products.image_of(group).expected_rms_jy for group in (dump_length, unchanged)]
    assert noise[0] == pytest.approx(noise[1], rel=0.05)
