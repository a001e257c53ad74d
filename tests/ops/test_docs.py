"""Commands in the documentation: each is parsed by the program that runs it; those without effect are run."""

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

from contimg.store import Store

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
# Values for the placeholders of the documentation.
EXAMPLES = {
    "START": "2026-02-22T23:00:00", "END": "2026-02-23T00:00:00", "NODE": "node-1", "OPTIONS": "", "...": "",
    "KEY=VALUE": "max_workers=2", "N": "2", "DIR": "state", "COMMAND": "status",
}  # fmt: skip
SOURCE_DIRECTORIES = ("contimg/", "workers/", "web/", "ops/", "scripts/", "benchmarks/", "tests/")
# Example of a new stage in the documentation.
EXAMPLE_PATHS = {"contimg/mosaic.py", "contimg/cli/commands/mosaic.py"}
# Commands that are safe to run without a stream.
HARMLESS = {
    ("contimg", "status"), ("contimg", "doctor"), ("contimg", "groups", "list"), ("contimg", "config", "check"),
    ("contimg", "config", "show"), ("contimg", "db", "current"), ("contimg", "pause"), ("contimg", "resume"),
}  # fmt: skip


def commands(page: Path) -> Iterator[str]:
    """Yield the command lines of a page: lines of its code blocks, and inline code that begins with a program."""
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
    """Return the words of a command line without its comment, with values for placeholders."""
    words = shlex.split(re.split(r"\s{2,}|\s#|;|\s>\s", command.strip())[0])
    words = words[1:] if words[0] == "sudo" else words
    filled = [EXAMPLES.get(word.strip("[]"), word) for word in words]
    return [word.removeprefix(".venv/bin/") for word in filled if word]


COMMANDS = sorted({(page.name, shlex.join(words_of(line))) for page in PAGES if page.name != "reference.md"
               for line in commands(page)})  # fmt: skip


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_commands_are_valid(page: str, command: str) -> None:
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
    """Check a command of this project; prose may name a command without its arguments."""
    try:
        check_command(words)
    except click.MissingParameter:
        assert len(words) == 2, words
    except click.exceptions.Exit:
        assert words[-1] == "--help"


def check_units(words: list[str]) -> None:
    units = {path.name for path in (ROOT / "ops/systemd").iterdir()}
    for word in words:
        if word.startswith("contimg-") or word.startswith("contimg."):
            name = word if "." in word or "*" in word else f"{word}.service"
            assert "*" in name or re.sub(r"@.*\.", "@.", name) in units, f"{word}: no such unit"


def check_docker(words: list[str]) -> None:
    """Check options by the help of compose; services and files must exist."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    services = set(re.findall(r"^  ([a-z-]+):$", text, re.MULTILINE))
    if words[1] != "compose":
        for word in words:
            assert not word.startswith("ops/") or (ROOT / word).is_file()
        return
    if words == ["docker", "compose", "down"]:
        return
    assert words[2:4] == ["--env-file", "ops/docker/.env"]
    verb, arguments = words[4], words[5:]
    if JUDGES["docker compose"].is_present():
        usage = subprocess.run(["docker", "compose", verb, "--help"], capture_output=True, text=True, check=True).stdout
        options = arguments[
            : next(
                (index + 1 for index, word in enumerate(arguments) if word in services and verb in ("exec", "run")),
                None,
            )
        ]
        assert all(
            f"{word.partition('=')[0]} " in usage or f"{word}," in usage for word in options if word.startswith("--")
        )
    names = [word for word in arguments if not word.startswith("-") and "=" not in word]
    if names:
        assert names[0] in services
    if verb in ("exec", "run") and "contimg" in arguments:
        check_command(arguments[arguments.index("contimg") :])


@pytest.mark.parametrize("command", [command for _, command in COMMANDS if tuple(shlex.split(command)) in HARMLESS])
def test_harmless_commands_succeed(command: str, tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    Store.open(tmp_path / "state/contimg.sqlite3").close()
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
def test_link_targets_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)\)", text):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_source_paths_exist(page: Path) -> None:
    """Check paths below a source directory and paths of Python files."""
    paths = re.findall(r"`([\w./-]+)`", page.read_text(encoding="utf-8"))
    sources = {path for path in paths if path.startswith(SOURCE_DIRECTORIES) or path.endswith(".py")}
    assert not {path for path in sources - EXAMPLE_PATHS if not is_source(ROOT / path)}


def is_source(path: Path) -> bool:
    """Return whether a path is a file, or a directory with more than compiled modules."""
    return path.is_file() or any(file.is_file() and "__pycache__" not in file.parts for file in path.rglob("*"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variables_are_known(page: Path) -> None:
    variables = set(re.findall(r"\b(?:CONTIMG|PIPELINE)_[A-Z0-9_]+\b", page.read_text(encoding="utf-8")))
    reference = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    keys = {f"CONTIMG_{key.upper()}" for key in re.findall(r"^\| `([a-z_]+)` \|", reference, re.MULTILINE)}
    files = (ROOT / "docker-compose.yml", ROOT / "ops/docker/stack.yml", *(ROOT / "ops/systemd").glob("*.service"))
    other_texts = "\n".join(path.read_text(encoding="utf-8") for path in (*files, *(ROOT / "tests").glob("**/*.py")))
    unknown = {name for name in variables - keys if f"`{name}`" not in reference and name not in other_texts}
    assert not {name for name in unknown if not name.endswith("_")}
