"""A pipe that is closed, a host with a new name, and too few open files."""

import os
import resource
import subprocess
import sys
import time

import pytest
from users_and_disks import needs_root
from waiting import until

from contimg.common.files.processes import MIN_OPEN_FILES
from contimg.store import Store
from workers.doctor import Level, machine

CONTIMG = (sys.executable, "-m", "contimg")
RENAMED = """
import socket
from workers.execution.processes import ProcessName
name = str(ProcessName.of())
socket.sethostname("another-name")
parsed = ProcessName.parse(name)
print(parsed.is_alive, parsed.is_dead, str(ProcessName.of()) != name)
"""


@pytest.mark.parametrize("consumer", ["head -n 1", "true"])
def test_closed_pipe_ends_a_command_quietly(deployment, consumer):
    command = f"{sys.executable} -m contimg config check | {consumer}"
    outcome = subprocess.run(
        ["bash", "-c", command], env=deployment.environ, capture_output=True, text=True, timeout=120
    )
    assert outcome.stderr == ""


@pytest.mark.long
def test_service_continues_when_its_output_is_closed(deployment):
    process = subprocess.Popen(
        [*CONTIMG, "run", "--no-web"],
        env=deployment.environ,
        cwd=deployment.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert str(deployment.root) in process.stdout.readline().decode()
        process.stdout.close()
        store = Store.open(deployment.config.queue_db)
        for number in range(3):  # each is printed
            store.events.add(f"event {number}")
            time.sleep(0.5)
        before = store.activity.last_beat("producer.scan") or 0.0
        until(lambda: (store.activity.last_beat("producer.scan") or 0.0) > before, 30, "a scan after the closing")
        store.close()
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(60) == 0


@needs_root
def test_process_is_known_after_a_change_of_the_host_name():
    outcome = subprocess.run(
        ["unshare", "--uts", sys.executable, "-c", RENAMED], capture_output=True, text=True, check=True, timeout=60
    )
    assert outcome.stdout.split() == ["True", "False", "True"]


@pytest.mark.parametrize(("limit", "level"), [(100, Level.ERROR), (1024, Level.WARNING), (4096, Level.OK)])
def test_doctor_judges_the_number_of_open_files(monkeypatch, limit, level):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    finding = machine.check_open_files()
    assert finding.level is level
    assert str(limit) in finding.text


@pytest.mark.long
def test_service_with_too_few_open_files_does_not_start(deployment):
    command = f"ulimit -n 100; exec {sys.executable} -m contimg run --no-web"
    outcome = subprocess.run(
        ["bash", "-c", command], env=deployment.environ, capture_output=True, text=True, timeout=120
    )
    assert outcome.returncode == 2
    assert outcome.stderr.count("\n") == 1
    assert str(MIN_OPEN_FILES) in outcome.stderr
    assert "100" in outcome.stderr


def test_soft_limit_is_raised():
    script = (
        "import resource; from contimg.common.files.processes import raise_file_limit; "
        "hard = resource.getrlimit(7)[1]; "
        "resource.setrlimit(7, (128, hard)); print(raise_file_limit(512) == min(512, hard))"
    )
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert outcome.stdout.strip() == "True"
