"""A broker of the tests' own, and a service in the foreground that a test feeds."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
from deployment import Deployment
from waiting import until

from contimg.formats.uvh5.grouping import SubbandFile, subband_file_name
from contimg.store import State, Store
from workers.broker import EmbeddedBroker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    server = EmbeddedBroker(tmp_path / "broker-state")
    yield server
    server.stop()


class RunningStream:
    """A service in the foreground, fed by the test."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.deployment.more |= {
            "CONTIMG_COLLECTION_TIMEOUT_S": "15", "CONTIMG_MIN_SUBBANDS": "16", "CONTIMG_IMAGE_SIZE": "128",
            "CONTIMG_CALIBRATE_FLAG": "0", "CONTIMG_CALIBRATE_SOLVE": "0", "CONTIMG_MAX_WORKERS": "3",
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        self.incoming = deployment.incoming
        self.store = Store.open(deployment.config.queue_db)
        self.start()

    def start(self) -> None:
        command = self.deployment.command("run", "--no-web")
        self.process = self.deployment.start_process(*command, log="run.log", append=True)
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
def stream(deployment: Deployment) -> Iterator[RunningStream]:
    running = RunningStream(deployment)
    yield running
    running.stop()
    running.store.close()
