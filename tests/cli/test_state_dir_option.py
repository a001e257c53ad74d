"""The state directory of a command: reading commands create nothing, and a missing store is refused in one line."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from deployment import Deployment
from waiting import until

from contimg.cli import COMMANDS, Access, access_of, contimg
from contimg.common.errors import Misconfigured
from contimg.settings import Settings
from contimg.store import Store
from workers.service.records import read_record
from workers.service.streams import check_store_exists, find_streams

# Arguments of the reading commands that need some.
ARGUMENTS = {
    "groups show": ["2026-02-22T23:17:51"], "calibrations show": ["3C48"], "calibrators": ["--dec", "33"],
    "plan": ["--cores", "2"], "completion": ["zsh"], "alerts show": ["1"], "images show": ["1"],
    "images get": ["--dry-run"], "antennas show": ["18"], "catalogue query": ["10", "20", "1"],
    "epochs show": ["2026-02-22_L0130_D+163"], "sources show": ["1"], "sources export": ["out.csv"],
    "campaigns show": ["deep"], "campaigns compare": ["deep"],
}  # fmt: skip
WITHOUT_STORE = {
    "config show",
    "config check",
    "config history",
    "doctor",
    "plan",
    "calibrators",
    "completion",
    "beam show",
    "campaigns presets",
    "catalogue list",
}
CELERY = (sys.executable, "-m", "celery", "-A", "workers.app")


def marks() -> dict[str, Access]:
    """The mark of each command, by its words."""
    marked = {}
    for section in COMMANDS.values():
        for name, (_, mark) in section.items():
            if isinstance(mark, Access):
                marked[name] = mark
            else:
                marked |= {f"{name} {word}": access for word, access in mark.items()}
    return marked


def leaves(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Context]]:
    """Yield the words and the context of each command that is no group."""
    if not isinstance(command, click.Group):
        yield context.command_path.partition(" ")[2], context
        return
    for name in command.list_commands(context):
        subcommand = command.get_command(context, name)
        assert subcommand is not None
        yield from leaves(subcommand, click.Context(subcommand, info_name=name, parent=context))


READING = sorted(words for words, access in marks().items() if access is Access.READ)


def listing(directory: Path) -> dict[str, tuple[int, int]]:
    """Size and modification time of everything in a directory."""
    return {
        str(path.relative_to(directory)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in sorted(directory.rglob("*"))
    }


def test_every_command_is_marked():
    contexts = dict(leaves(contimg, click.Context(contimg, info_name="contimg")))
    assert set(contexts) == set(marks())
    assert {words: access_of(context) for words, context in contexts.items()} == marks()


@pytest.mark.parametrize("words", READING)
def test_reading_command_creates_nothing(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIPELINE_STATE_DIR", raising=False)
    before = listing(tmp_path)
    outcome = CliRunner().invoke(contimg, [*words.split(), *ARGUMENTS.get(words, [])], standalone_mode=False)
    assert listing(tmp_path) == before
    if words in WITHOUT_STORE:
        assert outcome.exception is None or isinstance(outcome.exception, SystemExit)
    else:
        assert isinstance(outcome.exception, Misconfigured), outcome.output
        assert str(tmp_path / "state") in str(outcome.exception)
        assert "--state-dir" in str(outcome.exception)


@pytest.mark.parametrize("words", ["groups retry x", "groups discard x", "pause", "stop", "retention", "backup"])
def test_changing_command_creates_no_store(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(contimg, ["--state-dir", "other", *words.split()], standalone_mode=False)
    assert isinstance(outcome.exception, Misconfigured)
    assert listing(tmp_path) == {}


def test_state_dir_precedes_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path / "first"))
    for name, count in (("first", 1), ("second", 2)):
        store = Store.open(tmp_path / name / "contimg.sqlite3")
        for number in range(count):
            store.events.add(f"event {number} of {name}")
        store.close()
    runner = CliRunner()
    assert runner.invoke(contimg, ["events"]).stdout.count("of first") == 1
    assert runner.invoke(contimg, ["--state-dir", str(tmp_path / "second"), "events"]).stdout.count("of second") == 2
    assert os.environ["PIPELINE_STATE_DIR"] == str(tmp_path / "first"), "restored"
    late = runner.invoke(contimg, ["events", "--state-dir", str(tmp_path / "second")])
    assert late.exit_code == 2


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A stream that runs, without a panel."""
    deployment = Deployment(tmp_path_factory.mktemp("stream"))
    deployment.incoming.mkdir()
    process = deployment.start_process(*deployment.command("run", "--no-web"), log="run.log")
    try:
        log = deployment.root / "run.log"
        until(lambda: any(running.state_dir == deployment.root / "state" for running in find_streams()), 30, log)
        yield deployment
    finally:
        process.terminate()
        process.wait(60)


def run_elsewhere(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("CONTIMG_", "PIPELINE_"))}
    return subprocess.run(
        command, cwd=directory, env=environ, capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip


@pytest.mark.long
def test_running_stream_is_named(stream, tmp_path):
    state_dir = stream.root / "state"
    record = read_record(state_dir)
    assert record is not None
    missing = [
        run_elsewhere(tmp_path, sys.executable, "-m", "contimg", "status"),
        run_elsewhere(tmp_path, *CELERY, "worker", "-Q", "convert"),
        run_elsewhere(tmp_path, *CELERY, "flower"),
    ]
    for outcome in missing:
        assert outcome.returncode == 2, outcome.stderr
        assert outcome.stdout == ""
        assert outcome.stderr.count("\n") == 1
        assert f"{state_dir} (pid {record.pid})" in outcome.stderr
    assert listing(tmp_path) == {}
    status = run_elsewhere(tmp_path, sys.executable, "-m", "contimg", "--state-dir", str(state_dir), "status")
    assert (status.returncode, "running" in status.stdout) == (0, True)


def test_worker_needs_a_store_with_a_broker_too(stream, tmp_path):
    broker_url = {"CONTIMG_BROKER_URL": "redis://127.0.0.1:9/0"}
    worker = subprocess.run(
        [*CELERY, "worker", "-Q", "convert"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**stream.environ, **broker_url, "PIPELINE_STATE_DIR": str(tmp_path / "state")}, check=False,
    )  # fmt: skip
    assert worker.returncode == 2
    assert str(tmp_path / "state") in worker.stderr
    assert listing(tmp_path) == {}


def test_moved_store_is_not_taken_for_another_directory(tmp_path):
    (tmp_path / "state").mkdir()
    with pytest.raises(Misconfigured) as refused:
        check_store_exists(Settings(state_dir=tmp_path / "state"))
    assert "moved" in str(refused.value)
