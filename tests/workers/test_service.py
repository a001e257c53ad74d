"""`contimg run` as an operator knows it: real broker, workers and files, and what becomes of them when things die."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from store_steps import register_file
from waiting import processes_with, until

from contimg.store import Outcome, Stage, State, Store
from contimg.store.jobs.leases import WORKER_DIED
from workers.broker import EmbeddedBroker
from workers.execution.processes import ProcessName
from workers.service import StreamingServiceManager
from workers.service.records import read_record

STARTED_WITHIN_S = 90
DONE_WITHIN_S = 90


class Service:
    """`contimg run` of a deployment, as a process of its own."""

    def __init__(self, deployment, *arguments) -> None:
        self.deployment = deployment
        self.process = deployment.start_process(*deployment.command(*(arguments or ("run", "--no-web"))), log="run.log")
        self.store = None

    def wait_until_running(self) -> None:
        def running() -> bool:
            assert self.process.poll() is None, self.words()
            record = read_record(self.deployment.settings.state_dir)
            return record is not None and record.stream == "running"

        until(running, STARTED_WITHIN_S, "the service runs")
        self.store = Store.open(self.deployment.config.queue_db)

    def words(self) -> str:
        return (self.deployment.root / "run.log").read_text()

    def pid_of(self, child: str) -> int:
        return read_record(self.deployment.settings.state_dir).children[child]

    def pid_of_or_none(self, child: str) -> int | None:
        record = read_record(self.deployment.settings.state_dir)
        return record.children.get(child) if record else None

    def deliver(self, files) -> None:
        for path in files:
            unfinished = self.deployment.incoming / path.name.replace(".hdf5", "_incomplete.hdf5")
            shutil.copy(path, unfinished)
            unfinished.rename(self.deployment.incoming / path.name)

    def wait_for(self, group: str, state: State, limit_s: float = DONE_WITHIN_S) -> None:
        until(lambda: (row := self.store.files.group(group)) and row.state is state, limit_s, f"{group} is {state}")

    def worker_on(self, stage: Stage, limit_s: float = 40) -> ProcessName:
        """The process that runs this stage now."""
        owners = []

        def look() -> bool:
            owners[:] = [run.owner for run in self.store.overview.snapshot().running if run.stage is stage]
            return bool(owners)

        until(look, limit_s, f"{stage} is under way")
        return ProcessName.parse(owners[0])

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.store is not None:
            self.store.close()


@pytest.fixture
def service(deployment) -> Iterator[Service]:
    deployment.more |= {"CONTIMG_LEASE_S": "15"}  # what a killed worker leaves is swept when so much time has passed
    service = Service(deployment)
    try:
        service.wait_until_running()
        yield service
    finally:
        service.end()


@pytest.mark.long
def test_tile_completes_after_a_worker_is_killed(service, small_groups):
    """The worker is killed in the middle of the calibrator's solution; the group completes, each stage once."""
    (calibrator, files), (target, more) = small_groups.items()
    (service.deployment.incoming / f"{target}_sb03.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    service.deliver(files)
    victim = service.worker_on(Stage.CALIBRATE)
    time.sleep(1)
    os.kill(victim.pid, signal.SIGKILL)
    service.deliver(path for path in more if "_sb03" not in path.name)
    service.wait_for(calibrator, State.COMPLETED)
    outcomes = [(run.stage, run.outcome) for run in service.store.jobs.runs(calibrator)]
    assert outcomes == [
        (Stage.CONVERT, Outcome.COMMITTED),
        (Stage.CALIBRATE, Outcome.FAILED),
        (Stage.CALIBRATE, Outcome.COMMITTED),
        (Stage.IMAGE, Outcome.COMMITTED),
    ]
    image = service.store.products.image_of(calibrator)
    assert image.calibration_set == calibrator
    assert 12 < image.peak_jy < 20, "3C48 is 15 to 16 Jy at 1.4 GHz"
    assert service.store.registry.set_named(calibrator).group == calibrator
    for path in (image.fits_path, image.png_path, image.thumbnail_path, image.beam_fits_path):
        assert path.stat().st_size > 0

    status = json.loads(service.deployment.contimg("status", "--json").stdout)
    assert status["states"]["completed"] == 1
    assert status["health"] == status["health"] | {"healthy": True, "error": None}
    until(lambda: service.store.overview.snapshot().set_aside_count == 1, 20, "the truncated file is quarantined")
    text = service.deployment.contimg("status").stdout
    assert f"{target}_sb03.hdf5: " in text
    assert str(image.fits_path) in text

    products = service.deployment.config.output_dir
    until(lambda: not list(products.rglob("*.writing-*")), 60, "what the killed worker was at is swept")
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(60) == 0, service.words()
    assert processes_with(str(service.deployment.root)) == []
    assert service.store.files.groups(State.IN_PROGRESS) == ()
    assert not list(products.rglob("*.writing-*"))


@pytest.mark.long
def test_next_start_resumes_a_killed_stage(service, small_groups):
    """Killed whole by SIGKILL: nothing lives on, and the next start takes the group up again at once, uncounted."""
    calibrator, files = next(iter(small_groups.items()))
    service.deliver(files)
    service.worker_on(Stage.CALIBRATE)
    time.sleep(0.5)
    service.process.kill()
    service.process.wait()
    until(lambda: processes_with(str(service.deployment.root)) == [], 5, "nothing survives the supervisor")
    assert [record.id for record in service.store.files.groups(State.IN_PROGRESS)] == [calibrator]

    again = Service(service.deployment)
    try:
        again.wait_until_running()
        again.wait_for(calibrator, State.COMPLETED, 60)
        outcomes = [run.outcome for run in again.store.jobs.runs(calibrator)]
        assert outcomes == [Outcome.COMMITTED, Outcome.RELEASED, Outcome.COMMITTED, Outcome.COMMITTED]
    finally:
        again.end()


@pytest.mark.long
def test_children_restart_and_a_second_service_is_refused(service):
    refused = service.deployment.contimg("run", "--no-web")
    assert refused.returncode == 2
    assert "contimg run" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1

    before = {name: service.pid_of(name) for name in ("producer", "convert")}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    record = lambda: read_record(service.deployment.settings.state_dir)  # noqa: E731
    until(lambda: set(record().restarts) == set(before), 15, "both were started again")
    assert all(service.pid_of(name) != pid for name, pid in before.items())

    manager = StreamingServiceManager(service.deployment.settings)
    assert manager.execute("start").success
    assert manager.status().pid == service.process.pid, "no second service was started"
    restarted = manager.execute("restart")
    assert restarted.success, restarted.message
    assert manager.status().pid == service.process.pid == restarted.pid
    assert manager.execute("stop").success
    assert service.process.wait(60) == 0
    assert not manager.status().running
    assert manager.execute("stop").success, "stopping what is stopped is no failure"


def test_panel_keeps_running_while_the_stream_is_stopped(deployment):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    service = Service(deployment, "run", "--port", str(port))
    try:
        service.wait_until_running()
        panel = service.pid_of("web")
        manager = StreamingServiceManager(deployment.settings)
        assert manager.execute("stop").success
        assert read_record(deployment.settings.state_dir).children.keys() == {"web"}
        assert not manager.status().running
        assert manager.health().error
        assert manager.execute("start").success
        assert service.pid_of("web") == panel
        assert manager.status().running
        service.process.terminate()
        assert service.process.wait(60) == 0
        assert processes_with(str(deployment.root)) == []
    finally:
        service.end()


def test_closed_terminal_ends_the_service(deployment):
    """Whatever it printed last meets a terminal that is gone; nothing is left running all the same."""
    controller, terminal = os.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *deployment.command("run", "--no-web")],
        env=deployment.environ, stdin=terminal, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    try:
        shown = b""
        while not re.search(rb"in.progress\W*0", shown):  # the summary at the bottom of a terminal
            shown += os.read(controller, 4096)
        os.close(controller)
        process.wait(60)
        until(lambda: processes_with(str(deployment.root)) == [], 5, "nothing is left")
        assert read_record(deployment.settings.state_dir) is None
    finally:
        process.kill()
        process.wait()


