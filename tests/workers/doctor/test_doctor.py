"""`contimg doctor` on a machine that is well, and with one thing at a time wrong for real."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import gettempdir

import h5py
import pytest

from contimg.common.errors import Transient
from contimg.common.files.filesystems import file_system
from contimg.settings import Settings, load
from contimg.store import Store
from workers import doctor
from workers.doctor import Finding, Level, machine, packages, storage
from workers.doctor.storage import check_database


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "incoming").mkdir()
    monkeypatch.setenv("CONTIMG_INPUT_DIR", str(tmp_path / "incoming"))
    return Settings(state_dir=tmp_path / "state")


def directory(settings: Settings, about: str) -> Finding:
    (finding,) = [row for row in storage.check_directories(settings, load(settings)) if row.about == about]
    return finding


def test_healthy_machine_is_unchanged(settings: Settings, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    findings = list(doctor.examine(settings, lambda: "answers"))
    assert [finding for finding in findings if finding.level is Level.ERROR] == []
    assert all(finding.remedy for finding in findings if finding.level is not Level.OK)
    expected = {"Python", "packages", "broker", "store", "input_dir", "output_dir", "inotify", "HDF5 locking", "tmpfs",
              "memory", "cores", "clock", "CASA data", "WSClean"}  # fmt: skip
    assert expected <= {finding.about for finding in findings}
    assert sorted(tmp_path.rglob("*")) == before


def test_errors_have_a_remedy(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    environ = {**os.environ, "PIPELINE_STATE_DIR": str(tmp_path / "state"), "CONTIMG_INPUT_DIR": str(tmp_path / "none"),
               "CONTIMG_BROKER_URL": f"redis://127.0.0.1:{port}/0"}  # fmt: skip
    command = [sys.executable, "-m", "contimg", "doctor"]
    outcome = subprocess.run([*command, "--json"], env=environ, capture_output=True, text=True, check=False)
    assert outcome.returncode == 1
    errors = {row["about"]: row for row in json.loads(outcome.stdout) if row["level"] == "error"}
    assert set(errors) == {"input_dir", "broker"}
    assert str(tmp_path / "none") in errors["input_dir"]["text"]
    assert str(port) in errors["broker"]["text"]
    assert errors["input_dir"]["remedy"]
    assert errors["broker"]["remedy"]


def test_missing_broker_is_an_error(settings: Settings) -> None:
    def away() -> str:
        raise Transient("broker redis://there: does not answer; start it")

    (finding,) = [row for row in doctor.examine(settings, away) if row.about == "broker"]
    assert finding == Finding("broker", Level.ERROR, "broker redis://there: does not answer", "start it")


def test_wrong_configuration_omits_dependent_checks(settings: Settings) -> None:
    settings.state_dir.mkdir()
    settings.config_path.write_text('{"poll_interval": "often"}')
    last = list(doctor.examine(settings, lambda: "answers"))[-1]
    assert (last.about, last.level) == ("configuration", Level.ERROR)
    assert "poll_interval" in last.text


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place, which root may")
def test_inaccessible_directory_is_an_error(settings: Settings, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.parent.is_relative_to(gettempdir()):
            parent.chmod(0o755)
    (tmp_path / "incoming").chmod(0o700)
    os.seteuid(65534)
    try:
        assert "65534" in directory(settings, "input_dir").text
        assert directory(settings, "output_dir").level is Level.ERROR
        assert f"chown 65534 {tmp_path}" in directory(settings, "output_dir").remedy
    finally:
        os.seteuid(0)


def test_damaged_store_is_an_error(settings: Settings) -> None:
    config = load(settings)
    store = Store.of(config)
    for number in range(300):
        store.events.add(f"event {number}")
    with store.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    assert check_database(config)[0].level is Level.OK
    path = Path(config.queue_db)
    content = bytearray(path.read_bytes())
    content[8192:-8192] = b"\xa5" * (len(content) - 16384)
    path.write_bytes(content)
    finding, _ = check_database(config)
    assert not [link for link in Path("/proc/self/fd").iterdir() if os.path.realpath(link) == str(path)]
    assert finding.level is Level.ERROR
    assert "contimg restore" in finding.remedy or "database" in finding.remedy


def test_locked_file_is_a_warning(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "incoming/2026-02-22T23:17:51_sb00.hdf5"
    script = (
        "import sys, pathlib; from workers.doctor.storage import check_hdf5_locking; "
        "print(check_hdf5_locking(pathlib.Path(sys.argv[1])).level)"
    )
    with h5py.File(path, "w", locking=True):
        command = [sys.executable, "-c", script, str(path.parent)]
        outcome = subprocess.run(command, capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "warning"
    assert storage.check_hdf5_locking(path.parent).level is Level.OK


def test_file_system_agrees_with_stat(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/proc"), Path("/dev/shm")):
        named = subprocess.run(
            ["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True
        ).stdout.strip()
        assert named.startswith(file_system(path).name[:3]), path
    assert file_system(tmp_path / "not/there") == file_system(tmp_path)


def test_tmpfs_without_space_for_a_group(settings: Settings, tmp_path: Path) -> None:
    config = load(settings).model_copy(update={"stage_to_tmpfs": True, "tmpfs_path": tmp_path})
    assert (machine.check_tmpfs(config).level is Level.OK) == (shutil.disk_usage(tmp_path).free > 2.3e9)
    gone = config.model_copy(update={"tmpfs_path": tmp_path / "none"})
    assert machine.check_tmpfs(gone).level is Level.ERROR


def test_old_or_missing_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "requires", lambda _: ["numpy>=99", "nothing-of-that-name>=1", "h5py>=3"])
    (finding,) = [row for row in packages.check_python_packages() if row.about == "packages"]
    assert finding.level is Level.ERROR
    assert "numpy" in finding.text
    assert "nothing-of-that-name" in finding.text
    assert "h5py" not in finding.text


def test_too_many_workers_is_a_warning(settings: Settings) -> None:
    assert machine.check_workers(load(settings).model_copy(update={"max_workers": 256})).level is Level.WARNING
