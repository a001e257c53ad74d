"""`contimg epochs` on a store with the images of two tiles."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from epoch_steps import image_tile
from store_play import T0, Telescope

from contimg.cli import contimg
from contimg.epoch.windows import Windows
from contimg.settings import QueueRules
from contimg.store import Store

KEYS = [window.key(163) for window in Windows().containing(T0 + 154.5)]


@pytest.fixture
def run(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PIPELINE_STATE_DIR", str(tmp_path / "state"))
    store = Store.open(tmp_path / "state" / "contimg.sqlite3", QueueRules(expected_subbands=4, min_subbands=3))
    image_tile(Telescope(store), 0)
    store.close()

    def command(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(contimg, ["epochs", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    return command


def test_epochs_are_listed_shown_and_made(run):
    assert [row["id"] for row in json.loads(run("list", "--json"))] == KEYS[::-1]
    shown = json.loads(run("show", KEYS[0], "--json"))
    assert (shown["epoch"]["tile_count"], shown["mosaic"]) == (1, None)
    assert "no epoch to make" in run("make", "--from", "2026-02-22", "--to", "2026-02-24", "--declination", "54.6")
    jobs = json.loads(run("make", "--from", "2026-02-22", "--to", "2026-02-24", "--json"))
    assert [(job["key"], job["state"]) for job in jobs] == [(key, "pending") for key in KEYS]
    assert "no epoch to make" in run("make", "--from", "2026-02-22", "--to", "2026-02-24")
    assert KEYS[0] in run("list", "--state", "pending")
