"""Find words that `docs/glossary.md` rules out: in names, comments, docstrings, messages, templates and pages.

usage: scripts/check_words.py [PATH...]     default: every tracked file; exit status 1 when there is a finding
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT_SUFFIXES = frozenset({".py", ".md", ".html", ".js", ".css", ".sh", ".toml", ".yml", ".service", ".conf"})
# Pronouns and words that do not name what a variable holds.
VAGUE_NAMES = frozenset(
    {"one", "ones", "other", "others", "each", "it", "found", "made", "said", "asked", "seen", "given", "wanted",
     "there", "look", "told", "mine", "theirs"}
)  # fmt: skip
WORDS = re.compile(
    r"\b(anew|set aside|sets aside|spoils?|spoilt|spoiled|begun|he|his|him|she|her|aboard|deceives?|deceived|"
    r"this house|the house|tells? (?:him|them|us|you)|gives? up the ghost|riddle)\b",
    re.IGNORECASE,
)
EXEMPT = frozenset({"docs/glossary.md", "scripts/check_words.py"})


def vague_names(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and name of each variable, argument or attribute target that is a vague word.

    Parameters
    ----------
    path : a Python file.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                pass
            case ast.ExceptHandler(name=str(name)):
                pass
            case _:
                continue
        if name.strip("_") in VAGUE_NAMES:
            yield node.lineno, f"the name `{name}` does not say what it holds"


def idioms(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each word that the glossary rules out.

    Parameters
    ----------
    path : a text file.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        for match in WORDS.finditer(line):
            yield number, f"`{match[0]}` is not plain technical English"


def main(arguments: list[str]) -> int:
    """Print each finding as `path:line: text` and return the exit status."""
    names = (
        arguments
        or subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    )
    count = 0
    for name in names:
        path = ROOT / name
        if name in EXEMPT or path.suffix not in TEXT_SUFFIXES or not path.is_file():
            continue
        findings = [*idioms(path), *(vague_names(path) if path.suffix == ".py" else ())]
        for line, text in sorted(findings):
            print(f"{name}:{line}: {text}; see docs/glossary.md")
        count += len(findings)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
