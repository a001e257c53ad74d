"""docker-compose.yml as parsed by compose: valid, not open to the network, with commands of the program."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from deployment_files import check_command, variables_in

SECRETS = {"CONTIMG_TOKEN": "for-the-panel", "FLOWER_BASIC_AUTH": "someone:secret"}
QUEUES = ("convert", "calibrate", "image")
pytestmark = pytest.mark.engine


def compose_config(checkout: Path, directory: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `docker compose config` on the file alone, without .env of the checkout and variables of the terminal."""
    shutil.copy(checkout / "docker-compose.yml", directory)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        ["docker", "compose", "--profile", "*", "config", "--format", "json"],
        cwd=directory, env=inherited | environ, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def services(checkout: Path, tmp_path_factory: pytest.TempPathFactory, compose: None) -> dict[str, Any]:
    """Return the services with the defaults of the file and both secrets."""
    outcome = compose_config(checkout, tmp_path_factory.mktemp("compose"), **SECRETS)
    assert outcome.returncode == 0, outcome.stderr
    compose_services: dict[str, Any] = json.loads(outcome.stdout)["services"]
    return compose_services


def test_every_part_is_a_service(services: dict[str, Any]) -> None:
    workers = {f"worker-{queue}" for queue in QUEUES}
    assert set(services) == {"redis", "postgres", "stream", "web", "flower", "agent"} | workers
    profiles = {name: service.get("profiles") for name, service in services.items()}
    assert profiles.pop("redis") is None
    assert profiles.pop("web") == ["manual"]
    assert profiles.pop("agent") == ["agent"]
    assert profiles.pop("postgres") == ["postgres"]
    assert set(map(str, profiles.values())) == {"['streaming']"}


@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_missing_secret_is_an_error(checkout: Path, tmp_path: Path, compose: None, secret: str) -> None:
    remaining_secrets = {name: value for name, value in SECRETS.items() if name != secret}
    outcome = compose_config(checkout, tmp_path, **remaining_secrets)
    assert outcome.returncode != 0
    assert secret in outcome.stderr
    assert "ops/deploy.sh" in outcome.stderr


def test_ports_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    published = {name: port["host_ip"] for name, service in services.items() for port in service.get("ports", ())}
    assert published == {"web": "127.0.0.1", "flower": "127.0.0.1"}


def test_commands_are_the_programs_own(services: dict[str, Any]) -> None:
    for name in ("stream", "web", *(f"worker-{queue}" for queue in QUEUES)):
        check_command(services[name]["command"])


@pytest.mark.parametrize("queue", QUEUES)
def test_each_queue_has_its_worker(services: dict[str, Any], queue: str) -> None:
    command = services[f"worker-{queue}"]["command"]
    assert command[command.index("-Q") + 1] == queue
    assert "--disable-prefetch" in command
    assert "$$CONTIMG_WORKER_BEAT" in services[f"worker-{queue}"]["healthcheck"]["test"][-1]
    assert services[f"worker-{queue}"]["environment"]["CONTIMG_WORKER_BEAT"].startswith("/tmp/")
    assert services[f"worker-{queue}"]["environment"]["REMAP_SIGTERM"] == "SIGQUIT"


def test_concurrency_comes_from_the_environment(checkout: Path, tmp_path: Path, compose: None) -> None:
    outcome = compose_config(checkout, tmp_path, IMAGE_CONCURRENCY="3", **SECRETS)
    command = json.loads(outcome.stdout)["services"]["worker-image"]["command"]
    assert command[command.index("-c") + 1] == "3"


def test_messages_outlive_the_broker(services: dict[str, Any]) -> None:
    command = shlex.join(services["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert [volume["target"] for volume in services["redis"]["volumes"]] == ["/data"]


def test_the_incoming_directory_is_read_only(services: dict[str, Any]) -> None:
    for name in ("stream", "web", *(f"worker-{queue}" for queue in QUEUES)):
        binds = [volume for volume in services[name]["volumes"] if volume["type"] == "bind"]
        assert [volume["target"] for volume in binds if volume.get("read_only")] == ["/var/lib/contimg/incoming"]
        assert all(volume["source"] == volume["target"] for volume in binds)


def test_services_restart_after_a_crash(services: dict[str, Any]) -> None:
    assert {service["restart"] for service in services.values()} == {"unless-stopped"}


def test_only_the_agent_reaches_the_engine_and_only_the_panel_the_agent(services: dict[str, Any]) -> None:
    with_engine = [
        name
        for name, service in services.items()
        if any("docker.sock" in volume["target"] for volume in service["volumes"])
    ]
    assert with_engine == ["agent"]
    assert services["agent"]["network_mode"] == "none"
    assert "ports" not in services["agent"]
    with_agent_socket = [
        name
        for name, service in services.items()
        if any(volume["target"] == "/run/contimg" for volume in service["volumes"])
    ]
    assert sorted(with_agent_socket) == ["agent", "web"]


def test_memory_and_logs_are_limited(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert int(service["deploy"]["resources"]["limits"]["memory"]) > 0, name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name


def test_roots_are_read_only(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"], name
        assert "/tmp" in service["tmpfs"], name
    for name in ("stream", "web", "flower", *(f"worker-{queue}" for queue in QUEUES)):
        assert services[name]["cap_drop"] == ["ALL"]


def test_stop_outlasts_the_soft_shutdown(services: dict[str, Any]) -> None:
    assert {services[f"worker-{queue}"]["stop_grace_period"] for queue in QUEUES} == {"1m0s"}


def test_the_swarm_stack_is_the_same_service(
    checkout: Path, tmp_path: Path, compose: None, services: dict[str, Any]
) -> None:
    shutil.copy(checkout / "ops/docker/stack.yml", tmp_path / "docker-compose.yml")
    outcome = subprocess.run(
        ["docker", "compose", "config", "--format", "json"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "POSTGRES_PASSWORD": "secret", "CONTIMG_ENV_FILE": os.devnull, **SECRETS},
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    stack = json.loads(outcome.stdout)["services"]
    assert set(stack) == set(services) - {"agent"}
    for name, service in stack.items():
        assert service.get("command") == services[name].get("command"), name
        label = "worker" if name.startswith("worker") else "core"
        assert service["deploy"]["placement"]["constraints"] == [f"node.labels.contimg.{label} == true"]
        # A stack ignores the short form of `tmpfs`, which leaves a read-only /tmp.
        assert not service.get("read_only") or {"/tmp"} <= {
            volume["target"] for volume in service["volumes"] if volume["type"] == "tmpfs"
        }
    for queue in QUEUES:
        assert stack[f"worker-{queue}"]["environment"]["REMAP_SIGTERM"] == "SIGQUIT"
        assert stack[f"worker-{queue}"]["stop_grace_period"] == "1m0s"


def test_the_example_names_only_what_is_read(checkout: Path, known_variables: frozenset[str]) -> None:
    in_compose_file = set(re.findall(r"\$\{(\w+)", (checkout / "docker-compose.yml").read_text(encoding="utf-8")))
    for_compose = {"COMPOSE_PROFILES"}
    unknown = variables_in(checkout / "ops/docker/.env.example") - in_compose_file - known_variables - for_compose
    assert not unknown
