"""The system of a chaos run: store, broker behind a proxy, disk and service, as targets of faults."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import redis
from deployment import Deployment
from postgres_server import PostgresServer
from proxy import Proxy

from contimg.common.files.processes import free_port
from contimg.settings import queue_rules
from contimg.store import Store
from workers.broker import server_program
from workers.service.records import read_record

LEASE_S = 6.0
DISK_BYTES = 40 << 20  # upper limit of the products and files of a group


@dataclass(frozen=True)
class Components:
    """Components of a system."""

    postgresql: bool
    own_broker: bool
    mounted_disk: bool


class System(Deployment):
    """A running system in one directory. Faults are injected and repaired from one thread."""

    def __init__(self, root: Path, components: Components, groups: int) -> None:
        super().__init__(root)
        self.components = components
        for name in ("incoming", "disk", "state"):
            (root / name).mkdir(parents=True)
        self.disk = root / "disk"
        if components.mounted_disk:
            _mount(root / "disk.img", self.disk, groups * DISK_BYTES + (256 << 20))
        self.postgres = _postgres(root / "pg") if components.postgresql else None
        self.database = self.postgres.new_database() if self.postgres else str(root / "state" / "contimg.sqlite3")
        self.broker = OwnBroker(root / "broker") if components.own_broker else None
        self.proxy = Proxy(self.broker.port) if self.broker else None
        self.port = free_port()
        self.service: subprocess.Popen[bytes] | None = None
        self.store: Store | None = None
        self.more = {
            "CONTIMG_OUTPUT_DIR": str(self.disk / "products"),
            "CONTIMG_SCRATCH_DIR": str(self.disk / "scratch"),
            "CONTIMG_WORKER_POLL_INTERVAL": "1",
            "CONTIMG_MAX_WORKERS": "3",
            "CONTIMG_LEASE_S": f"{LEASE_S:g}",
            "CONTIMG_RETRY_DELAY_MAX_S": "4",
            # A group may be the target of many faults here; the default is 3.
            "CONTIMG_MAX_ATTEMPTS": "40",
            "CONTIMG_COLLECTION_TIMEOUT_S": "20",
            "CONTIMG_IMAGE_SIZE": "128",
            # The images of eight antennas are to be members of mosaics.
            "CONTIMG_QUALITY_BAD_NOISE_RATIO": "1e6",
            "CONTIMG_QUALITY_BAD_DYNAMIC_RANGE": "0",
            "OMP_NUM_THREADS": "1",
        }
        if self.postgres:
            self.more["CONTIMG_QUEUE_DB"] = self.database
        if self.proxy:
            self.more["CONTIMG_BROKER_URL"] = f"redis://127.0.0.1:{self.proxy.port}/0"

    def start(self) -> None:
        if self.broker:
            self.broker.start()
        self.start_service()
        self.store = Store.open(self.database, queue_rules(self.config, self.environ))

    def start_service(self) -> None:
        with (self.root / "service.log").open("ab") as log:
            self.service = subprocess.Popen(
                [sys.executable, "-m", "contimg", "run", "--port", str(self.port)],
                env=self.environ, cwd=self.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def stop_service(self, limit_s: float = 60) -> int:
        """Send SIGTERM, as systemd does, and SIGKILL after the limit; return the exit status."""
        assert self.service is not None
        self.service.terminate()
        try:
            return self.service.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.service.kill()
            return self.service.wait()

    def restart_if_ended(self) -> bool:
        """Start the service again if it has ended, as systemd does; return whether it had ended."""
        if self.service is None or self.service.poll() is None:
            return False
        self.start_service()
        return True

    def child(self, name: str) -> int | None:
        """Return the pid of a running child of the supervisor, or None."""
        record = read_record(self.root / "state")
        pid = record.children.get(name) if record else None
        return pid if pid and psutil.pid_exists(pid) else None

    def pool_processes(self) -> list[int]:
        """Return the pids of the processes that run stages, sorted."""
        pids = []
        for stage in ("convert", "calibrate", "image"):
            pid = self.child(stage)
            if pid:
                with suppress(psutil.NoSuchProcess):
                    pids += [child.pid for child in psutil.Process(pid).children() if _runs_stages(child)]
        return sorted(pids)

    def cut_store(self) -> None:
        """End every connection to the PostgreSQL server except its own."""
        assert self.postgres is not None
        with psycopg.connect(self.database.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    def broker_client(self) -> redis.Redis:
        """Return a client that bypasses the proxy; not for the embedded broker, which has a password."""
        assert self.broker is not None
        return redis.Redis(port=self.broker.port)

    def fill_disk(self) -> None:
        """Fill the disk; `free_disk` removes the file."""
        with suppress(OSError), (self.disk / "filler").open("ab") as file:
            free = shutil.disk_usage(self.disk).free
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, max(free - (1 << 20), 1))
            while True:
                file.seek(0, os.SEEK_END)
                file.write(bytes(1 << 16))
                file.flush()

    def free_disk(self) -> None:
        (self.disk / "filler").unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop everything that was started and unmount the disk, if it was mounted."""
        if self.service is not None and self.service.poll() is None:
            self.service.kill()
            self.service.wait()
        if self.store is not None:
            self.store.close()
        if self.proxy:
            self.proxy.close()
        if self.broker:
            self.broker.kill()
        if self.postgres:
            self.postgres.stop()
        if self.components.mounted_disk:
            subprocess.run(["umount", "--lazy", str(self.disk)], check=False)


class OwnBroker:
    """A Redis-compatible server with an append-only file on a fixed port."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory, self.port = directory, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self.is_running:
            return
        options = {"port": self.port, "dir": self.directory, "appendonly": "yes", "appendfsync": "everysec", "save": ""}
        flags = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen([str(server_program()), *flags], stdout=log, stderr=log)
        client, deadline = redis.Redis(port=self.port), time.monotonic() + 10
        while True:
            try:
                client.ping()
                return
            except redis.exceptions.RedisError:
                assert time.monotonic() < deadline, "the broker did not start"
                time.sleep(0.05)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        if self.process is not None and self.is_running:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def forget(self) -> None:
        """Remove the append-only file, so that a restarted server is empty."""
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)


def can_mount() -> bool:
    """Return whether a disk image can be mounted: as root, with loop devices."""
    return os.geteuid() == 0 and Path("/dev/loop-control").exists() and shutil.which("mkfs.ext4") is not None


def _mount(image: Path, directory: Path, size_bytes: int) -> None:
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,nodiscard", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(directory)], check=True)


def _postgres(directory: Path) -> PostgresServer:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    directory.mkdir()
    return PostgresServer(programs[-1].parent, directory)


def _runs_stages(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return "billiard" in " ".join(process.cmdline()) and "tracker" not in " ".join(process.cmdline())
    return False
