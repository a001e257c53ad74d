"""Two hosts with addresses of their own, as network namespaces, on one broker and one PostgreSQL; one is cut off."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from postgres_server import running_postgres
from waiting import until

from contimg.store import TILE, Outcome, Stage, State, Store
from workers.broker import server_program
from workers.execution.processes import ProcessName

NETWORK, BRIDGE = "10.231.77", "contimgbr"
HOSTS = ["contimg-a", "contimg-b"]
LEASE_S = 6.0
pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="network namespaces need root and ip"),
]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def remove_network() -> None:
    """Remove the namespaces, with their cables, and the bridge, as far as they exist."""
    for name in HOSTS:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
    for link in (*(f"cveth{number}" for number in range(len(HOSTS))), BRIDGE):  # a namespace in use ends later
        subprocess.run(["ip", "link", "del", link], check=False, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """Two namespaces on a bridge; the bridge's own address is where broker and database listen."""
    remove_network()  # what a killed run left
    ip("link", "add", BRIDGE, "type", "bridge")
    try:
        ip("addr", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(HOSTS):
            ip("netns", "add", name)
            ip("link", "add", f"cveth{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"cveth{number}", "master", BRIDGE, "up")
            for words in (("addr", "add", f"{NETWORK}.{number + 2}/24", "dev", "eth0"), ("link", "set", "eth0", "up"),
                          ("link", "set", "lo", "up")):  # fmt: skip
                ip("-n", name, *words)
        yield HOSTS
    finally:
        remove_network()


@pytest.fixture
def database(hosts) -> Iterator[str]:
    with running_postgres(listen=f"{NETWORK}.1") as server:
        url = server.new_database()
        yield url.replace(f"@/{url.split('@/')[1]}", f"@{NETWORK}.1/{url.split('@/')[1].split('?')[0]}")


@pytest.fixture
def broker(hosts) -> Iterator[str]:
    flags = ["--port", "6399", "--bind", f"{NETWORK}.1", "--protected-mode", "no", "--save", "", "--appendonly", "no"]
    server = subprocess.Popen([str(server_program()), *flags], stdout=subprocess.DEVNULL)
    yield f"redis://{NETWORK}.1:6399/0"
    server.kill()
    server.wait()


def owned_by(process: subprocess.Popen[bytes], owner: str) -> bool:
    name = ProcessName.parse(owner)
    return name is not None and name.pid in {row.pid for row in psutil.Process(process.pid).children(recursive=True)}


@pytest.mark.long
def test_host_cut_off_during_stage(deployment, hosts, database, broker, small_groups):
    deployment.more |= {
        "CONTIMG_QUEUE_DB": database, "CONTIMG_BROKER_URL": broker, "CONTIMG_LEASE_S": f"{LEASE_S:g}",
        "CONTIMG_MAX_ATTEMPTS": "10", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    store = Store.open(database)
    celery = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", "convert,calibrate,image"]
    flags = ["-c", "1", "--disable-prefetch", "-E", "--without-gossip", "--without-mingle"]
    workers = [
        deployment.start_process("ip", "netns", "exec", name, *celery, "-n", f"all@{name}", *flags, log=f"{name}.log")
        for name in hosts
    ]
    producer = deployment.start_process(*deployment.command("producer"), log="producer.log")
    try:
        until(lambda: store.activity.last_beat("producer.scan"), 40, "the first scan")
        for files in small_groups.values():
            for path in files:
                shutil.copy(path, deployment.incoming)
        held = []

        def first_host_works() -> bool:
            held[:] = [run for run in store.overview.snapshot(0).running if owned_by(workers[0], run.owner)]
            return bool(held)

        until(first_host_works, 90, "the first host is in the middle of a stage")
        ip("link", "set", "cveth0", "down")
        until(
            lambda: any(run.outcome is Outcome.EXPIRED for run in store.jobs.runs(held[0].group)),
            60, "its lease expires",
        )  # fmt: skip
        ip("link", "set", "cveth0", "up")
        done = [State.COMPLETED] * len(small_groups)
        until(lambda: [group.state for group in store.files.groups()] == done, 200, "all groups complete")
        time.sleep(2)  # whatever the first host still had is refused by now
        for group in small_groups:
            committed = Counter(run.stage for run in store.jobs.runs(group) if run.outcome is Outcome.COMMITTED)
            assert committed == dict.fromkeys(TILE.stages, 1)
            runs = {run.stage: run for run in store.jobs.runs(group) if run.outcome is Outcome.COMMITTED}
            image, run = store.products.image_of(group), runs[Stage.IMAGE]
            assert run.started_at - 0.1 <= image.fits_path.stat().st_mtime <= run.ended_at + 0.1, "not overwritten"
    finally:
        for process in (*workers, producer):
            process.terminate()
        for process in (*workers, producer):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        store.close()
