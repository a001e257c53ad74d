"""A panel and a command line that run: an import replaces no solved set, log or Measurement Set, whatever its name."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from contimg.common.errors import BadInput
from contimg.settings import Settings, load, save
from contimg.store import Store

sys.path.append(str(Path(__file__).resolve().parents[1] / "data"))
from small_caltables import write_bandpass

TOKEN = "correct horse battery staple"
GROUP = "2026-02-22T23:17:51"
REFUSED = [".", "..", f"../{GROUP}.ms", "/etc/x", "-x", ".hidden", "a\nb"]


@pytest.fixture
def products(tmp_path):
    """Products of a night: a solved set with its log, and the Measurement Set of its tile."""
    products = tmp_path / "products"
    solved = products / "calibration" / GROUP
    solved.mkdir(parents=True)
    write_bandpass(solved / f"{GROUP}.bcal")
    (solved / "casa.log").write_text("solved\n")
    (solved / "set.json").write_text("{}\n")
    write_bandpass(products / f"{GROUP}.ms")
    write_bandpass(products / "night.B")
    return products


@pytest.fixture
def environment(tmp_path, products):
    settings = Settings(state_dir=tmp_path / "state", token=TOKEN)
    save(settings, {"output_dir": str(products)})
    Store.of(load(settings)).close()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONTIMG_")}
    return {**kept, "PIPELINE_STATE_DIR": str(settings.state_dir), "CONTIMG_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def url(environment):
    """Address of a panel in a process of its own."""
    command = [sys.executable, "-m", "contimg", "web", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
    assert address
    yield address[0]
    process.terminate()
    process.wait(30)
    process.stdout.close()


def snapshot(directory):
    """Inode and size of every file and directory, and the content of small files."""
    paths = {path: path.stat() for path in sorted(directory.rglob("*"))}
    return {path: (stat.st_ino, stat.st_size if path.is_file() else 0) for path, stat in paths.items()}


def post(url, **order):
    """Import through the API; give the status and the answer."""
    request = Request(
        f"{url}/api/calibrations/import", data=json.dumps(order).encode(), method="POST",
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )  # fmt: skip
    try:
        with urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def run_import(environment, *arguments):
    command = [sys.executable, "-m", "contimg", "calibrations", "import", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.long
def test_import_replaces_nothing(products, environment, url):
    before = snapshot(products)
    bandpass = str(products / "night.B")
    own = str(products / "calibration" / GROUP / f"{GROUP}.bcal")
    for name in REFUSED:
        status, answer = post(url, tables=[bandpass], name=name, replace=True)
        assert status == 400, name
        assert "name" in answer["error"]
    status, answer = post(url, tables=[own])
    assert (status, GROUP in answer["error"], "--replace" in answer["error"]) == (409, True, True)
    for arguments in ((own,), (bandpass, f"--name=../{GROUP}.ms", "--replace"), (bandpass, "--name=.", "--replace")):
        refused = run_import(environment, *arguments)
        assert refused.returncode == BadInput.exit_code, arguments
        assert len(refused.stderr.strip().splitlines()) == 1
        assert "Traceback" not in refused.stderr
    assert snapshot(products) == before

    assert post(url, tables=[bandpass], name="night")[0] == 200
    assert run_import(environment, bandpass, "--name", "night").returncode == BadInput.exit_code
    assert run_import(environment, bandpass, "--name", "night", "--replace").returncode == 0
    with urlopen(f"{url}/api/calibrations", timeout=60) as answer:
        assert [row["name"] for row in json.load(answer)["calibrations"]] == ["night"]
    after = snapshot(products)
    assert {path: after[path] for path in before if path != products / "calibration"} == {
        path: state for path, state in before.items() if path != products / "calibration"
    }
