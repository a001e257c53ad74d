"""The deployment run for real: an engine, a copy of the checkout, a sky to process. `make test-deploy` runs this."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from deployed import Spool
from judges import require

# Builds gigabytes and starts daemons: not for every run of the tests.
collect_ignore_glob = [] if os.environ.get("CONTIMG_TEST_DEPLOY") else ["test_*.py"]

PROGRAM = (
    "contimg", "workers", "web", "ops", "scripts", "docker-compose.yml", ".dockerignore", "pyproject.toml",
    "requirements.lock", "README.md", "LICENSE",
)  # fmt: skip
GROUPS = 11  # as many as the tests take
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".env", "contimg.env")


def answers() -> bool:
    """Whether a container engine answers."""
    return shutil.which("docker") is not None and not subprocess.run(["docker", "info"], capture_output=True).returncode


@pytest.fixture(scope="session")
def engine() -> None:
    """A container engine that answers; brought up where that is possible, otherwise the reason to skip."""
    script = os.environ.get("CONTIMG_TEST_ENGINE", "")
    if script:  # it may have more to make than the engine, and does nothing twice
        brought = subprocess.run([script], capture_output=True, text=True, check=False)
        if brought.returncode:
            words = (brought.stderr or brought.stdout).strip().splitlines()
            pytest.skip(f"{script} brought no engine up: {words[-1] if words else f'status {brought.returncode}'}")
    elif not answers() and os.geteuid() == 0 and Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "start", "docker"], check=False)
    if not answers():
        pytest.skip("no container engine answers, and CONTIMG_TEST_ENGINE names no script that brings one up")
    require("docker compose")


@pytest.fixture(scope="session")
def program(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that no settings of this one are read or written."""
    copy = tmp_path_factory.mktemp("program")
    for name in PROGRAM:
        if (checkout / name).is_dir():
            shutil.copytree(checkout / name, copy / name, ignore=LEFT_OUT)
        else:
            shutil.copy(checkout / name, copy / name)
    return copy


@pytest.fixture(scope="session")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Path, ...]]:
    """Groups of subband files by id: 3C48's transit first, then targets."""
    directory = tmp_path_factory.mktemp("sky")
    size = (f"--groups={GROUPS}", "--antennas=24", "--channels=192", "--integrations=12")
    subprocess.run(
        [sys.executable, "-m", "contimg", "simulate", str(directory), *size], check=True, capture_output=True
    )
    groups: dict[str, list[Path]] = {}
    for path in sorted(directory.glob("*.hdf5")):
        groups.setdefault(path.name.rpartition("_")[0], []).append(path)
    found: dict[str, list[Path]] = {}
    for name, files in sorted(groups.items()):  # a second's spread between the clocks of one group
        same = next((one for one in found if abs(int(one[-2:]) - int(name[-2:])) <= 1 and one[:-2] == name[:-2]), name)
        found.setdefault(same, []).extend(files)
    assert [len(files) for files in found.values()] == [16] * GROUPS
    return {name: tuple(files) for name, files in found.items()}


@pytest.fixture(scope="session")
def spool(sky: Mapping[str, tuple[Path, ...]]) -> Spool:
    """The groups that no test has used yet."""
    return Spool(dict(sky))
