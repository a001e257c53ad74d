"""A deployed stream seen from outside: files go in, the `contimg` command inside says what became of them."""

import json
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

STAGES = ("convert", "calibrate", "image")
Run = Callable[..., subprocess.CompletedProcess[str]]


def run(*command: str, cwd: Path | None = None, environ: Mapping[str, str] | None = None, check: bool = True,
        limit_s: float = 600) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run a command to its end; with `check`, its words are the failure's."""
    outcome = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=limit_s
    )
    assert not check or outcome.returncode == 0, f"{' '.join(command)}\n{outcome.stdout}\n{outcome.stderr}"
    return outcome


def until(look: Callable[[], Any], limit_s: float, what: str) -> Any:
    """What `look` says once it is true; a failure that names `what` after the limit."""
    deadline = time.monotonic() + limit_s
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(0.5)
    return seen


def answer_of(url: str) -> Any:
    """The JSON that an address of the API answers."""
    with urlopen(url, timeout=10) as answer:
        return json.load(answer)


def wait_for_stage(store: Path, stage: str, limit_s: float = 240) -> None:
    """Until a worker is at a stage, seen in the SQLite file itself: the moment may last a tenth of a second."""
    deadline = time.monotonic() + limit_s
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as reading:
        query = "SELECT count(*) FROM groups WHERE state = 'in_progress' AND stage = ?"
        while not reading.execute(query, (stage,)).fetchone()[0]:
            assert time.monotonic() < deadline, f"not within {limit_s:g} s: {stage} is under way"
            time.sleep(0.01)


def command_of(url: str, token: str) -> Any:
    """What the API answers to a command."""
    asked = Request(url, method="POST", data=b"{}", headers={
        "Authorization": f"Bearer {token}", "Content-Type": "application/json",
    })  # fmt: skip
    with urlopen(asked, timeout=200) as answer:
        return json.load(answer)


@dataclass
class Spool:
    """Groups to deliver, each once."""

    groups: dict[str, tuple[Path, ...]]

    def take(self, number: int) -> dict[str, tuple[Path, ...]]:
        """The next so many groups, 3C48's first of all."""
        names = sorted(self.groups)[:number]
        return {name: self.groups.pop(name) for name in names}


@dataclass
class Deployed:
    """One deployment.

    Attributes
    ----------
    incoming : its incoming directory, as this process sees it.
    inside : runs a command where the program is, with its settings.
    """

    incoming: Path
    inside: Run
    delivered: list[str] = field(default_factory=list)

    def deliver(self, groups: Mapping[str, Sequence[Path]]) -> list[str]:
        """Let groups arrive as the correlator writes them."""
        for name, files in groups.items():
            for path in files:
                unfinished = self.incoming / path.name.replace(".hdf5", "_incomplete.hdf5")
                shutil.copy(path, unfinished)
                unfinished.rename(self.incoming / path.name)
            self.delivered.append(name)
        return list(groups)

    def groups(self) -> dict[str, dict[str, Any]]:
        """Every group of the store by the time of its first file."""
        return {one["id"]: one for one in json.loads(self.inside("contimg", "groups", "list", "--json").stdout)}

    def wait_until_completed(self, limit_s: float = 600) -> None:
        """Every group that was delivered has its image."""

        def done() -> bool:
            states = Counter(one["state"] for one in self.groups().values())
            assert not states["failed"], self.inside("contimg", "status").stdout
            return states["completed"] == len(self.delivered)

        until(done, limit_s, f"{len(self.delivered)} groups completed; {self.groups()}")

    def history(self, group: str) -> dict[str, Any]:
        """What `contimg groups show` tells of a group."""
        told: dict[str, Any] = json.loads(self.inside("contimg", "groups", "show", group, "--json").stdout)
        return told

    def check_nothing_lost_nothing_twice(self) -> None:
        """Every group has its products on disk, and each of its stages was committed exactly once."""
        groups = self.groups()
        assert len(groups) == len(self.delivered)
        for group in groups:
            told = self.history(group)
            committed = Counter(one["stage"] for one in told["runs"] if one["outcome"] == "committed")
            assert committed == dict.fromkeys(STAGES, 1), told["runs"]
            for path in (told["measurement_set"]["path"], told["image"]["fits_path"], told["image"]["png_path"]):
                assert self.inside("test", "-e", path, check=False).returncode == 0, f"{path} is not there"
