"""What the documentation tells people to type: each command understood by what would run it, the harmless ones run."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from deployment_files import check_command
from judges import JUDGES

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PROGRAMS = (
    "contimg",
    "celery",
    "ops/deploy.sh",
    "docker",
    "systemctl",
    "journalctl",
    "make",
    "sudo",
    "git",
    "scripts/",
)
# What a reader fills in, filled in.
EXAMPLES = {
    "START": "2026-02-22T23:00:00", "END": "2026-02-23T00:00:00", "NODE": "node-1", "OPTIONS": "", "...": "",
    "KEY=VALUE": "max_workers=2", "N": "2",
}  # fmt: skip
SOURCE_DIRECTORIES = ("contimg/", "workers/", "web/", "ops/", "scripts/", "benchmarks/", "tests/")
# A stage that the documentation adds as an example.
EXAMPLE_PATHS = {"contimg/mosaic.py", "contimg/cli/commands/mosaic.py"}
# These look and change nothing; they are run where there is no stream yet.
HARMLESS = {
    ("contimg", "status"), ("contimg", "doctor"), ("contimg", "groups", "list"), ("contimg", "config", "check"),
    ("contimg", "config", "show"), ("contimg", "db", "current"), ("contimg", "pause"), ("contimg", "resume"),
}  # fmt: skip


def commands(page: Path) -> Iterator[str]:
    """The command lines of a page: whole lines of its blocks, and what is set as code and begins with a program."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith((*PROGRAMS, ".venv/bin/")):
                yield from re.split(" / (?=contimg )", line)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`\n]+)`", prose):
        if code.startswith(PROGRAMS) and " " in code and not re.search("[…|]| / ", code):
            yield code


def words_of(command: str) -> list[str]:
    """The words of a command line, its comment left out and its examples filled in."""
    words = shlex.split(re.split(r"\s{2,}|\s#|;", command.strip())[0])
    words = words[1:] if words[0] == "sudo" else words
    filled = [EXAMPLES.get(word.strip("[]"), word) for word in words]
    return [word.removeprefix(".venv/bin/") for word in filled if word]


TOLD = sorted({(page.name, shlex.join(words_of(line))) for page in PAGES if page.name != "reference.md"
               for line in commands(page)})  # fmt: skip


@pytest.mark.parametrize(("page", "command"), TOLD)
def test_what_runs_it_understands_it(page: str, command: str) -> None:
    words = shlex.split(command)
    match words[0]:
        case "contimg" | "celery":
            check_ours(words)
        case "ops/deploy.sh":
            outcome = subprocess.run([*words, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
            assert outcome.returncode == 0, outcome.stderr
        case "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            assert {word for word in words[1:] if "=" not in word} <= set(targets)
        case "systemctl" | "journalctl":
            check_units(words)
        case "docker":
            check_docker(words)
        case "git":
            assert words == ["git", "pull"]
        case script:
            assert (ROOT / script).is_file()


def check_ours(words: list[str]) -> None:
    """Prose may name a command without what it takes."""
    try:
        check_command(words)
    except click.MissingParameter:
        assert len(words) == 2, words
    except click.exceptions.Exit:
        assert words[-1] == "--help"


def check_units(words: list[str]) -> None:
    there = {path.name for path in (ROOT / "ops/systemd").iterdir()}
    for word in words:
        if word.startswith("contimg-") or word.startswith("contimg."):
            name = word if "." in word or "*" in word else f"{word}.service"
            assert "*" in name or re.sub(r"@.*\.", "@.", name) in there, f"{word}: no such unit"


def check_docker(words: list[str]) -> None:
    """Compose is asked whether it knows the options; services and files must be there."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    services = set(re.findall(r"^  ([a-z-]+):$", text, re.MULTILINE))
    if words[1] != "compose":
        for word in words:
            assert not word.startswith("ops/") or (ROOT / word).is_file()
        return
    if words == ["docker", "compose", "down"]:
        return
    assert words[2:4] == ["--env-file", "ops/docker/.env"]
    verb, rest = words[4], words[5:]
    if JUDGES["docker compose"].is_present():
        known = subprocess.run(["docker", "compose", verb, "--help"], capture_output=True, text=True, check=True).stdout
        ours = rest[
            : next((at + 1 for at, word in enumerate(rest) if word in services and verb in ("exec", "run")), None)
        ]
        assert all(
            f"{word.partition('=')[0]} " in known or f"{word}," in known for word in ours if word.startswith("--")
        )
    named = [word for word in rest if not word.startswith("-") and "=" not in word]
    if named:
        assert named[0] in services
    if verb in ("exec", "run") and "contimg" in rest:
        check_command(rest[rest.index("contimg") :])


@pytest.mark.parametrize("command", [command for _, command in TOLD if tuple(shlex.split(command)) in HARMLESS])
def test_what_only_looks_runs(command: str, tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    environ = {**os.environ, "PIPELINE_STATE_DIR": str(tmp_path / "state")}
    outcome = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr + outcome.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)\)", text):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_source_paths_exist(page: Path) -> None:
    """Source paths are those below a source directory, and all of Python."""
    paths = re.findall(r"`([\w./-]+)`", page.read_text(encoding="utf-8"))
    sources = {path for path in paths if path.startswith(SOURCE_DIRECTORIES) or path.endswith(".py")}
    assert not {path for path in sources - EXAMPLE_PATHS if not is_source(ROOT / path)}


def is_source(path: Path) -> bool:
    """Directories that only hold compiled modules are left from a checkout of something older."""
    return path.is_file() or any(file.is_file() and "__pycache__" not in file.parts for file in path.rglob("*"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variables_are_ones_that_are_read(page: Path) -> None:
    asked = set(re.findall(r"\b(?:CONTIMG|PIPELINE)_[A-Z0-9_]+\b", page.read_text(encoding="utf-8")))
    reference = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    keys = {f"CONTIMG_{key.upper()}" for key in re.findall(r"^\| `([a-z_]+)` \|", reference, re.MULTILINE)}
    files = (ROOT / "docker-compose.yml", ROOT / "ops/docker/stack.yml", *(ROOT / "ops/systemd").glob("*.service"))
    elsewhere = "\n".join(path.read_text(encoding="utf-8") for path in (*files, *(ROOT / "tests").glob("**/*.py")))
    unknown = {name for name in asked - keys if f"`{name}`" not in reference and name not in elsewhere}
    assert not {name for name in unknown if not name.endswith("_")}
