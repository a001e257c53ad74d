"""The service under systemd by ops/deploy.sh: installed, makes an image, killed, frozen, stopped."""

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from deployed import Deployed, Spool, run, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]
HOST = "contimg-test-host"
IMAGE = "contimg-test-host"
API = "http://127.0.0.1:8080/api/streaming"
DIRECTORY = Path(__file__).parent
STREAMING = ("broker", "stream", "worker@convert", "worker@calibrate", "worker@image", "flower")
# Options of a container in which systemd is the first process.
HOST_OPTIONS = (
    "--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--cap-add=SYS_PTRACE", "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined", "--cgroupns=host", "--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec",
    "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
)  # fmt: skip
SETTINGS = {
    "CONTIMG_INPUT_DIR": "/data/incoming",
    "CONTIMG_POLL_INTERVAL": "1",
    "CONTIMG_WORKER_POLL_INTERVAL": "2",
    "CONTIMG_RETRY_DELAY_S": "1",
    "CONTIMG_IMAGE_SIZE": "256",
}


class Host:
    """The container that the units are installed in."""

    def __init__(self, incoming: Path) -> None:
        self.stream = Deployed(incoming, partial(self.run, "/srv/contimg/tests-inside"))

    def run(self, *command: str, check: bool = True) -> CompletedProcess[str]:
        return run("docker", "exec", HOST, *command, check=check)

    def deploy(self, *arguments: str, check: bool = True) -> CompletedProcess[str]:
        return self.run("/srv/contimg/ops/deploy.sh", "--engine", "systemd", *arguments, check=check)

    def unit_property(self, unit: str, key: str) -> str:
        return self.run("systemctl", "show", "--value", "--property", key, f"contimg-{unit}").stdout.strip()

    def active(self) -> set[str]:
        listed = self.run("systemctl", "list-units", "--plain", "--no-legend", "--state=active", "contimg-*.service")
        return {
            line.split()[0].removeprefix("contimg-").removesuffix(".service") for line in listed.stdout.splitlines()
        }