def test_manager_starts_and_stops_a_service(deployment, monkeypatch):
    for name, value in deployment.environ.items():
        monkeypatch.setenv(name, value)
    manager = StreamingServiceManager(deployment.settings)
    assert not manager.health().healthy
    started = manager.execute("start")
    try:
        assert started.success, started.message
        until(lambda: manager.status().last_heartbeat, 20, "the directory was scanned")
        status, health = manager.status(), manager.health()
        assert (status.running, status.pid, status.error, status.paused) == (True, started.pid, None, False)
        assert (health.healthy, health.error) == (True, None)
        assert status.memory_mb > 50
        assert status.config["input_dir"] == str(deployment.incoming)
    finally:
        stopped = manager.execute("stop")
    assert stopped.success, stopped.message
    until(lambda: processes_with(str(deployment.root / "state" / "broker")) == [], 5, "the broker ended too")


def test_failed_start_reports_the_reason(deployment, monkeypatch):
    for name, value in deployment.environ.items():
        monkeypatch.setenv(name, value)
    deployment.incoming.rmdir()
    outcome = StreamingServiceManager(deployment.settings).execute("start")
    assert not outcome.success
    assert str(deployment.incoming) in outcome.message


def test_wrong_paths_and_busy_ports_are_refused(deployment):
    wrong = deployment.contimg("run", str(deployment.root / "nowhere"), "--no-web")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith(f"contimg: {deployment.root}/nowhere: ")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = deployment.contimg("run", "--port", str(port))
    assert (busy.returncode, busy.stdout) == (2, "")
    assert f"127.0.0.1:{port}" in busy.stderr
    deployment.more["CONTIMG_BROKER_URL"] = f"redis://127.0.0.1:{port}/0"
    away = deployment.contimg("run", "--no-web")
    assert away.returncode == 4
    assert f"127.0.0.1:{port}" in away.stderr
    assert [len(outcome.stderr.splitlines()) for outcome in (wrong, busy, away)] == [1, 1, 1]
    assert processes_with(str(deployment.root)) == []


