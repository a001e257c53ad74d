"""ops/deploy.sh: valid shell, and one line for each missing prerequisite."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

SCRIPTS = ("ops/deploy.sh", "scripts/setup.sh", "scripts/run_conversion.sh", ".ci/run")
PROGRAMS = (
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
    """Copy the scripts and examples with ports that are free, without the settings of this checkout."""
    shutil.copytree(checkout / "ops", tmp_path / "copy/ops", ignore=shutil.ignore_patterns(".env", "contimg.env"))
    for example in (tmp_path / "copy/ops").rglob("*.env.example"):
        lines = [line for line in example.read_text(encoding="utf-8").splitlines() if "_PORT=" not in line]
        with socket.create_server(("127.0.0.1", 0)) as panel, socket.create_server(("127.0.0.1", 0)) as flower:
            lines.append(f"CONTIMG_WEB_PORT={panel.getsockname()[1]}")
            lines.append(f"CONTIMG_FLOWER_PORT={flower.getsockname()[1]}")
        example.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "copy"


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """Return a PATH with basic programs only."""
    for name in PROGRAMS:
        program = shutil.which(name)
        assert program
        (tmp_path / name).symlink_to(program)
    return str(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_shell_parses_the_scripts(checkout: Path, script: str) -> None:
    subprocess.run(["sh", "-n", script], cwd=checkout, check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed here")
def test_shellcheck(checkout: Path) -> None:
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


def test_missing_docker_is_one_line(copy: Path, bare_path: str) -> None:
    outcome = deploy(copy, "--dry-run", path=bare_path)
    assert outcome.returncode == 1
    (line,) = outcome.stderr.splitlines()
    assert line.startswith("deploy: docker ")


@pytest.mark.parametrize("engine", ["docker", "systemd"])
def test_port_in_use_without_the_engine_is_one_line(copy: Path, bare_path: str, engine: str) -> None:
    example = {"docker": "docker/.env.example", "systemd": "systemd/contimg.env.example"}[engine]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with (copy / "ops" / example).open("a", encoding="utf-8") as settings:
            settings.write(f"CONTIMG_WEB_PORT={port}\n")
        outcome = deploy(copy, "--engine", engine, "--dry-run", path=bare_path)
    assert outcome.returncode == 1
    lines = outcome.stderr.splitlines()
    assert all(line.startswith("deploy: ") for line in lines)
    assert sum(f"CONTIMG_WEB_PORT={port}" in line for line in lines) == 1


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs: the script would install the service")
def test_each_missing_prerequisite_is_one_line(copy: Path, bare_path: str) -> None:
    outcome = deploy(copy, "--engine", "systemd", "--dry-run", path=bare_path)
    assert outcome.returncode == 1
    lines = outcome.stderr.splitlines()
    assert all(line.startswith("deploy: ") for line in lines)
    assert any("systemd" in line for line in lines)
    assert any("Python 3.11" in line for line in lines)


def settings_of(copy: Path, **changes: str) -> Path:
    """Write a settings file from the example of the units, with paths below the copy."""
    example = (copy / "ops/systemd/contimg.env.example").read_text(encoding="utf-8")
    unchanged = [line for line in example.splitlines() if line.partition("=")[0] not in changes]
    lines = [line.replace("=/var/lib", f"={copy}/var") for line in unchanged] + [f"{k}={v}" for k, v in changes.items()]
    path = copy / "deployment.env"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_all_problems_are_listed_and_nothing_is_changed(copy: Path) -> None:
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can create a directory of another owner")
def test_directory_of_another_owner_is_named_with_its_remedy(copy: Path) -> None:
    foreign = copy / "foreign"
    foreign.mkdir(mode=0o700)
    settings = settings_of(copy, CONTIMG_OUTPUT_DIR=str(foreign), CONTIMG_INPUT_DIR=str(foreign))
    settings.write_text(settings.read_text() + "CONTIMG_UID=4321\nCONTIMG_GID=4321\n")
    outcome = deploy(copy, "--engine", "docker", "--env-file", str(settings), "--dry-run")
    assert re.search(rf"CONTIMG_OUTPUT_DIR={foreign}\b.*\b4321\b.*chown 4321:4321 {foreign}", outcome.stderr)
    assert re.search(rf"CONTIMG_INPUT_DIR={foreign}\b.*\b4321\b", outcome.stderr)
    foreign.chmod(0o755)
    outcome = deploy(copy, "--engine", "docker", "--env-file", str(settings), "--dry-run")
    assert f"CONTIMG_INPUT_DIR={foreign}" not in outcome.stderr, "it is readable now"
    assert re.search(rf"CONTIMG_OUTPUT_DIR={foreign}\b.*\b4321\b", outcome.stderr)


def test_secrets_are_generated_once(copy: Path) -> None:
    settings = copy / "ops/docker/.env"
    example = settings.with_name(".env.example")
    relative = example.read_text(encoding="utf-8").replace("CONTIMG_INPUT_DIR=/var/lib", "CONTIMG_INPUT_DIR=var/lib")
    example.write_text(relative.replace("=/var", f"={copy}/var"), encoding="utf-8")
    outcomes = [deploy(copy)]
    content = settings.read_text(encoding="utf-8")
    outcomes.append(deploy(copy))

    for outcome in outcomes:
        assert outcome.returncode == 1
        assert "deploy: CONTIMG_INPUT_DIR=var/lib/contimg/incoming" in outcome.stderr
    assert settings.read_text(encoding="utf-8") == content
    assert settings.stat().st_mode & 0o777 == 0o600
    values = dict(line.split("=", 1) for line in content.splitlines() if line and not line.startswith("#"))
    assert re.fullmatch(r"[0-9a-f]{48}", values["CONTIMG_TOKEN"])
    assert re.fullmatch(r"contimg:[0-9a-f]{48}", values["FLOWER_BASIC_AUTH"])
    assert values["CONTIMG_TOKEN"] not in values["FLOWER_BASIC_AUTH"]
    assert int(values["CONTIMG_UID"]) > 0
    assert values["REPO_ROOT"] == str(copy)
    assert not (copy / "var").exists()
