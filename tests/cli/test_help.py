"""Help by section, suggestions for misspelt words, and completion in the shells."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from contimg.cli import COMMANDS, contimg

ENVIRON = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": "/nonexistent", "COLUMNS": "80"}


def groups(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of each group of commands."""
    yield words
    for name in group.list_commands(context := click.Context(group)):
        if isinstance(subgroup := group.get_command(context, name), click.Group):
            yield from groups(subgroup, (*words, name))


@pytest.mark.parametrize("words", list(groups(contimg)), ids=" ".join)
def test_each_command_has_one_whole_line(words):
    listing = CliRunner().invoke(contimg, [*words, "--help"], terminal_width=80).stdout
    lines = listing[listing.rindex("--help") :].splitlines()[1:]
    assert "..." not in "".join(lines)
    rows = [line for line in lines if line.startswith("  ")]
    assert all(re.match(r"  [a-z-]+ +[A-Z].*\.$", line) for line in rows), listing


def test_sections_are_listed_in_order():
    listing = CliRunner().invoke(contimg, ["--help"]).stdout
    sections = re.findall(r"^(\w+): .*:$", listing, re.MULTILINE)
    assert sections == ["Run", "Look", "Act", "Survey", "Data", "Admin"]
    names = re.findall(r"^  ([a-z]+)  ", listing, re.MULTILINE)
    assert names == [name for section in COMMANDS.values() for name in section]


def test_help_imports_no_command():
    text = (
        "import sys; from contimg.cli import contimg; contimg.main(['--help'], standalone_mode=False);"
        "print(*sys.modules)"
    )
    outcome = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True, env=ENVIRON)
    assert not {"sqlalchemy", "numpy", "celery", "flask", "pydantic"} & set(outcome.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        ("statsu", "status"),
        ("groups lst", "list"),
        ("groups list --stat failed", "--state"),
        ("groups list --state faild", "failed"),
        ("image x.ms --weighting brigs", "briggs"),
        ("completion bsh", "bash"),
    ],
)
def test_misspelt_word_is_corrected(words, suggestion, tmp_path):
    outcome = CliRunner().invoke(contimg, ["--state-dir", str(tmp_path), *words.split()])
    assert outcome.exit_code == 2
    assert re.search(rf"[Dd]id you mean.*{suggestion}", outcome.stderr), outcome.stderr


def test_misspelt_key_is_corrected(tmp_path):
    outcome = CliRunner().invoke(
        contimg, ["--state-dir", str(tmp_path / "state"), "config", "set", "max_worker=2"], standalone_mode=False
    )
    assert re.search(r"[Dd]id you mean 'max_workers'", str(outcome.exception))
    assert not (tmp_path / "state").exists()


def test_place_of_state_dir_is_explained():
    outcome = subprocess.run(
        [sys.executable, "-m", "contimg", "status", "--state-dir", "x"], env=ENVIRON, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert outcome.returncode == 2
    assert "contimg --state-dir DIR COMMAND" in outcome.stderr


# What is typed, and completions among those that are offered.
TYPED = {
    "sta": {"start", "status"},
    "groups ": {"list", "show", "retry", "discard"},
    "groups list --state f": {"failed"},
    "--state": {"--state-dir"},
}
COMPLETE = r"""
source completion.sh
COMP_WORDS=(contimg {words}); COMP_CWORD={index}
_contimg_completion contimg
printf '%s\n' "${{COMPREPLY[@]}}"
"""


def script(shell: str) -> str:
    return subprocess.run(
        ["contimg", "completion", shell], env=ENVIRON, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("typed", TYPED)
def test_bash_completes(typed, tmp_path):
    (tmp_path / "completion.sh").write_text(script("bash"))
    words = [*typed.split(), *([""] if typed.endswith(" ") else [])]
    text = COMPLETE.format(words=" ".join(word or "''" for word in words), index=len(words))
    completed = subprocess.run(["bash", "-c", text], env=ENVIRON, cwd=tmp_path, capture_output=True, text=True)
    assert completed.stderr == ""
    assert TYPED[typed] <= set(completed.stdout.split())


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_complete(shell):
    text = script(shell)
    assert f"_CONTIMG_COMPLETE={shell}_complete" in text
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=text, text=True, check=True)
    environ = ENVIRON | {"_CONTIMG_COMPLETE": f"{shell}_complete"}
    environ |= {"COMP_WORDS": "contimg groups ", "COMP_CWORD": "2" if shell == "zsh" else ""}
    completed = subprocess.run(["contimg"], env=environ, capture_output=True, text=True, check=False)
    assert {"list", "show", "retry", "discard"} <= set(re.split(r"[\s,]", completed.stdout))


def test_completion_of_a_command_imports_no_module():
    environ = ENVIRON | {"_CONTIMG_COMPLETE": "bash_complete", "COMP_WORDS": "contimg ", "COMP_CWORD": "1"}
    text = (
        "import sys; sys.argv = ['contimg']\nfrom contimg.cli import main\n"
        "try: main()\nfinally: print(len(set(sys.modules) & {'numpy', 'sqlalchemy', 'celery'}))"
    )
    completed = subprocess.run([sys.executable, "-c", text], env=environ, capture_output=True, text=True, check=False)
    lines = completed.stdout.split()
    assert lines[-1] == "0"
    assert "plain,status" in lines
