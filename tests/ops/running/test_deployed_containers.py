"""The service in containers by ops/deploy.sh: makes an image, is scaled, killed, replaced and run in three modes."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from deployed import Deployed, Spool, get_json, post_command, run, wait_for_stage, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]
PROJECT = "contimg-test"
WEB_PORT, FLOWER_PORT = 18080, 15555
STREAMING = {"redis", "stream", "worker-convert", "worker-calibrate", "worker-image", "flower"}
# Short intervals for liveness and retries.
CHANGES = {
    "CONTIMG_WEB_PORT": str(WEB_PORT), "CONTIMG_FLOWER_PORT": str(FLOWER_PORT), "CONTIMG_LEASE_S": "15",
    "CONTIMG_RETRY_DELAY_S": "1", "CONTIMG_POLL_INTERVAL": "1", "CONTIMG_WORKER_POLL_INTERVAL": "2",
    "CONTIMG_MAX_ATTEMPTS": "9", "CONTIMG_IMAGE_SIZE": "256", "WORKER_THREADS": "1", "SMALL_MEMORY": "900m",
}  # fmt: skip


class Site:
    """A deployment of its own, separate from others on this engine."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.program = program
        self.settings, self.store = directory / "deployment.env", directory / "state/contimg.sqlite3"
        example = (program / "ops/docker/.env.example").read_text(encoding="utf-8")
        kept = [line for line in example.splitlines() if line.partition("=")[0] not in CHANGES]
        lines = [line.replace("=/var/lib/contimg", f"={directory}") for line in kept]
        lines += [f"{key}={text}" for key, text in CHANGES.items()]
        self.settings.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environ |= {"COMPOSE_PROJECT_NAME": PROJECT, "DEPLOY_MIN_FREE_GB": "1"}
        self.stream = Deployed(directory / "incoming", partial(self.compose, "exec", "-T", "stream"))

    def deploy(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = (str(self.program / "ops/deploy.sh"), "--env-file", str(self.settings), *arguments)
        return run(*command, environ=self.environ, check=check)

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ("docker", "compose", "--env-file", str(self.settings), "--profile", "*", *arguments)
        return run(*command, cwd=self.program, environ=self.environ, check=check)

    def up(self, *arguments: str) -> None:
        command = ("docker", "compose", "--env-file", str(self.settings), "up", "--detach", "--wait", *arguments)
        run(*command, cwd=self.program, environ=self.environ)

    def running(self) -> set[str]:
        return set(self.compose("ps", "--services", "--status", "running").stdout.split())

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "--quiet", service).stdout.split()

    def health(self, container: str) -> str:
        return run("docker", "inspect", "--format", "{{.State.Health.Status}}", container).stdout.strip()

    def kill(self, container: str) -> None:
        """Send SIGKILL to its first process and wait until the restart policy has started it again."""
        before = run("docker", "inspect", "--format", "{{.State.Pid}} {{.RestartCount}}", container).stdout.split()
        os.kill(int(before[0]), signal.SIGKILL)

        def is_restarted() -> bool:
            state = run("docker", "inspect", "--format", "{{.State.Running}} {{.RestartCount}}", container).stdout
            return state.split() == ["true", str(int(before[1]) + 1)]

        wait_until(is_restarted, 60, f"{container} is started again")


@pytest.fixture(scope="module")
def site(engine: None, program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if os.geteuid() != 0:
        pytest.skip("killing a container's process from outside needs root")
    site = Site(program, tmp_path_factory.mktemp("site"))
    site.settings.parent.chmod(0o755)
    for parent in site.settings.parent.parents[:2]:
        parent.chmod(0o755)
    try:
        yield site
    finally:
        site.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)


