"""Root commands on a service of another user, and commands of a user without rights."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from deployment import Deployment
from users_and_disks import AS_NOBODY, NOBODY, needs_root
from waiting import until

from contimg.common.errors import Misconfigured, Transient
from contimg.common.files.writing import adopt_owner, write_text
from contimg.settings import check_all, load
from contimg.settings.changes import change
from contimg.store import Store
from contimg.store.backup import back_up, restore
from workers.service.supervisor import Supervisor

pytestmark = needs_root
CONTIMG = (sys.executable, "-m", "contimg")
WORKER = (sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", "convert")


def owners(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_uid for path in directory.rglob("*")}


def give(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        os.chown(path, NOBODY, NOBODY)


@pytest.fixture
def deployment(tmp_path):
    """A deployment of another user, in a directory that the user can reach."""
    with tempfile.TemporaryDirectory(prefix="contimg-user-") as directory:
        root = Path(directory)
        root.chmod(0o755)
        for name in ("incoming", "state", "products", "scratch"):
            (root / name).mkdir()
        give(root)
        yield Deployment(root, {"HOME": directory, "CONTIMG_SCRATCH_DIR": str(root / "scratch")})


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_replaced_file_keeps_owner_and_mode(tmp_path, mode):
    path = tmp_path / "file.json"
    path.write_text("old")
    path.chmod(mode)
    os.chown(path, NOBODY, NOBODY)
    write_text(path, "new")
    status = path.stat()
    assert (path.read_text(), status.st_uid, status.st_gid, status.st_mode & 0o777) == ("new", NOBODY, NOBODY, mode)


def test_new_file_belongs_to_the_owner_of_its_directory(tmp_path):
    os.chown(tmp_path, NOBODY, NOBODY)
    write_text(tmp_path / "new", "text")
    (tmp_path / "draft").touch()
    adopt_owner(tmp_path / "draft", tmp_path / "target")
    assert owners(tmp_path) == {"new": NOBODY, "draft": NOBODY}


def test_files_that_root_writes_stay_the_users(deployment, tmp_path):
    state = deployment.root / "state"
    change(deployment.settings, {"poll_interval": 2}, "root")
    change(deployment.settings, {"poll_interval": 3}, "root")
    Store.open(deployment.config.queue_db).close()
    back_up(deployment.settings, tmp_path / "backup.tar.gz")
    restore(deployment.settings, tmp_path / "backup.tar.gz")
    assert load(deployment.settings).poll_interval == 3.0
    assert set(owners(state).values()) == {NOBODY}, owners(state)


def test_files_of_root_that_the_service_does_not_write_are_left_alone(deployment):
    state = deployment.root / "state"
    for name in ("lost+found", "tls"):
        (state / name).mkdir(mode=0o700)
    (state / "tls/ca.pem").touch(mode=0o644)
    (state / "contimg.sqlite3.bak").touch(mode=0o600)
    deployment.more["CONTIMG_BROKER_URL"] = "redis://127.0.0.1:9/0"
    check_all(deployment.settings, deployment.environ)  # as below, imports modules that the other user may not read
    Store.open(deployment.config.queue_db).close()
    supervisor = Supervisor(deployment.settings, environ=deployment.environ)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(Transient, match=r"127\.0\.0\.1"):
            supervisor.start()
    finally:
        os.seteuid(0)


def test_leftover_of_root_is_named_at_the_start(deployment):
    leftover = deployment.root / "state/logs/producer.log"
    leftover.parent.mkdir()
    leftover.touch(mode=0o644)
    os.chown(leftover.parent, NOBODY, NOBODY)
    supervisor = Supervisor(deployment.settings, environ=deployment.environ)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(Misconfigured) as caught:
            supervisor.start()
    finally:
        os.seteuid(0)
    assert str(leftover) in str(caught.value)
    assert f"chown {NOBODY}" in str(caught.value)


@pytest.mark.long
@pytest.mark.parametrize(
    "command",
    [(*CONTIMG, "pause"), (*CONTIMG, "config", "set", "poll_interval=4"), (*CONTIMG, "run", "--no-web"),
     (*CONTIMG, "start"), (*CONTIMG, "producer"), (*CONTIMG, "broker"), WORKER],
)  # fmt: skip
def test_command_of_another_user_is_refused_in_one_line(deployment, command):
    state = deployment.root / "state"
    Store.open(deployment.config.queue_db).close()
    for path in (state, *state.iterdir()):
        os.chown(path, 0, 0)
    outcome = subprocess.run(
        [*AS_NOBODY, *command], env=deployment.environ, capture_output=True, text=True, timeout=120
    )
    assert outcome.returncode in (1, 2)
    assert outcome.stderr.count("\n") == 1, outcome.stderr
    assert str(state) in outcome.stderr
    assert str(NOBODY) in outcome.stderr


@pytest.mark.long
@pytest.mark.timeout(600)
def test_stream_of_a_user_continues_after_config_set_by_root(deployment):
    command = [*AS_NOBODY, *CONTIMG, "run", "--no-web"]
    with (deployment.root / "run.log").open("wb") as log:
        process = subprocess.Popen(command, env=deployment.environ, cwd=deployment.root, stdout=log, stderr=log)
    try:
        until(lambda: (deployment.root / "state/service.json").exists(), 60, "the service has started")
        deployment.more.pop("CONTIMG_POLL_INTERVAL", None)
        command = [*CONTIMG, "config", "set", "max_workers=3", "--restart"]
        outcome = subprocess.run(command, env=deployment.environ, capture_output=True, text=True, timeout=200)
        assert outcome.returncode == 0, outcome.stderr
        store = Store.open(deployment.config.queue_db)
        before = store.activity.last_beat("producer.scan") or 0.0
        until(lambda: (store.activity.last_beat("producer.scan") or 0.0) > before, 60, "the stream scans again")
        store.close()
        assert process.poll() is None
        assert set(owners(deployment.root / "state").values()) == {NOBODY}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(90)
    assert "Traceback" not in (deployment.root / "run.log").read_text()
