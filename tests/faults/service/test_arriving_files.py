"""A running stream takes odd names, a correlator started again, files that go away and a directory that moves."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
from deployment import Deployment

from contimg.formats.uvh5.grouping import SubbandFile, subband_file_name
from contimg.simulation import SimulateOptions, simulate
from contimg.store import FileState, State, Store

sys.path.append(str(Path(__file__).resolve().parents[2] / "workers"))
from waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
BEGUN = 10  # subbands that the first run of the correlator writes


class RunningStream:
    """A service in the foreground, fed by the test."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.deployment.more |= {
            "CONTIMG_COLLECTION_TIMEOUT_S": "15", "CONTIMG_MIN_SUBBANDS": "16", "CONTIMG_IMAGE_SIZE": "128",
            "CONTIMG_CALIBRATE_FLAG": "0", "CONTIMG_CALIBRATE_SOLVE": "0", "CONTIMG_MAX_WORKERS": "3",
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        self.incoming = deployment.config.input_dir
        self.incoming.mkdir()
        self.store = Store.open(deployment.config.queue_db)
        self.start()

    def start(self) -> None:
        with (self.deployment.root / "run.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "contimg", "run", "--no-web"], env=self.deployment.environ,
                cwd=self.deployment.root, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        before = self.store.activity.last_beat("producer.scan") or 0.0
        until(lambda: (self.store.activity.last_beat("producer.scan") or 0.0) > before, 60, "a scan")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def deliver(self, *paths: Path, shift_s: float = 0.0) -> str:
        """Copy files as the correlator writes them, name and data later by some seconds; the stamp of the first."""
        for path in paths:
            parsed = SubbandFile.parse(path)
            assert parsed is not None
            target = self.incoming / subband_file_name(parsed.time_s + shift_s, parsed.subband)
            unfinished = target.with_name(target.name.replace(".hdf5", "_incomplete.hdf5"))
            shutil.copy(path, unfinished)
            with h5py.File(unfinished, "r+") as file:
                file["Header/time_array"][:] = file["Header/time_array"][:] + shift_s / 86400
            unfinished.rename(target)
        first = SubbandFile.parse(paths[0])
        assert first is not None
        return subband_file_name(first.time_s + shift_s, 0).split("_")[0]

    def await_group(self, group: str, state: State, subbands: int = 16) -> None:
        def is_reached() -> bool:
            record = self.store.files.group(group)
            return record is not None and (record.state, len(record.subbands)) == (state, subbands)

        until(is_reached, 90, f"group {group} is {state} with {subbands} subbands")


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[RunningStream]:
    running = RunningStream(Deployment(tmp_path))
    yield running
    running.stop()
    running.store.close()


def test_stream_goes_on_with_stray_restarted_and_moved_files(stream, tmp_path):
    options = SimulateOptions(groups=4, antennas=6, channels=16, integrations=4, clock_spread=0, threads=1)
    tiles = [sorted(tile.files.values()) for tile in simulate(options, tmp_path / "telescope")]

    for name in (b"2026-02-22T23:17:51_sb00 \x96 Kopie.hdf5", b"2026-02-22T23:17:51_sb00\nround 2.hdf5"):
        shutil.copy(tiles[0][0], stream.incoming / os.fsdecode(name))
    stream.await_group(stream.deliver(*tiles[0]), State.COMPLETED)
    assert len(stream.store.files.latest(FileState.QUARANTINED)) == 2

    first = stream.deliver(*tiles[1][:BEGUN])
    until(lambda: stream.store.files.group(first), 30, "the first run")
    second = stream.deliver(*tiles[1][BEGUN:], *tiles[1][:BEGUN], shift_s=100)
    stream.await_group(second, State.COMPLETED)
    stream.await_group(first, State.FAILED, BEGUN)
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