def test_one_command_starts_all_services(site: Site) -> None:
    outcome = site.deploy()
    assert site.running() == STREAMING | {"web"}
    assert f"http://127.0.0.1:{WEB_PORT}/" in outcome.stdout
    status = get_json(f"http://127.0.0.1:{WEB_PORT}/api/status")
    assert status["service"]["running"]
    assert site.settings.stat().st_mode & 0o077 == 0 or "CONTIMG_TOKEN=" in site.settings.read_text()


def test_roots_are_read_only_and_nothing_runs_as_root(site: Site) -> None:
    for service in STREAMING | {"web"}:
        (container,) = site.containers(service)
        inspection = json.loads(run("docker", "inspect", container).stdout)[0]
        assert inspection["HostConfig"]["ReadonlyRootfs"], service
        assert inspection["HostConfig"]["Memory"] > 0, service
        assert inspection["HostConfig"]["LogConfig"]["Config"]["max-size"], service
        if service != "redis":
            assert inspection["Config"]["User"] == "1000:1000", service
            assert site.compose("exec", "-T", service, "touch", "/opt/here", check=False).returncode


def test_group_is_processed_to_an_image(site: Site, spool: Spool) -> None:
    site.stream.deliver(spool.take(1))
    site.stream.wait_until_completed()
    site.stream.check_nothing_lost_nothing_twice()
    image = get_json(f"http://127.0.0.1:{WEB_PORT}/api/status")["images"][0]
    assert image["rms_jy"] > 0


def test_two_image_workers_share_the_queue(site: Site, spool: Spool) -> None:
    site.up("--no-recreate", "--scale", "worker-image=2", "worker-image")
    first, second = site.containers("worker-image")
    run("docker", "stop", "--time", "60", first)  # only the second can run the next stage
    try:
        (group,) = site.stream.deliver(spool.take(1))
        site.stream.wait_until_completed()
    finally:
        run("docker", "start", first)
    owner = [attempt["owner"] for attempt in site.stream.history(group)["runs"] if attempt["stage"] == "image"][-1]
    assert second.startswith(owner.partition(":")[0])


def test_each_container_is_killed_once_and_nothing_is_lost(site: Site, spool: Spool) -> None:
    site.stream.deliver(spool.take(2))
    for stage in ("convert", "calibrate", "image"):
        wait_for_stage(site.store, stage)
        for container in site.containers(f"worker-{stage}"):
            site.kill(container)
    for service in ("redis", "web", "flower", "stream"):
        (container,) = site.containers(service)
        site.kill(container)
    site.stream.deliver(spool.take(1))
    wait_until(lambda: site.stream.inside("true", check=False).returncode == 0, 60, "stream runs commands")
    site.stream.wait_until_completed()
    site.stream.check_nothing_lost_nothing_twice()
    for service in STREAMING | {"web"}:
        for container in site.containers(service):
            wait_until(lambda name=container: site.health(name) == "healthy", 90, f"{service} is healthy again")


def test_rolling_restart_loses_no_work_and_counts_no_attempt(site: Site, spool: Spool) -> None:
    (group,) = site.stream.deliver(spool.take(1))
    with ThreadPoolExecutor(3) as executor:  # a stop may last longer than the next stage
        restarts = []
        for stage in ("convert", "calibrate", "image"):
            wait_for_stage(site.store, stage)
            restarts.append(executor.submit(site.up, "--force-recreate", "--no-deps", f"worker-{stage}"))
    for restart in restarts:
        restart.result()
    site.stream.wait_until_completed()
    site.stream.check_nothing_lost_nothing_twice()
    outcomes = {stage_run["outcome"] for stage_run in site.stream.history(group)["runs"]}
    assert outcomes <= {"committed", "released"}


@pytest.mark.parametrize(("mode", "services"), [
    ("manual", {"redis", "web"}), ("streaming", STREAMING), ("both", STREAMING | {"web"}),
])  # fmt: skip
def test_modes(site: Site, mode: str, services: set[str]) -> None:
    site.deploy("--mode", mode)
    assert site.running() == services
    if "web" in services:
        running = get_json(f"http://127.0.0.1:{WEB_PORT}/api/status")["service"]["running"]
        assert running or mode == "manual"