@pytest.fixture(scope="module")
def host(engine: None, program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    python = os.environ.get("PYTHON_IMAGE", "python:3.11-slim-bookworm")
    run("docker", "build", "--quiet", "--tag", IMAGE, "--build-arg", f"PYTHON_IMAGE={python}",
        "--file", str(DIRECTORY / "Dockerfile.host"), str(DIRECTORY))  # fmt: skip
    incoming = tmp_path_factory.mktemp("incoming")
    incoming.chmod(0o755)
    inside = program / "tests-inside"
    inside.write_text('#!/bin/sh\nset -a\n. /etc/contimg/contimg.env\nPATH=/opt/contimg/bin:$PATH exec "$@"\n')
    inside.chmod(0o755)
    example = (program / "ops/systemd/contimg.env.example").read_text(encoding="utf-8")
    settings = [line for line in example.splitlines() if line.partition("=")[0] not in SETTINGS]
    lines = [*settings, *(f"{key}={text}" for key, text in SETTINGS.items())]
    (program / "host.env").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run("docker", "run", "--detach", "--name", HOST, *HOST_OPTIONS, f"--volume={program}:/srv/contimg:ro",
        f"--volume={incoming}:/data/incoming", IMAGE)  # fmt: skip
    host = Host(incoming)
    try:
        wait_until(
            lambda: host.run("systemctl", "is-system-running", check=False).stdout.strip() == "running",
            30,
            "the host has started",
        )
        host.run("install", "-D", "--mode=600", "/srv/contimg/host.env", "/etc/contimg/contimg.env")
        yield host
    finally:
        run("docker", "rm", "--force", "--volumes", HOST, check=False)
        run("docker", "image", "rm", IMAGE, check=False)


def test_one_command_installs_and_starts_all_units(host: Host) -> None:
    outcome = host.deploy()
    assert host.active() == {*STREAMING, "api"}
    assert "http://127.0.0.1:8080/" in outcome.stdout
    assert host.unit_property("stream", "StatusText").startswith("last scan at ")
    assert host.run("systemctl", "is-enabled", "contimg.target").stdout.strip() == "enabled"


@pytest.mark.parametrize("unit", [*STREAMING, "api"])
def test_permissions_are_restricted(host: Host, unit: str) -> None:
    host.run("systemd-analyze", "security", "--threshold=39", f"contimg-{unit}.service")
    pid = host.unit_property(unit, "MainPID")
    assert host.run("stat", "--format=%U", f"/proc/{pid}").stdout.strip() == "contimg"


def test_group_is_processed_to_an_image(host: Host, spool: Spool) -> None:
    (group,) = host.stream.deliver(spool.take(1))
    host.stream.wait_until_completed()
    host.stream.check_nothing_lost_nothing_twice()
    journal = host.run("journalctl", "--no-pager", "--output=cat", "CONTIMG_PART=worker", "CONTIMG_QUEUE=image").stdout
    assert group in journal
    assert "CONTIMG_PART" not in journal


@pytest.mark.parametrize("unit", [*STREAMING, "api"])
def test_killed_unit_is_restarted(host: Host, unit: str) -> None:
    restarts = int(host.unit_property(unit, "NRestarts"))
    host.run("systemctl", "kill", "--signal=KILL", f"contimg-{unit}")
    wait_until(lambda: int(host.unit_property(unit, "NRestarts")) > restarts, 30, f"{unit} is started again")
    wait_until(lambda: host.unit_property(unit, "ActiveState") == "active", 60, f"{unit} is active again")


def test_groups_are_processed_after_the_kills(host: Host, spool: Spool) -> None:
    host.stream.deliver(spool.take(1))
    host.stream.wait_until_completed()
    host.stream.check_nothing_lost_nothing_twice()


def test_hung_stream_is_restarted_by_the_watchdog(host: Host) -> None:
    host.run("sh", "-c", "mkdir -p /run/systemd/system/contimg-stream.service.d; printf '[Service]\\nWatchdogSec=10\\n'"
             " > /run/systemd/system/contimg-stream.service.d/99.conf; systemctl daemon-reload")  # fmt: skip
    host.run("systemctl", "restart", "contimg-stream")
    host.run("kill", "-STOP", host.unit_property("stream", "MainPID"))  # the process exists, but does not scan
    wait_until(lambda: host.unit_property("stream", "NRestarts") != "0", 60, "the watchdog restarts the stream")
    assert "watchdog" in host.run("journalctl", "--no-pager", "--unit=contimg-stream", "--lines=60").stdout.lower()
    wait_until(lambda: host.unit_property("stream", "ActiveState") == "active", 60, "the stream is active again")


@pytest.mark.parametrize(("mode", "units"), [
    ("manual", {"api"}), ("streaming", set(STREAMING)), ("both", {*STREAMING, "api"}),
])  # fmt: skip
def test_modes(host: Host, mode: str, units: set[str]) -> None:
    host.deploy("--mode", mode)
    assert host.active() == units


def test_the_panel_stops_and_starts_the_stream_through_the_agent(host: Host) -> None:
    host.run("systemctl", "start", "contimg-agent")
    host.run("systemctl", "restart", "contimg-api")
    wait_until(
        lambda: host.run("curl", "--fail", "--silent", f"{API}/status", check=False).returncode == 0, 60, "the panel"
    )
    send_command = partial(host.run, "sh", "-c", '. /etc/contimg/contimg.env; exec curl --fail --silent --request POST '
                   '--header "Authorization: Bearer $CONTIMG_TOKEN" "$@"', "sh")  # fmt: skip
    assert json.loads(send_command(f"{API}/stop").stdout)["success"]
    assert host.active() == {"broker", "api", "flower", "agent"}
    status = json.loads(host.run("curl", "--fail", "--silent", f"{API}/status").stdout)
    assert not status["running"]
    assert json.loads(send_command(f"{API}/start").stdout)["success"]
    assert host.active() == {*STREAMING, "api", "agent"}
    host.run("systemd-analyze", "security", "--threshold=39", "contimg-agent.service")


def test_stop_leaves_no_process(host: Host) -> None:
    host.deploy("--down")
    assert host.active() == set()
    assert host.run("pgrep", "--uid", "contimg", "--list-full", check=False).stdout == ""
    assert host.run("systemctl", "is-enabled", "contimg.target", check=False).stdout.strip() == "disabled"
