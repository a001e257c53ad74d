"""A deployed stream under test: files are delivered, and the `contimg` command in it reports their state."""

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
SWARM_LABEL = "contimg.test"  # of the node of a swarm that these tests create
Run = Callable[..., subprocess.CompletedProcess[str]]


def run(*command: str, cwd: Path | None = None, environ: Mapping[str, str] | None = None, check: bool = True,
        limit_s: float = 600) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run a command to its end; with `check`, fail with its output."""
    outcome = subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=limit_s
    )
    assert not check or outcome.returncode == 0, f"{' '.join(command)}\n{outcome.stdout}\n{outcome.stderr}"
    return outcome


def wait_until(condition: Callable[[], Any], limit_s: float, description: str) -> Any:
    """Wait until `condition` returns a true value and return it; fail with `description` after the limit."""
    deadline = time.monotonic() + limit_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {description}"
        time.sleep(0.5)
    return result


def get_json(url: str) -> Any:
    """Return the JSON of a GET request to the API."""
    with urlopen(url, timeout=10) as answer:
        return json.load(answer)


def wait_for_stage(store: Path, stage: str, limit_s: float = 240) -> None:
    """Wait until a worker runs a stage; poll the SQLite file, because the stage may last a tenth of a second."""
    deadline = time.monotonic() + limit_s
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        query = "SELECT count(*) FROM jobs WHERE state = 'in_progress' AND stage = ?"
        while not connection.execute(query, (stage,)).fetchone()[0]:
            assert time.monotonic() < deadline, f"not within {limit_s:g} s: {stage} is running"
            time.sleep(0.01)


def post_command(url: str, token: str) -> Any:
    """Return the JSON of a command (POST) to the API."""
    request = Request(url, method="POST", data=b"{}", headers={
        "Authorization": f"Bearer {token}", "Content-Type": "application/json",
    })  # fmt: skip
    with urlopen(request, timeout=200) as answer:
        return json.load(answer)


@dataclass
class Spool:
    """Groups to deliver once."""

    groups: dict[str, tuple[Path, ...]]

    def take(self, number: int) -> dict[str, tuple[Path, ...]]:
        """Remove and return the next `number` groups; the first has the transit of 3C48."""
        names = sorted(self.groups)[:number]
        return {name: self.groups.pop(name) for name in names}


@dataclass
class Deployed:
    """A deployment.

    Attributes
    ----------
    incoming : path of its incoming directory for this process.
    inside : runs a command in the deployment with its settings.
    """

    incoming: Path
    inside: Run
    delivered: list[str] = field(default_factory=list)

    def deliver(self, groups: Mapping[str, Sequence[Path]]) -> list[str]:
        """Deliver groups by renames, as the correlator does."""
        for name, files in groups.items():
            for path in files:
                unfinished = self.incoming / path.name.replace(".hdf5", "_incomplete.hdf5")
                shutil.copy(path, unfinished)
                unfinished.rename(self.incoming / path.name)
            self.delivered.append(name)
        return list(groups)

    def groups(self) -> dict[str, dict[str, Any]]:
        """Return all groups of the store by id."""
        return {group["id"]: group for group in json.loads(self.inside("contimg", "groups", "list", "--json").stdout)}

    def wait_until_completed(self, limit_s: float = 600) -> None:
        """Wait until every delivered group is completed."""

        def done() -> bool:
            states = Counter(group["state"] for group in self.groups().values())
            assert not states["failed"], self.inside("contimg", "status").stdout
            return states["completed"] == len(self.delivered)

        wait_until(done, limit_s, f"{len(self.delivered)} groups completed; {self.groups()}")

    def history(self, group: str) -> dict[str, Any]:
        """Return the output of `contimg groups show` for a group."""
        details: dict[str, Any] = json.loads(self.inside("contimg", "groups", "show", group, "--json").stdout)
        return details

    def check_nothing_lost_nothing_twice(self) -> None:
        """Check that every group has its products on disk and each stage was committed once."""
        groups = self.groups()
        assert len(groups) == len(self.delivered)
        for group in groups:
            details = self.history(group)
            committed = Counter(run["stage"] for run in details["runs"] if run["outcome"] == "committed")
            assert committed == dict.fromkeys(STAGES, 1), details["runs"]
            for path in (
                details["measurement_set"]["path"],
                details["image"]["fits_path"],
                details["image"]["png_path"],
            ):
                assert self.inside("test", "-e", path, check=False).returncode == 0, f"{path} does not exist"
