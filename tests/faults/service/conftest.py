"""Deployments with a broker and a PostgreSQL of their own, and a service in the foreground that a test feeds."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
from deployment import Deployment
from judges import postgresql_programs, require

from contimg.formats.uvh5.grouping import SubbandFile, subband_file_name
from contimg.store import State, Store
from workers.broker import EmbeddedBroker

sys.path += [str(Path(__file__).parents[2] / name) for name in ("store", "workers")]

from postgres_server import PostgresServer
from waiting import until


class Place(Deployment):
    """A deployment whose commands a test runs."""

    def contimg(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "contimg", *arguments]
        return subprocess.run(
            command, env=self.environ, cwd=self.root, capture_output=True, text=True, timeout=timeout_s
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "incoming").mkdir()
    return Place(tmp_path)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    server = EmbeddedBroker(tmp_path / "broker-state")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    require("postgresql")
    directory = Path(tempfile.mkdtemp(prefix="contimg-pg-"))
    server = PostgresServer(postgresql_programs(), directory)
    yield server
    server.stop()
    shutil.rmtree(directory)


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
