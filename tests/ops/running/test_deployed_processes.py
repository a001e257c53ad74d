"""The service as plain processes by ops/deploy.sh: makes an image, runs in three modes, and is stopped."""

import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import psutil
import pytest
from deployed import Deployed, Spool, get_json, run, wait_until

pytestmark = pytest.mark.timeout(900)


class Machine:
    """A deployment on this machine with a checkout and settings of its own."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.program, self.directory = program, directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        changes = {
            "PIPELINE_STATE_DIR": f"{directory}/state", "CONTIMG_INPUT_DIR": f"{directory}/incoming",
            "CONTIMG_OUTPUT_DIR": f"{directory}/products", "CONTIMG_SCRATCH_DIR": f"{directory}/scratch",
            "CONTIMG_WEB_PORT": str(self.port), "CONTIMG_POLL_INTERVAL": "1", "CONTIMG_IMAGE_SIZE": "256",
            "CONTIMG_WORKER_POLL_INTERVAL": "1",
        }  # fmt: skip
        example = (program / "ops/systemd/contimg.env.example").read_text(encoding="utf-8")
        kept = [line for line in example.splitlines() if line.partition("=")[0] not in changes]
        self.settings = directory / "deployment.env"
        self.settings.write_text("\n".join([*kept, *(f"{k}={v}" for k, v in changes.items())]) + "\n", encoding="utf-8")
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("CONTIMG_")}
        self.environ |= {"DEPLOY_MIN_FREE_GB": "1", "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}
        self.stream = Deployed(directory / "incoming", partial(self.inside))

    def deploy(self, *arguments: str, check: bool = True) -> CompletedProcess[str]:
        command = (str(self.program / "ops/deploy.sh"), "--engine", "process", "--env-file", str(self.settings))
        return run(*command, *arguments, environ=self.environ, check=check)

    def inside(self, *command: str, check: bool = True) -> CompletedProcess[str]:
        settings = dict(line.split("=", 1) for line in self.settings.read_text().splitlines() if line[:1].isalpha())
        return run(*command, environ={**self.environ, **settings}, check=check)

    def leader(self) -> psutil.Process:
        return psutil.Process(int((self.directory / "state/deployment.process").read_text().split()[0]))

    def panel_answers(self) -> bool:
        try:
            return bool(get_json(f"http://127.0.0.1:{self.port}/api/status"))
        except OSError:
            return False


@pytest.fixture(scope="module")
def machine(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    (program / ".venv").symlink_to(Path(sys.prefix))
    machine = Machine(program, tmp_path_factory.mktemp("machine"))
    try:
        yield machine
    finally:
        machine.deploy("--down", check=False)
        (program / ".venv").unlink()


def test_one_command_starts_the_stream_and_a_group_becomes_an_image(machine: Machine, spool: Spool) -> None:
    outcome = machine.deploy()
    assert f"http://127.0.0.1:{machine.port}/" in outcome.stdout
    assert machine.panel_answers()
    machine.stream.deliver(spool.take(1))
    machine.stream.wait_until_completed()
    machine.stream.check_nothing_lost_nothing_twice()


@pytest.mark.parametrize(("mode", "scans", "panel"), [
    ("manual", False, True), ("streaming", True, False), ("both", True, True),
])  # fmt: skip
def test_modes(machine: Machine, mode: str, scans: bool, panel: bool) -> None:
    previous = machine.leader()
    machine.deploy("--mode", mode)
    assert not previous.is_running()
    assert machine.panel_answers() == panel
    commands = " ".join(" ".join(child.cmdline()) for child in machine.leader().children(recursive=True))
    assert ("contimg producer" in commands) == scans


def test_killed_service_is_not_mistaken_for_another_process(machine: Machine) -> None:
    killed = machine.leader()
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    record = machine.directory / "state/deployment.process"
    record.write_text(f"{os.getpid()} 1\n")  # the pid is in use by this process
    machine.deploy("--mode", "both")
    assert machine.panel_answers()


def test_failed_step_is_reported_with_the_end_of_its_output(machine: Machine) -> None:
    settings = machine.settings.read_text(encoding="utf-8")
    machine.settings.write_text(settings + "CONTIMG_QUEUE_DB=oracle://nowhere\n", encoding="utf-8")
    outcome = machine.deploy(check=False)
    machine.settings.write_text(settings, encoding="utf-8")
    assert outcome.returncode == 1
    assert "oracle" in outcome.stderr
    assert re.search(r"^deploy: .*store", outcome.stderr, re.MULTILINE)


def test_down_leaves_no_process(machine: Machine) -> None:
    processes = [machine.leader(), *machine.leader().children(recursive=True)]
    assert len(processes) > 4
    machine.deploy("--down")
    wait_until(
        lambda: not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes),
        20,
        "no process is left",
    )
    assert not machine.panel_answers()