def test_the_panel_stops_and_starts_the_stream_through_the_agent(site: Site) -> None:
    """The panel's container has no access to the engine; the agent has, and accepts four commands only."""
    settings = site.settings.read_text(encoding="utf-8")
    with_agent = settings.replace("COMPOSE_PROFILES=streaming,manual", "COMPOSE_PROFILES=streaming,manual,agent")
    site.settings.write_text(with_agent, encoding="utf-8")
    site.deploy()
    token = re.search("^CONTIMG_TOKEN=(.+)$", settings, re.MULTILINE)[1]
    api = f"http://127.0.0.1:{WEB_PORT}/api/streaming"
    wait_until(lambda: get_json(f"{api}/status")["pid"], 40, "the panel has the pid from the agent")
    status = get_json(f"{api}/status")
    assert status["running"]
    assert status["memory_mb"] > 50
    assert post_command(f"{api}/stop", token)["success"]
    assert site.running() == {"redis", "web", "flower", "agent"}
    assert not get_json(f"{api}/status")["running"]
    assert post_command(f"{api}/start", token)["success"]
    assert site.running() == STREAMING | {"web", "agent"}
    (web,) = site.containers("web")
    assert "docker.sock" not in run("docker", "inspect", web).stdout
    script = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/contimg/agent.sock'); "
        "s.sendall({!r}); print(s.recv(400))"
    )
    output = site.compose("exec", "-T", "web", "python", "-c", script.format(b"remove redis\n")).stdout
    assert all(command in output for command in ("status", "start", "stop", "restart"))


def test_backup_of_the_running_stream_is_restored(site: Site, spool: Spool) -> None:
    state = site.settings.parent / "state"
    groups = site.stream.groups()
    site.stream.inside("contimg", "backup", f"{state}/night.tar.gz")
    (late_group,) = site.stream.deliver(spool.take(1))
    wait_until(lambda: late_group in site.stream.groups(), 60, "another group arrives after the backup")
    refused = site.stream.inside("contimg", "restore", f"{state}/night.tar.gz", check=False)
    assert refused.returncode == 2
    assert "stop" in refused.stderr
    site.compose("stop", "stream", "worker-convert", "worker-calibrate", "worker-image", "web", "flower")
    inside = ("run", "--rm", "--no-deps", "-T", "stream", "contimg")
    site.compose(*inside, "restore", f"{state}/night.tar.gz")
    restored = json.loads(site.compose(*inside, "groups", "list", "--json").stdout)
    assert {group["id"]: group["state"] for group in restored} == {
        name: group["state"] for name, group in groups.items()
    }
    site.up()
    site.stream.wait_until_completed()
    site.stream.check_nothing_lost_nothing_twice()


def test_unhealthy_service_is_reported_with_the_end_of_its_log(site: Site) -> None:
    settings = site.settings.read_text(encoding="utf-8")
    site.settings.write_text(settings + "CONTIMG_MAX_ATTEMPTS=0\n", encoding="utf-8")
    outcome = site.deploy("--mode", "streaming", check=False)
    site.settings.write_text(settings, encoding="utf-8")
    assert outcome.returncode == 1
    assert re.search(r"CONTIMG_MAX_ATTEMPTS=0\b.*\b1\b", outcome.stderr)
    assert re.search(r"^deploy: .*store", outcome.stderr, re.MULTILINE)


def test_down_leaves_state_and_products(site: Site, sky: Mapping[str, tuple[Path, ...]]) -> None:
    site.deploy("--down")
    assert site.compose("ps", "--all", "--quiet").stdout == ""
    directory = site.settings.parent
    assert (directory / "state/contimg.sqlite3").is_file()
    assert list((directory / "products/images").glob("*.fits"))
    site.deploy("--mode", "streaming")
    site.stream.check_nothing_lost_nothing_twice()
