"""Signs of life between real processes, one of them in a pid namespace of its own, as in a container."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from store_steps import register_file
from waiting import until

from contimg.common.files.filesystems import FileSystem
from contimg.formats.uvh5.grouping import subband_file_name
from contimg.settings import QueueRules
from contimg.store import Lease, Stage, State, Store
from workers.execution.processes import LivenessFile, LivenessFiles
from workers.execution.recovery import fail_leases_of_dead_processes

HOLDER = """
import sys
from pathlib import Path
from workers.execution.processes import LivenessFile, ProcessName
liveness = LivenessFile(Path(sys.argv[1]))
print(ProcessName.of(), flush=True)
input()
"""
IN_A_CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"]
Hold = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def hold(tmp_path: Path) -> Hold:
    """Start a process that shows its sign; its name as well."""
    started = []

    def start(*prefix: str) -> tuple[subprocess.Popen[str], str]:
        command = [*prefix, sys.executable, "-c", HOLDER, str(tmp_path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store.open(tmp_path / "store.sqlite3", QueueRules(expected_subbands=1, min_subbands=1))
    yield opened
    opened.close()


def held_by(store: Store, owner: str) -> str:
    name = subband_file_name(1_771_802_000.0, 0)
    group = register_file(store, f"/incoming/{name}", 1, 1.0).file.group
    assert isinstance(store.leases.claim(group, Stage.CONVERT, owner), Lease)
    return group


def test_killed_process_is_dead(tmp_path: Path, hold: Hold) -> None:
    liveness = LivenessFiles(tmp_path, grace_s=0)
    killed, dead = hold()
    _, alive = hold()
    assert liveness.dead() == frozenset()
    killed.kill()
    until(lambda: liveness.dead() == {dead}, 5, "the dead one is found out")
    liveness.forget(dead)
    assert {path.name for path in (tmp_path / "living").iterdir()} == {alive}


@pytest.mark.skipif(os.geteuid() != 0, reason="a pid namespace of its own needs root")
def test_lease_of_a_killed_container_is_released(tmp_path: Path, hold: Hold,
                                                                             store: Store) -> None:  # fmt: skip
    container, owner = hold(*IN_A_CONTAINER)
    group = held_by(store, owner)
    liveness = LivenessFiles(tmp_path, grace_s=0)
    assert fail_leases_of_dead_processes(store, liveness) == ()
    container.kill()
    container.wait()
    until(lambda: fail_leases_of_dead_processes(store, liveness) == (group,), 5, "its lease is taken back")
    assert store.files.group(group).state is State.PENDING
    assert "convert" in store.jobs.runs(group)[0].error
    assert not list((tmp_path / "living").iterdir())


def test_dead_process_is_reported_after_the_grace(tmp_path: Path, hold: Hold) -> None:
    liveness = LivenessFiles(tmp_path, grace_s=0.3)
    killed, dead = hold()
    killed.kill()
    killed.wait()
    started = time.monotonic()
    assert liveness.dead() == frozenset()
    until(lambda: liveness.dead() == {dead}, 5, "the grace is over")
    assert time.monotonic() - started >= 0.3


def test_owner_without_a_liveness_file_is_not_dead(tmp_path: Path, store: Store) -> None:
    held_by(store, "elsewhere:1:1:1")
    assert fail_leases_of_dead_processes(store, LivenessFiles(tmp_path, grace_s=0)) == ()


def test_no_process_is_dead_on_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "living").mkdir()
    (tmp_path / "living" / "gone:1:1:1").touch()
    assert LivenessFiles(tmp_path, grace_s=0).dead() == {"gone:1:1:1"}
    monkeypatch.setattr("workers.execution.processes.file_system", lambda directory: FileSystem("nfs4"))
    assert LivenessFiles(tmp_path, grace_s=0).dead() == frozenset()


def test_unwritable_state_directory_is_a_warning(tmp_path: Path, caplog) -> None:
    (tmp_path / "living").write_text("a file in its place")
    LivenessFile(tmp_path)
    assert str(tmp_path) in caplog.text
