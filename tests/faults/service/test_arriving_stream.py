"""A running stream takes odd names, a correlator started again, files that go away and a directory that moves."""

import os
import shutil

import pytest
from waiting import until

from contimg.simulation import SimulateOptions, simulate
from contimg.store import FileState, State

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
FIRST_RUN = 10  # subbands that the first run of the correlator writes


def test_stream_goes_on_with_stray_restarted_and_moved_files(stream, tmp_path):
    options = SimulateOptions(groups=4, antennas=6, channels=16, integrations=4, clock_spread=0, threads=1)
    tiles = [sorted(tile.files.values()) for tile in simulate(options, tmp_path / "telescope")]

    for name in (b"2026-02-22T23:17:51_sb00 \x96 Kopie.hdf5", b"2026-02-22T23:17:51_sb00\nround 2.hdf5"):
        shutil.copy(tiles[0][0], stream.incoming / os.fsdecode(name))
    stream.await_group(stream.deliver(*tiles[0]), State.COMPLETED)
    assert len(stream.store.files.latest(FileState.QUARANTINED)) == 2

    first = stream.deliver(*tiles[1][:FIRST_RUN])
    until(lambda: stream.store.files.group(first), 30, "the first run")
    second = stream.deliver(*tiles[1][FIRST_RUN:], *tiles[1][:FIRST_RUN], shift_s=100)
    stream.await_group(second, State.COMPLETED)
    stream.await_group(first, State.FAILED, FIRST_RUN)
    assert stream.store.products.image_of(second).fits_path.exists()
    assert stream.store.products.measurement_set(second).missing_subbands == ()

    stream.store.jobs.pause("a test")
    group = stream.deliver(*tiles[2])
    stream.await_group(group, State.PENDING)
    away = tmp_path / "away"
    away.mkdir()
    for path in tiles[2]:
        (stream.incoming / path.name).rename(away / path.name)
    stream.store.jobs.resume("a test")
    stream.await_group(group, State.FAILED, 0)
    for path in away.iterdir():
        path.rename(stream.incoming / path.name)
    stream.await_group(group, State.COMPLETED)
    assert stream.store.products.measurement_set(group).missing_subbands == ()

    stream.store.jobs.pause("a test")
    group = stream.deliver(*tiles[3])
    stream.await_group(group, State.PENDING)
    stream.stop()
    stream.incoming = stream.incoming.rename(tmp_path / "incoming2")
    stream.deployment.more["CONTIMG_INPUT_DIR"] = str(stream.incoming)
    stream.start()
    stream.store.jobs.resume("a test")
    stream.await_group(group, State.COMPLETED)
    assert {file.subband for file in stream.store.files.latest(FileState.QUARANTINED)} == {None}, "no file of a group"
    assert "Traceback" not in (tmp_path / "run.log").read_text(errors="replace")