@pytest.mark.long
def test_worker_waits_for_its_broker(deployment, store, drift_sim_files):
    """`celery -A workers.app worker -Q convert` without anything else; then a broker, a group and a message."""
    broker = EmbeddedBroker(deployment.root / "elsewhere")
    url = broker.start().url
    broker.stop()
    deployment.more["CONTIMG_BROKER_URL"] = url
    worker = deployment.start_process(
        sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", "convert", "-c", "1", log="worker.log"
    )
    log = deployment.root / "worker.log"
    try:
        until(lambda: url.rpartition("@")[2].partition("/")[0] in log.read_text(), 20, "it names the broker")
        broker.start()
        for path in drift_sim_files.values():
            arrival = register_file(store, path, path.stat().st_size, 1.0)
        group = arrival.file.group
        send = "import sys; from workers.scheduling.messages import send; send(sys.argv[1])"
        subprocess.run([sys.executable, "-c", send, group], env=deployment.environ, check=True, timeout=120)
        until(lambda: store.files.group(group).stage is Stage.CALIBRATE, 40, "the group is converted")
        worker.terminate()
        assert worker.wait(20) == 0
        count = (
            "from workers.scheduling.messages import backlog; print(sorted((str(k), n) for k, n in backlog().items()))"
        )
        outcome = subprocess.run(
            [sys.executable, "-c", count],
            env=deployment.environ,
            check=True,
            timeout=120,
            capture_output=True,
            text=True,
        )
        assert outcome.stdout.strip() == "[('calibrate', 1), ('convert', 0), ('image', 0)]", "the chain waits"
    finally:
        worker.kill()
        worker.wait()
        broker.stop()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_hung_workers_are_replaced(deployment, small_groups):
    """A stopped process with a stage uses up an attempt; a stopped worker without one is started again."""
    deployment.more |= {"CONTIMG_HUNG_S": "6", "CONTIMG_LEASE_S": "600"}
    calibrator, files = next(iter(small_groups.items()))
    service = Service(deployment)
    try:
        service.wait_until_running()
        service.deliver(files)
        victim = service.worker_on(Stage.CALIBRATE)
        os.kill(victim.pid, signal.SIGSTOP)
        service.wait_for(calibrator, State.COMPLETED, 120)
        runs = service.store.jobs.runs(calibrator)
        assert [run.outcome for run in runs] == [
            Outcome.COMMITTED,
            Outcome.FAILED,
            Outcome.COMMITTED,
            Outcome.COMMITTED,
        ]
        assert runs[1].error_class == WORKER_DIED

        worker = service.pid_of("image")
        os.kill(worker, signal.SIGSTOP)
        until(lambda: service.pid_of_or_none("image") not in (None, worker), 60, "the worker is replaced")
        replaced_at, beat = time.time(), deployment.settings.state_dir / "beats" / "image"
        until(lambda: beat.stat().st_mtime > replaced_at, 60, "the new worker takes messages")
        events = [event.text for event in service.store.events.last(500)[::-1] if event.rule == "hung"]
        assert len(events) == 2
        assert all(part in events[0] for part in (str(victim.pid), "calibrate", calibrator))
        assert f"image (pid {worker})" in events[1]
    finally:
        service.end()
