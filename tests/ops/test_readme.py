"""The README alone: what it says to type, typed in a new directory, and what it says happens then."""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import until

from contimg.common.files.processes import free_port
from contimg.settings import Settings
from workers.service.plan import Extras, describe_addresses

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def block(section: str, number: int = 0) -> list[str]:
    """The lines of a code block of a section."""
    text = README[README.index(f"\n## {section}\n") :]
    blocks = re.findall(r"^```\n(.*?)^```", text[: text.index("\n## ", 5)], re.MULTILINE | re.DOTALL)
    return str(blocks[number]).splitlines()


@pytest.fixture
def newcomer(tmp_path: Path) -> dict[str, str]:
    """The environment of a new user in an empty directory with an environment and two data directories."""
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    for name in ("incoming", "products"):
        (tmp_path / "data" / name).mkdir(parents=True)
    return {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CONTIMG_WEB_PORT": str(free_port()), "COLUMNS": "200"}


@pytest.fixture
def terminal(newcomer: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The first block of "Run it" in a shell, `contimg run` in the foreground; its output is in run.log."""
    lines = [line.replace("/data/", f"{tmp_path}/data/") for line in block("Run it")]
    assert [line.split()[1] for line in lines[1:]] == ["config", "config", "doctor", "run"]
    lines.insert(1, "echo $CONTIMG_TOKEN > token")
    with (tmp_path / "run.log").open("wb") as log:
        shell = subprocess.Popen(
            ["bash", "-c", "\n".join(lines)], cwd=tmp_path, env=newcomer, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    yield shell
    os.killpg(shell.pid, 15)
    shell.wait(60)


def answer(request: urllib.request.Request | str) -> int:
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.long
def test_readme_runs_the_stream(newcomer, terminal, tmp_path):
    log = tmp_path / "run.log"
    until(lambda: "panel: http" in log.read_text() or terminal.poll() is not None, 60, "the panel is announced")
    text = log.read_text()
    address = re.search(r"panel: (http://\S+/)", text)
    assert address, text
    assert f":{newcomer['CONTIMG_WEB_PORT']}/" in address[1]
    token = (tmp_path / "token").read_text().strip()
    assert len(token) == 16
    assert token not in text
    assert "CONTIMG_TOKEN" in text
    until(lambda: _is_served(address[1]), 30, "the panel answers")
    pause = urllib.request.Request(f"{address[1]}api/streaming/pause", method="POST")
    assert answer(pause) == 401
    pause.add_header("Authorization", f"Bearer {token}")
    assert answer(pause) == 200
    for line in block("Run it", 1):
        shown = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=newcomer, capture_output=True, text=True)
        assert shown.returncode == 0, shown.stderr
        if "status" in line:
            assert "paused" in shown.stdout


def _is_served(address: str) -> bool:
    try:
        return answer(address) == 200
    except OSError:
        return False


@pytest.mark.long
def test_readme_runs_the_stages(newcomer, tmp_path):
    lines = block("Run it", 3)
    assert [line.split()[1] for line in lines] == ["convert", "calibrate", "image", "simulate"]
    environ = {**newcomer, "PATH": f"{tmp_path}/.venv/bin:/usr/bin:/bin", "CONTIMG_IMAGE_SIZE": "256"}
    values = {"INPUT_DIR": "in", "OUTPUT_DIR": "out", "START": "2026-02-22", "END": "2026-02-23", " OUT ": " in ",
              "--antennas 96": "--antennas 8", "--channels 768": "--channels 48"}  # fmt: skip
    for line in (lines[-1], *lines[:-1]):
        for name, value in values.items():
            line = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)" if name.isalpha() else re.escape(name), value, line)
        if "2026-02-22T23:18:13.ms" in line:
            line = line.replace("2026-02-22T23:18:13.ms", next((tmp_path / "out").glob("*.ms")).name)
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert list((tmp_path / "out/images").glob("*.fits"))


@pytest.mark.parametrize(
    ("settings", "environ", "words"),
    [
        ({}, {}, ("http://127.0.0.1:8080/", "set CONTIMG_TOKEN", "http://127.0.0.1:5555/", "no password")),
        ({"token": "sesame"}, {}, ("value of CONTIMG_TOKEN", "user contimg, password CONTIMG_TOKEN")),
        ({"token": "sesame", "view_token": "open"}, {}, ("CONTIMG_VIEW_TOKEN",)),
        ({"token": "sesame"}, {"FLOWER_BASIC_AUTH": "vera:rubin"}, ("user vera",)),
        ({"token": "sesame", "web_host": "0.0.0.0", "web_port": 80}, {}, ("http://127.0.0.1:80/",)),
    ],
)
def test_addresses_name_users_and_no_secret(settings, environ, words):
    text = "\n".join(describe_addresses(Extras(web=True, flower=True), Settings(**settings), environ))
    assert all(word in text for word in words), text
    assert not any(secret in text for secret in ("sesame", "rubin", " open"))
    assert describe_addresses(Extras(), Settings(), {}) == []
