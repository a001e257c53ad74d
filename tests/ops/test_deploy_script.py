"""ops/deploy.sh: well-formed, and one clear line when something that it needs is not there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = ("ops/deploy.sh", "scripts/setup.sh", "scripts/run_conversion.sh", ".ci/run")
NEEDED = ("dirname", "sed", "tail", "id", "sh", "grep", "od", "tr", "cp")


def deploy(checkout: Path, *arguments: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    return subprocess.run(
        [str(checkout / "ops/deploy.sh"), *arguments], env={"PATH": path}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH with the plainest programs only."""
    for name in NEEDED:
        found = shutil.which(name)
        assert found
        (tmp_path / name).symlink_to(found)
    return str(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_shell_can_read_it(checkout: Path, script: str) -> None:
    subprocess.run(["sh", "-n", script], cwd=checkout, check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed here")
def test_shellcheck_finds_no_fault(checkout: Path) -> None:
    outcome = subprocess.run(["shellcheck", "ops/deploy.sh"], cwd=checkout, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize("arguments", [(), ("kubernetes",), ("docker", "now")])
def test_usage(checkout: Path, arguments: tuple[str, ...]) -> None:
    outcome = deploy(checkout, *arguments)
    assert outcome.returncode == 2
    assert "ops/deploy.sh docker" in outcome.stderr
    assert "ops/deploy.sh systemd" in outcome.stderr


def test_no_docker_is_one_line(checkout: Path, bare_path: str) -> None:
    outcome = deploy(checkout, "docker", path=bare_path)
    assert outcome.returncode == 1
    assert outcome.stdout == ""
    assert outcome.stderr.splitlines() == [
        "deploy: docker is not installed; install Docker Engine with its compose and buildx plugins"
    ]


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs here: it would be a real installation")
def test_each_missing_prerequisite_is_one_line(checkout: Path, bare_path: str) -> None:
    outcome = deploy(checkout, "systemd", path=bare_path)
    assert outcome.returncode == 1
    assert outcome.stdout == ""
    said = outcome.stderr.splitlines()
    assert all(line.startswith("deploy: ") for line in said)
    assert any("systemd is not the init system here" in line for line in said)
    assert any("Python 3.11" in line for line in said)


@pytest.mark.engine
def test_secrets_are_made_once_and_a_wrong_directory_is_named(checkout: Path, tmp_path: Path) -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no container engine answers here")
    shutil.copytree(checkout / "ops", tmp_path / "ops", ignore=shutil.ignore_patterns(".env"))
    settings = tmp_path / "ops/docker/.env"
    example = settings.with_name(".env.example").read_text(encoding="utf-8")
    relative = example.replace("CONTIMG_INPUT_DIR=/var/lib", "CONTIMG_INPUT_DIR=var/lib").replace(
        "=/var", f"={tmp_path}/var"
    )
    settings.with_name(".env.example").write_text(relative, encoding="utf-8")

    outcomes = [deploy(tmp_path, "docker")]
    made = settings.read_text(encoding="utf-8")
    outcomes.append(deploy(tmp_path, "docker"))

    wrong = "deploy: ops/docker/.env: CONTIMG_INPUT_DIR=var/lib/contimg/incoming: must be an absolute path"
    assert [(one.returncode, one.stderr.strip()) for one in outcomes] == [(1, wrong)] * 2
    assert settings.read_text(encoding="utf-8") == made
    assert settings.stat().st_mode & 0o777 == 0o600
    given = dict(line.split("=", 1) for line in made.splitlines() if line and not line.startswith("#"))
    assert re.fullmatch(r"[0-9a-f]{48}", given["CONTIMG_TOKEN"])
    assert re.fullmatch(r"contimg:[0-9a-f]{48}", given["FLOWER_BASIC_AUTH"])
    assert given["CONTIMG_TOKEN"] not in given["FLOWER_BASIC_AUTH"]
    assert int(given["CONTIMG_UID"]) > 0
    assert (tmp_path / "var/lib/contimg/products").is_dir()
