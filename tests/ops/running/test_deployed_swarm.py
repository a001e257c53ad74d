"""The stack file on a swarm of this machine: deployed, makes an image, scaled, removed."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployed import SWARM_LABEL, Deployed, Spool, get_json, run, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
STACK = "contimg-test-stack"
WEB_PORT = 18081
SERVICES = {"redis", "postgres", "stream", "worker-convert", "worker-calibrate", "worker-image", "web", "flower"}
LABELS = ("contimg.core", "contimg.worker")


class Swarm:
    """The stack of this test and the environment with its settings."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.stack = program / "ops/docker/stack.yml"
        self.directories = {
            key: directory / name
            for key, name in (("PIPELINE_STATE_DIR", "state"), ("CONTIMG_INPUT_DIR", "incoming"),
                              ("CONTIMG_OUTPUT_DIR", "products"), ("CONTIMG_SCRATCH_DIR", "scratch"))
        }  # fmt: skip
        self.environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environ |= {key: str(path) for key, path in self.directories.items()}
        settings = directory / "deployment.env"
        settings.write_text("CONTIMG_IMAGE_SIZE=256\nCONTIMG_POLL_INTERVAL=1\nCONTIMG_WORKER_POLL_INTERVAL=2\n")
        self.environ |= {
            "CONTIMG_ENV_FILE": str(settings), "CONTIMG_TOKEN": "t" * 32, "FLOWER_BASIC_AUTH": "contimg:" + "f" * 32,
            "POSTGRES_PASSWORD": "p" * 32, "CONTIMG_WEB_PORT": str(WEB_PORT), "CONTIMG_FLOWER_PORT": "15556",
            "WORKER_THREADS": "1",
        }  # fmt: skip
        for path in self.directories.values():
            path.mkdir()
            os.chown(path, 1000, 1000)
        self.stream = Deployed(self.directories["CONTIMG_INPUT_DIR"], self.inside)

    def deploy(self) -> None:
        run("docker", "stack", "deploy", "--compose-file", str(self.stack), STACK, environ=self.environ)

    def replicas(self) -> dict[str, str]:
        """Return `running/desired` replicas by service."""
        listed = run("docker", "service", "ls", "--filter", f"label=com.docker.stack.namespace={STACK}",
                     "--format", "{{.Name}} {{.Replicas}}").stdout  # fmt: skip
        pairs = (line.split()[:2] for line in listed.splitlines())
        return {name.removeprefix(f"{STACK}_"): replicas for name, replicas in pairs}

    def containers(self, service: str) -> list[str]:
        label = f"label=com.docker.swarm.service.name={STACK}_{service}"
        return run("docker", "ps", "--quiet", "--filter", label).stdout.split()

    def inside(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        (container,) = self.containers("stream")
        return run("docker", "exec", container, *command, check=check)


@pytest.fixture(scope="module")
def swarm(engine: None, program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    if os.geteuid() != 0:
        pytest.skip("giving directories to the service's user needs root")
    if run("docker", "info", "--format", "{{.Swarm.LocalNodeState}}").stdout.strip() != "inactive":
        pytest.skip("this engine is already in a swarm")
    outcome = run("docker", "swarm", "init", "--advertise-addr", "127.0.0.1", check=False)
    if outcome.returncode:
        pytest.skip(f"this engine cannot create a swarm: {outcome.stderr.strip()}")
    node = run("docker", "node", "ls", "--quiet").stdout.strip()
    run("docker", "node", "update", "--label-add", f"{SWARM_LABEL}=true", node)
    dockerfile = str(program / "ops/docker/Dockerfile")
    run("docker", "build", "--quiet", "--tag", "contimg", "--file", dockerfile, str(program))
    directory = tmp_path_factory.mktemp("swarm")
    for path in (directory, *directory.parents[:2]):
        path.chmod(0o755)
    try:
        yield Swarm(program, directory)
    finally:
        run("docker", "stack", "rm", STACK, check=False)
        label = f"label=com.docker.stack.namespace={STACK}"
        wait_until(
            lambda: not run("docker", "ps", "--all", "--quiet", "--filter", label).stdout,
            120,
            "containers are removed",
        )
        run("docker", "swarm", "leave", "--force", check=False)
        volumes = run("docker", "volume", "ls", "--quiet", "--filter", label).stdout.split()
        run("docker", "volume", "rm", *volumes, check=False)


def test_the_stack_starts_only_on_a_machine_with_its_labels(swarm: Swarm) -> None:
    """Placement is by label: no service starts on a machine without one."""
    swarm.deploy()
    assert set(swarm.replicas()) == SERVICES
    assert set(swarm.replicas().values()) == {"0/1"}
    node = run("docker", "node", "ls", "--quiet").stdout.strip()
    run("docker", "node", "update", *(f"--label-add={label}=true" for label in LABELS), node)
    wait_until(lambda: set(swarm.replicas().values()) == {"1/1"}, 240, "every service of the stack runs")


def test_group_is_processed_to_an_image(swarm: Swarm, spool: Spool) -> None:
    swarm.stream.deliver(spool.take(1))
    swarm.stream.wait_until_completed()
    swarm.stream.check_nothing_lost_nothing_twice()
    assert get_json(f"http://127.0.0.1:{WEB_PORT}/api/status")["images"][0]["rms_jy"] > 0


def test_queue_gets_another_worker(swarm: Swarm, spool: Spool) -> None:
    run("docker", "service", "scale", f"{STACK}_worker-image=2")
    assert len(swarm.containers("worker-image")) == 2
    swarm.stream.deliver(spool.take(1))
    swarm.stream.wait_until_completed()
    swarm.stream.check_nothing_lost_nothing_twice()


def test_products_remain_after_the_stack_is_removed(swarm: Swarm) -> None:
    run("docker", "stack", "rm", STACK)
    wait_until(lambda: not any(swarm.containers(service) for service in SERVICES), 120, "every container is gone")
    assert len(list((swarm.directories["CONTIMG_OUTPUT_DIR"] / "images").glob("*.fits"))) >= 2
