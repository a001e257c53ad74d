"""`contimg db sizes` and `contimg db prune` on a store with old records; the numbers in the API and on the page."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import insert

from contimg.cli import contimg
from contimg.instrument.time import DAY_S
from contimg.settings import Settings, load
from contimg.store import Store, tables
from web import create_app


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A store with 30 events of a tile that are 100 days old, and a new one."""
    store = Store.of(load(Settings(state_dir=tmp_path)))
    now = store.database.clock()
    rows = [{"at": now - 100 * DAY_S, "level": "info", "group_id": "g", "text": "old"} for _ in range(30)]
    with store.database.write() as session:
        session.execute(insert(tables.Event), rows)
    store.events.add("new")
    store.close()
    return tmp_path


def run(state_dir: Path, *words: str) -> str:
    result = CliRunner().invoke(contimg, ["--state-dir", str(state_dir), *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_dry_run_and_run_of_prune_give_the_same_numbers(state_dir: Path) -> None:
    counted = json.loads(run(state_dir, "db", "prune", "--dry-run", "--json"))
    pruned = json.loads(run(state_dir, "db", "prune", "--json"))
    assert [part["rows"] for part in counted] == [part["rows"] for part in pruned] == [30, 0, 0, 0, 0, 0, 0, 0]
    assert [part["rows"] for part in json.loads(run(state_dir, "db", "prune", "--vacuum", "--json"))] == [0] * 8


def test_sizes_of_command_api_and_page_agree(state_dir: Path) -> None:
    assert json.loads(run(state_dir, "db", "sizes", "--last", "--json")) is None
    settings = Settings(state_dir=state_dir)
    store = Store.of(load(settings))
    client = create_app(settings, store).test_client()
    assert client.get("/api/store").get_json()["recorded"] is None
    store.sizes.record()
    recorded = client.get("/api/store").get_json()["recorded"]
    assert json.loads(run(state_dir, "db", "sizes", "--last", "--json"))["tables"] == recorded["tables"]
    measured = json.loads(run(state_dir, "db", "sizes", "--json"))
    rows = {table["name"]: table["rows"] for table in measured["tables"]}
    assert rows["events"] == 31 == {table["name"]: table["rows"] for table in recorded["tables"]}["events"]
    assert "ix_events_at" in run(state_dir, "db", "sizes")
    page = client.get("/history").get_data(as_text=True)
    assert page.count('data-label="MB a day"') == sum(1 for table in recorded["tables"] if table["rows"])
    store.close()
