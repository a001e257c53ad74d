"""The command as typed: quick help, one line for each refusal, its exit code for the queue and the shell."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from contimg.cli import contimg as contimg_command

DRIFT_SIM = "tests/data/drift_sim/g2_8ant_6t_768ch"


def contimg(*arguments, state=None, cwd=None):
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PIPELINE_STATE_DIR": str(state or "/nonexistent")}
    return subprocess.run(
        [sys.executable, "-m", "contimg", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120, env=environ, cwd=cwd,
    )  # fmt: skip


def test_help_lists_every_command():
    listing = contimg("--help").stdout
    for name in ("calibrate", "config", "convert", "demo", "groups", "image", "pause", "producer", "resume", "run",
                 "simulate", "status", "web"):  # fmt: skip
        assert f"\n  {name} " in listing
        shown = CliRunner().invoke(contimg_command, [name, "--help"])
        assert shown.exit_code == 0, shown.output


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("convert", "/nowhere", "out", "2026-02-22", "2026-02-23"), 2, "/nowhere"),
        (("calibrate", "/nowhere.ms"), 3, "/nowhere.ms"),
        (("image", "/nowhere.ms"), 3, "/nowhere.ms"),
        (("simulate", "/proc/nowhere"), 2, "/proc/nowhere"),
        (("convert", "tests", "out", "2026-02-22", "2026-02-23"), 3, "tests: "),
    ],
)
def test_errors_are_one_line_with_their_exit_code(arguments, code, named, pytestconfig):
    done = contimg(*arguments, cwd=pytestconfig.rootpath)
    assert done.returncode == code
    assert done.stderr.count("\n") == 1
    assert named in done.stderr


def test_id_that_is_not_utf8_is_refused_in_one_line(tmp_path):
    state = tmp_path / "state"
    assert contimg("db", "upgrade", state=state).returncode == 0
    for command in ("show", "retry", "discard"):
        environ = {"PATH": "/usr/bin:/bin", "PIPELINE_STATE_DIR": str(state)}
        words = [sys.executable.encode(), b"-m", b"contimg", b"groups", command.encode(), b"\xff\xfe"]
        done = subprocess.run(words, capture_output=True, check=False, timeout=120, env=environ)
        assert done.returncode == 3, done.stderr
        assert done.stderr.count(b"\n") == 1
        assert b"Traceback" not in done.stderr


def test_invalid_time_is_refused():
    done = contimg("convert", ".", "out", "yesterday", "2026-02-23")
    assert done.returncode == 2
    assert "yesterday" in done.stderr


def test_run_conversion_script_takes_four_arguments(tmp_path, pytestconfig):
    script = pytestconfig.rootpath / "scripts" / "run_conversion.sh"
    source = pytestconfig.rootpath / DRIFT_SIM
    done = subprocess.run(
        ["sh", script, source, tmp_path, "2026-02-22T23:00:00", "2026-02-23"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "2026-02-22T23:17:51.ms" / "table.dat").exists()
    assert subprocess.run(["sh", script, "one"], capture_output=True, check=False).returncode == 2


@pytest.mark.long
def test_pause_lasts_until_resume(tmp_path):
    state = tmp_path / "state"
    assert contimg("pause", state=state).returncode == 2, "there is no store"
    assert contimg("db", "upgrade", state=state).returncode == 0
    assert "paused" in contimg("pause", state=state).stdout
    assert '"paused": true' in contimg("status", "--json", state=state).stdout
    assert contimg("resume", state=state).returncode == 0
    assert '"paused": false' in contimg("status", "--json", state=state).stdout
