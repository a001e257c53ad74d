"""ops/deploy.sh: well-formed, and one clear line when something that it needs is not there."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

SCRIPTS = ("ops/deploy.sh", "scripts/setup.sh", "scripts/run_conversion.sh", ".ci/run")
NEEDED = (
    "dirname", "sed", "tail", "id", "sh", "grep", "od", "tr", "cp", "cat", "mktemp", "rm", "awk", "df", "stat",
)  # fmt: skip


def deploy(
    checkout: Path, *arguments: str, path: str = os.environ["PATH"], **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    return subprocess.run(
        [str(checkout / "ops/deploy.sh"), *arguments],
        env={"PATH": path, "DEPLOY_MIN_FREE_GB": "0", **environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def copy(checkout: Path, tmp_path: Path) -> Path:
    """The script and its examples, away from this checkout's own settings."""
    shutil.copytree(checkout / "ops", tmp_path / "copy/ops", ignore=shutil.ignore_patterns(".env", "contimg.env"))
    return tmp_path / "copy"


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
    outcome = subprocess.run(
        ["shellcheck", "-x", "ops/deploy.sh", *map(str, Path(checkout, "ops/deploy").glob("*.sh"))],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize("arguments", [("docker",), ("--mode", "night"), ("--engine", "kubernetes"), ("--env-file",)])
def test_usage(checkout: Path, arguments: tuple[str, ...]) -> None:
    outcome = deploy(checkout, *arguments)
    assert outcome.returncode == 2
    assert arguments[-1] in outcome.stderr.splitlines()[0]
    assert re.search(r"--mode .*streaming.*manual.*both", outcome.stderr)


def test_no_docker_is_one_line(copy: Path, bare_path: str) -> None:
    outcome = deploy(copy, "--dry-run", path=bare_path)
    assert outcome.returncode == 1
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("deploy: docker ")


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs here: it would be a real installation")
def test_each_missing_prerequisite_is_one_line(copy: Path, bare_path: str) -> None:
    outcome = deploy(copy, "--engine", "systemd", "--dry-run", path=bare_path)
    assert outcome.returncode == 1
    lines = outcome.stderr.splitlines()
    assert all(line.startswith("deploy: ") for line in lines)
    assert any("systemd" in line for line in lines)
    assert any("Python 3.11" in line for line in lines)


def settings_of(copy: Path, **changes: str) -> Path:
    """A settings file from the example of the units, with paths below the copy."""
    example = (copy / "ops/systemd/contimg.env.example").read_text(encoding="utf-8")
    kept = [line for line in example.splitlines() if line.partition("=")[0] not in changes]
    lines = [line.replace("=/var/lib", f"={copy}/var") for line in kept] + [f"{k}={v}" for k, v in changes.items()]
    path = copy / "given.env"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_all_problems_are_one_list_and_nothing_is_touched(copy: Path) -> None:
    (copy / "a-file").touch()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings = settings_of(
            copy,
            PIPELINE_STATE_DIR="",
            CONTIMG_INPUT_DIR="var/incoming",
            CONTIMG_OUTPUT_DIR=f"{copy}/a-file",
            CONTIMG_SCRATCH_DIR=f"{copy}/a-file/scratch",
            CONTIMG_WEB_PORT=str(listening.getsockname()[1]),
            CONTIMG_MAX_WORKERS="many",
        )
        before = sorted(copy.rglob("*")), settings.read_text()
        arguments = ("--engine", "process", "--env-file", str(settings))
        outcome = deploy(copy, *arguments, "--dry-run", DEPLOY_MIN_FREE_GB="99999999")
    assert outcome.returncode == 1
    lines = [line.removeprefix("deploy: ") for line in outcome.stderr.splitlines()]
    assert [re.match(r"\w+", line)[0] for line in lines[:-1]] == [
        "PIPELINE_STATE_DIR", "CONTIMG_INPUT_DIR", "CONTIMG_OUTPUT_DIR", "CONTIMG_SCRATCH_DIR",
        "CONTIMG_MAX_WORKERS", "CONTIMG_WEB_PORT", "CONTIMG_OUTPUT_DIR",
    ]  # fmt: skip
    assert re.match(r"7\b", lines[-1])
    assert (sorted(copy.rglob("*")), settings.read_text()) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory somebody else's")
def test_a_directory_of_another_owner_is_named_with_its_remedy(copy: Path) -> None:
    theirs = copy / "theirs"
    theirs.mkdir(mode=0o700)
    settings = settings_of(copy, CONTIMG_OUTPUT_DIR=str(theirs), CONTIMG_INPUT_DIR=str(theirs))
    settings.write_text(settings.read_text() + "CONTIMG_UID=4321\nCONTIMG_GID=4321\n")
    outcome = deploy(copy, "--engine", "docker", "--env-file", str(settings), "--dry-run")
    assert re.search(rf"CONTIMG_OUTPUT_DIR={theirs}\b.*\b4321\b.*chown 4321:4321 {theirs}", outcome.stderr)
    assert re.search(rf"CONTIMG_INPUT_DIR={theirs}\b.*\b4321\b", outcome.stderr)
    theirs.chmod(0o755)
    outcome = deploy(copy, "--engine", "docker", "--env-file", str(settings), "--dry-run")
    assert f"CONTIMG_INPUT_DIR={theirs}" not in outcome.stderr, "it can be read now"
    assert re.search(rf"CONTIMG_OUTPUT_DIR={theirs}\b.*\b4321\b", outcome.stderr)


def test_secrets_are_made_once(copy: Path) -> None:
    settings = copy / "ops/docker/.env"
    example = settings.with_name(".env.example")
    relative = example.read_text(encoding="utf-8").replace("CONTIMG_INPUT_DIR=/var/lib", "CONTIMG_INPUT_DIR=var/lib")
    example.write_text(relative.replace("=/var", f"={copy}/var"), encoding="utf-8")
    outcomes = [deploy(copy)]
    made = settings.read_text(encoding="utf-8")
    outcomes.append(deploy(copy))

    for outcome in outcomes:
        assert outcome.returncode == 1
        assert "deploy: CONTIMG_INPUT_DIR=var/lib/contimg/incoming" in outcome.stderr
    assert settings.read_text(encoding="utf-8") == made
    assert settings.stat().st_mode & 0o777 == 0o600
    given = dict(line.split("=", 1) for line in made.splitlines() if line and not line.startswith("#"))
    assert re.fullmatch(r"[0-9a-f]{48}", given["CONTIMG_TOKEN"])
    assert re.fullmatch(r"contimg:[0-9a-f]{48}", given["FLOWER_BASIC_AUTH"])
    assert given["CONTIMG_TOKEN"] not in given["FLOWER_BASIC_AUTH"]
    assert int(given["CONTIMG_UID"]) > 0
    assert given["REPO_ROOT"] == str(copy)
    assert not (copy / "var").exists()
