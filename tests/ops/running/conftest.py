"""Fixtures of the tests that run a deployment: an engine, a copy of the checkout, simulated groups."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from deployed import SWARM_LABEL, Spool, run
from judges import require

# These tests build gigabytes and start daemons, so they run only on request.
collect_ignore_glob = [] if os.environ.get("CONTIMG_TEST_DEPLOY") else ["test_*.py"]

PROGRAM = (
    "contimg", "workers", "web", "ops", "scripts", "docker-compose.yml", ".dockerignore", "pyproject.toml",
    "requirements.lock", "README.md", "LICENSE",
)  # fmt: skip
GROUPS = 11  # number that the tests use
IGNORED = shutil.ignore_patterns("__pycache__", ".env", "contimg.env")


def engine_is_available() -> bool:
    """Return whether a container engine is available."""
    return shutil.which("docker") is not None and not subprocess.run(["docker", "info"], capture_output=True).returncode


@pytest.fixture(scope="session")
def engine() -> None:
    """Start a container engine if possible; skip with the reason otherwise."""
    script = os.environ.get("CONTIMG_TEST_ENGINE", "")
    if script:  # it may do more than start the engine, and can be run again
        outcome = subprocess.run([script], capture_output=True, text=True, check=False)
        if outcome.returncode:
            lines = (outcome.stderr or outcome.stdout).strip().splitlines()
            pytest.skip(f"{script} did not start an engine: {lines[-1] if lines else f'status {outcome.returncode}'}")
    elif not engine_is_available() and os.geteuid() == 0 and Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "start", "docker"], check=False)
    if not engine_is_available():
        pytest.skip("no container engine is available, and CONTIMG_TEST_ENGINE has no script that starts one")
    require("docker compose")
    remove_leftovers()


def remove_leftovers() -> None:
    """Remove the containers, networks and swarm that a killed run of these tests left in the engine."""
    listed = run("docker", "node", "ls", "--quiet", "--filter", f"node.label={SWARM_LABEL}", check=False)
    if listed.returncode == 0 and listed.stdout.strip():  # a swarm that these tests created
        run("docker", "swarm", "leave", "--force")
    for kind, remove in (
        ("ps --all", "rm --force --volumes"),
        ("network ls", "network rm"),
        ("volume ls", "volume rm"),
    ):
        listed = run("docker", *kind.split(), "--quiet", "--filter", "name=^contimg-test")
        if names := listed.stdout.split():
            run("docker", *remove.split(), *names, check=False)


@pytest.fixture(scope="session")
def program(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the checkout, so that its settings are neither read nor written."""
    copy = tmp_path_factory.mktemp("program")
    for name in PROGRAM:
        if (checkout / name).is_dir():
            shutil.copytree(checkout / name, copy / name, ignore=IGNORED)
        else:
            shutil.copy(checkout / name, copy / name)
    return copy


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Path, ...]]:
    """Simulate groups of subband files by id: the transit of 3C48 first, then targets."""
    directory = tmp_path_factory.mktemp("sky")
    size = (f"--groups={GROUPS}", "--antennas=24", "--channels=192", "--integrations=12")
    subprocess.run(
        [sys.executable, "-m", "contimg", "simulate", str(directory), *size], check=True, capture_output=True
    )
    groups: dict[str, list[Path]] = {}
    for path in sorted(directory.glob("*.hdf5")):
        groups.setdefault(path.name.rpartition("_")[0], []).append(path)
    tiles: dict[str, list[Path]] = {}
    for name, files in sorted(groups.items()):  # the clocks of a group differ by up to a second
        first_name = next(
            (tile for tile in tiles if abs(int(tile[-2:]) - int(name[-2:])) <= 1 and tile[:-2] == name[:-2]),
            name,
        )
        tiles.setdefault(first_name, []).extend(files)
    assert [len(files) for files in tiles.values()] == [16] * GROUPS
    return {name: tuple(files) for name, files in tiles.items()}


@pytest.fixture(scope="session")
def spool(sky: Mapping[str, tuple[Path, ...]]) -> Spool:
    """Return the groups that no test has used yet."""
    return Spool(dict(sky))
