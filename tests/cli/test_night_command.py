"""`contimg night`: text, JSON, Markdown, the page, notes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from night_steps import fill_nights

from contimg.cli import contimg
from contimg.formats.records import to_plain
from contimg.settings import Settings, load
from contimg.store import Store

DAY = "2026-02-22"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One night, months ago."""
    store = Store.open(tmp_path / "state" / "contimg.sqlite3")
    fill_nights(store, 1, files=False)
    store.close()
    return store


def test_night_is_shown_in_each_form(run: Callable[..., str], store: Store) -> None:
    text = run("night")
    assert text.startswith(f"night {DAY}: 268 of 280 tiles")
    shown, stored = json.loads(run("night", DAY, "--json")), to_plain(store.nights.night(DAY))
    assert shown | {"at": stored["at"]} == stored
    assert run("night", DAY, "--markdown").startswith(f"# Night {DAY}\n")
    path = Path(run("night", DAY, "--html").strip())
    assert path == load(Settings.from_environment()).output_dir / "nights" / DAY / "night.html"
    assert path.read_text().startswith("<!doctype html>")
    assert store.nights.newest_report() is None, "the report that the stream writes is still due"


def test_note_is_added_with_its_name(run: Callable[..., str], store: Store) -> None:
    assert "wind above 15 m/s" in run("night", DAY, "--note", "wind above 15 m/s", "--by", "ana")
    assert [(note.name, note.text) for note in store.nights.night(DAY).notes] == [("ana", "wind above 15 m/s")]


@pytest.mark.parametrize("words", [("2026-02-30",), ("yesterday",), (DAY, "--note", " ")])
def test_wrong_day_or_note_is_one_line(run: Callable[..., str], store: Store, words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(contimg, ["night", *words])
    assert result.exception is not None
    assert store.nights.night(DAY).notes == ()


def test_store_without_a_tile(run: Callable[..., str], tmp_path: Path) -> None:
    Store.open(tmp_path / "state" / "contimg.sqlite3").close()
    assert CliRunner().invoke(contimg, ["night"]).exception is not None
    assert run("night", DAY).startswith(f"night {DAY}: 0 of 0 tiles")
