import os
import signal
import subprocess
import sys
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from contimg.common.files.processes import kill_session, start_bound
from workers.execution.processes import ProcessName

NAMES = st.builds(
    ProcessName,
    host=st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True),
    pid=st.integers(1, 2**22),
    started=st.integers(0, 2**40),
    namespace=st.from_regex(r"[0-9]{1,12}", fullmatch=True),
)


@given(NAMES)
def test_process_name_round_trips(name):
    assert ProcessName.parse(str(name)) == name


def test_other_owners_are_no_names():
    for owner in ("", "host:12", "host:a:b:c", "somebody"):
        assert ProcessName.parse(owner) is None


def test_this_process_is_alive():
    me = ProcessName.of()
    assert me.is_alive
    assert not me.is_dead


def test_killed_process_is_dead_before_it_is_reaped():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = ProcessName.of(process.pid)
    assert name.is_alive
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table as a zombie
    assert name.is_dead
    process.communicate()
    assert name.is_dead


def test_reused_pid_is_another_process():
    assert replace(ProcessName.of(), started=1).is_dead


def test_process_of_another_host_is_never_reported_dead():
    gone = replace(ProcessName.of(), started=1)
    assert replace(gone, host="another").is_dead  # the machine was given another name
    assert not replace(gone, namespace="1").is_dead


def test_process_before_the_last_boot_is_dead():
    process = ProcessName.of()
    inode = process.namespace.partition("@")[0]
    earlier = replace(process, namespace=f"{inode}@00000000")
    assert earlier.is_dead
    assert not earlier.is_alive
    assert not replace(earlier, host="another").is_dead  # a machine whose first namespace has the same inode


def test_names_of_an_earlier_version_have_no_boot():
    process = ProcessName.of()
    earlier = replace(process, namespace=process.namespace.partition("@")[0])
    assert earlier.is_alive
    assert not earlier.is_dead
    assert replace(earlier, started=1).is_dead
    elsewhere = replace(earlier, host="another")
    assert not elsewhere.is_alive
    assert not elsewhere.is_dead


STUBBORN = """
import signal, sys, time
from pathlib import Path
for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(one, signal.SIG_IGN)
Path(sys.argv[1]).touch()
time.sleep(60)
"""
PARENT = """
import sys, time
from pathlib import Path
from contimg.common.files.processes import start_bound
child = start_bound([sys.executable, "-c", sys.argv[1], sys.argv[2]])
Path(sys.argv[2] + ".pid").write_text(str(child.pid))
time.sleep(60)
"""


def test_bound_child_dies_with_its_parent(tmp_path):
    """The parent is killed, so it can do nothing about it; the child ignores every signal that it may."""
    note = tmp_path / "child"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, STUBBORN, str(note)])
    until(note.exists, 10, "the child runs")
    until((tmp_path / "child.pid").exists, 10, "its pid is known")
    child = ProcessName.of(int((tmp_path / "child.pid").read_text()))
    parent.kill()
    parent.wait()
    until(lambda: child.is_dead, 5, "the child is dead")


def test_session_is_killed_with_all_child_processes(tmp_path):
    note = tmp_path / "pid"
    child = start_bound(["sh", "-c", f"sleep 60 & echo $! > {note}.new; mv {note}.new {note}; wait"])
    until(note.exists, 5, "the grandchild runs")
    grandchild = ProcessName.of(int(note.read_text()))
    kill_session(child)
    assert child.returncode == -signal.SIGKILL
    until(lambda: grandchild.is_dead, 5, "the grandchild is dead")


def test_memory_beyond_the_limit_is_refused_here_and_in_what_is_started():
    grabs = "import sys; bytearray(400 << 20)"
    limited = "from contimg.common.files.processes import limit_memory; limit_memory(300 << 20); {}"
    here = subprocess.run([sys.executable, "-c", limited.format(grabs)], capture_output=True, text=True)
    assert here.stderr.strip().endswith("MemoryError")
    starts = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {grabs!r}]).returncode)"
    assert subprocess.run([sys.executable, "-c", limited.format(starts)], capture_output=True).returncode == 1
    assert subprocess.run([sys.executable, "-c", grabs]).returncode == 0
