"""Files as they really arrive: odd names, a correlator started again, files that go away, move or change.

Each group keeps the files that are its own, every other case is an event, and nothing is lost.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import pytest
from click.testing import CliRunner

from contimg.cli import contimg
from contimg.common.files.names import printable
from contimg.formats.uvh5.grouping import SubbandFile, subband_file_name
from contimg.settings import Settings, load
from contimg.simulation import SimulateOptions, simulate
from contimg.store import FileState, Lease, Stage, State, Store
from web import create_app
from workers.execution.attempt import execute_stage
from workers.execution.stages import StageContext
from workers.producer.producer import Producer
from workers.producer.scanner import FOREIGN, SUBDIRECTORY, IncomingScanner
from workers.scheduling.dispatcher import Dispatcher

STAMP = "2026-02-22T23:17:51"
ODD_NAMES = {
    b"2026-02-22T23:17:51_sb00 \x96 Kopie.hdf5": r"2026-02-22T23:17:51_sb00 \x96 Kopie.hdf5",
    b"2026-02-22T23:17:51_sb00\nround 2.hdf5": r"2026-02-22T23:17:51_sb00\nround 2.hdf5",
    b"2026-2-22T23:17:51_sb00.hdf5": "2026-2-22T23:17:51_sb00.hdf5",
    b"2026-02-22T23:17:51_sb00 (1).hdf5": "2026-02-22T23:17:51_sb00 (1).hdf5",
    b"notes \xe9t\xe9.txt": r"notes \xe9t\xe9.txt",
    "nächtlich.txt".encode(): "nächtlich.txt",
    b"red \x1b[31m.txt": r"red \x1b[31m.txt",
    "gpj.\u202egnitrats.txt".encode(): r"gpj.\u202egnitrats.txt",
    "2026-02-22T23:17:5\u0661_sb00.hdf5".encode(): "2026-02-22T23:17:5\u0661_sb00.hdf5",  # an Arabic digit
    b"x" * 255: "x" * 255,
    b"\xff" * 255: r"\xff" * 255,
}


class Stream:
    """The incoming directory, the store and the producer of one test; a scan takes every file that is there."""

    def __init__(self, root: Path, **environ: str) -> None:
        self.incoming = root / "incoming"
        self.incoming.mkdir()
        self.environ = {
            "PIPELINE_STATE_DIR": str(root / "state"), "CONTIMG_INPUT_DIR": str(self.incoming),
            "CONTIMG_OUTPUT_DIR": str(root / "products"), **environ,
        }  # fmt: skip
        self.settings = Settings.from_environment(self.environ)
        self.config = load(self.settings, self.environ)
        self.now = 1e9
        self.store = Store.open(self.config.queue_db, clock=lambda: self.now)
        self.producer = self.producer_of(self.incoming)

    def producer_of(self, directory: Path) -> Producer:
        return Producer(self.store, IncomingScanner(directory), Dispatcher(self.store, lambda _: None), 3600, "polling")

    def deliver(self, *paths: Path, shift_s: float = 0.0, name_shift_s: float | None = None) -> None:
        """Copy files into the incoming directory and scan, the data and names later by some seconds."""
        for path in paths:
            file = SubbandFile.parse(path)
            shift = shift_s if name_shift_s is None else name_shift_s
            target = self.incoming / subband_file_name(file.time_s + shift, file.subband)
            shutil.copy(path, target)
            with h5py.File(target, "r+") as file:
                file["Header/time_array"][:] = file["Header/time_array"][:] + shift_s / 86400
            self.settle(target)
        self.producer.scan()

    @staticmethod
    def settle(*paths: Path) -> None:
        for path in paths:
            os.utime(path, (1e9, 1e9))

    def convert(self, group: str) -> None:
        execute_stage(StageContext(self.config, self.store), Stage.CONVERT, group)

    def states(self) -> dict[str, tuple[State, int]]:
        return {group.id: (group.state, len(group.subbands)) for group in self.store.files.groups()}

    def quarantined(self) -> dict[str, str]:
        return {file.path.name: file.reason for file in self.store.files.latest(FileState.QUARANTINED)}

    def warnings(self) -> list[str]:
        return [event.text for event in self.store.events.last(100, level="warning")]


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Stream]:
    opened = Stream(tmp_path)
    yield opened
    opened.store.close()


@pytest.fixture(scope="module")
def tile(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[int, Path]]:
    """A small tile: its group and its files by subband."""
    options = SimulateOptions(groups=1, antennas=4, channels=16, integrations=3, clock_spread=0, threads=1)
    (simulated,) = simulate(options, tmp_path_factory.mktemp("telescope"))
    return simulated.plan.group, dict(sorted(simulated.files.items()))


def later(group: str, seconds: float) -> str:
    """The id of the group whose files are stamped later."""
    return subband_file_name(SubbandFile.parse(Path(f"{group}_sb00.hdf5")).time_s + seconds, 0).split("_")[0]


@pytest.mark.parametrize(("name", "shown"), ODD_NAMES.items(), ids=range(len(ODD_NAMES)))
def test_any_name_is_printable(name, shown):
    text = printable(os.fsdecode(name))
    assert text == shown
    assert text.encode("utf-8")
    assert text.isprintable()


def test_odd_names_are_quarantined_and_good_files_taken_in(stream):
    for name in ODD_NAMES:
        path = stream.incoming / os.fsdecode(name)
        path.write_bytes(b"visibilities")
        stream.settle(path)
    good = [stream.incoming / f"{STAMP}_sb{subband:02d}.hdf5" for subband in range(16)]
    for path in good:
        path.write_bytes(b"visibilities")
    stream.settle(*good)
    for _ in range(2):
        stream.producer.scan()
    assert stream.states() == {STAMP: (State.PENDING, 16)}
    expected = dict.fromkeys((shown for shown in ODD_NAMES.values()), FOREIGN)
    quarantined = stream.quarantined()
    cut = next(name for name in quarantined if name.endswith("…"))
    assert {name: reason for name, reason in quarantined.items() if name != cut} == {
        name: reason for name, reason in expected.items() if not name.startswith(r"\xff")
    }
    warnings = stream.warnings()
    assert len(warnings) == len(ODD_NAMES), "one event for each file, once"
    assert all(text.isprintable() for text in warnings)


def test_odd_names_keep_status_on_one_line(stream, monkeypatch):
    for name in list(ODD_NAMES)[:5]:
        path = stream.incoming / os.fsdecode(name)
        path.write_bytes(b"visibilities")
        stream.settle(path)
    stream.producer.scan()
    for variable, value in stream.environ.items():
        monkeypatch.setenv(variable, value)
    status = CliRunner().invoke(contimg, ["status"]).stdout
    for name in list(ODD_NAMES.values())[:5]:
        assert sum(name in line for line in status.splitlines()) >= 1
    events = CliRunner().invoke(contimg, ["events", "--json"]).stdout
    assert len([json.loads(line) for line in events.splitlines()]) == 5


@pytest.mark.parametrize(
    "first_run",
    [
        pytest.param(10, id="most files of the first run"),
        pytest.param(6, id="most files of the second run", marks=pytest.mark.long),
    ],
)
def test_second_run_of_the_correlator_is_a_group_of_its_own(stream, tile, first_run):
    group, files = tile
    paths = list(files.values())
    stream.deliver(*paths[:first_run])
    stream.deliver(*paths[first_run:], shift_s=100)  # these come first, and join the group that lacks them
    assert stream.states() == {group: (State.PENDING, 16)}
    stream.deliver(*paths[:first_run], shift_s=100)
    second = later(group, 100)
    stream.convert(group)
    assert stream.states() == {group: (State.COLLECTING, first_run), second: (State.PENDING, 16)}
    assert stream.quarantined() == {}
    assert any(second in text and paths[first_run].name.split("_")[1] in text for text in stream.warnings())
    stream.convert(second)
    ms = stream.store.products.measurement_set(second)
    assert (ms.missing_subbands, ms.group) == ((), second)
    with h5py.File(stream.incoming / f"{second}_sb00.hdf5") as file:
        first_mjd = file["Header/time_array"][0] - 2400000.5 - file["Header/integration_time"][0] / 2 / 86400
    assert ms.mjd_start == pytest.approx(first_mjd, abs=1e-8)
    stream.now += 601
    stream.producer.scan()
    assert stream.states()[group] == (State.FAILED, first_run)


def test_second_run_is_grouped_before_its_other_files_come(stream, tile):
    group, files = tile
    paths = list(files.values())
    stream.deliver(*paths[:10])
    stream.deliver(*paths[10:], shift_s=100)
    stream.convert(group)
    second = later(group, 100)
    assert stream.states() == {group: (State.COLLECTING, 10), second: (State.COLLECTING, 6)}
    stream.deliver(*paths[:10], shift_s=100)
    assert stream.states() == {group: (State.COLLECTING, 10), second: (State.PENDING, 16)}


def test_file_of_a_wrong_clock_is_quarantined(stream, tile):
    group, files = tile
    stream.deliver(*list(files.values())[:15])
    stream.deliver(files[15], shift_s=12.9, name_shift_s=0)
    stream.convert(group)
    assert stream.states() == {group: (State.COLLECTING, 15)}
    assert "12.9" in stream.quarantined()[files[15].name]


def test_file_is_regrouped_once(stream, tile):
    """The times of one file fit neither of two runs: the second one quarantines it."""
    group, files = tile
    *usual, stray = files.values()
    stream.deliver(*usual)
    stream.deliver(stray, shift_s=60, name_shift_s=0)
    stream.deliver(*usual, shift_s=100)
    second = later(group, 100)
    stream.convert(group)
    assert stream.states() == {group: (State.COLLECTING, 15), second: (State.PENDING, 16)}
    stream.convert(second)
    assert stream.states() == {group: (State.COLLECTING, 15), second: (State.COLLECTING, 15)}
    assert "40 s" in stream.quarantined()[stray.name]


def go_away(stream: Stream, paths: list[Path]) -> Path:
    away = stream.incoming.parent / "away"
    away.mkdir(exist_ok=True)
    for path in paths:
        (stream.incoming / path.name).rename(away / path.name)
    return away


@pytest.mark.parametrize("number", [1, 4, 16])
@pytest.mark.parametrize("is_scanned", [True, False], ids=["a scan sees it", "between two scans"])
def test_files_that_come_back_join_their_group(stream, tile, number, is_scanned):
    group, files = tile
    stream.deliver(*files.values())
    (stream.incoming / "README").touch()
    away = go_away(stream, list(files.values())[:number])
    stream.convert(group)
    assert stream.states() == {group: (State.COLLECTING, 16 - number)}
    assert len(stream.quarantined()) == number
    if is_scanned:
        stream.producer.scan()
        stream.now += 601  # the group waits for them from now on, not from its first file
    for path in away.iterdir():
        path.rename(stream.incoming / path.name)
    stream.producer.scan()
    assert stream.states() == {group: (State.PENDING, 16)}
    assert set(stream.quarantined()) <= {"README"}
    stream.convert(group)
    assert stream.store.products.measurement_set(group).missing_subbands == ()


def test_files_that_come_back_after_the_timeout_are_late(stream, tile):
    group, files = tile
    stream.deliver(*files.values())
    away = go_away(stream, list(files.values())[:4])
    stream.convert(group)
    stream.now += 601
    stream.producer.scan()
    stream.convert(group)
    assert stream.store.products.measurement_set(group).missing_subbands == (0, 1, 2, 3)
    for path in away.iterdir():
        path.rename(stream.incoming / path.name)
    stream.producer.scan()
    assert {file.state for file in stream.store.files.of_group(group)} == {FileState.PRESENT, FileState.LATE}
    assert f"contimg groups retry {group}" in stream.warnings()[0]
    stream.store.jobs.discard(group)
    stream.store.jobs.retry(group, stage=Stage.CONVERT)
    stream.convert(group)
    assert stream.store.products.measurement_set(group).missing_subbands == ()


def test_directory_that_moves_during_a_conversion_costs_no_time(stream, tile):
    group, files = tile
    stream.deliver(*files.values())
    lease = stream.store.leases.claim(group, Stage.CONVERT, "worker")
    moved = stream.incoming.rename(stream.incoming.with_name("moved"))
    stream.producer_of(moved).scan()
    assert stream.store.files.mark_missing(list(lease.files.values()), lease)
    assert stream.states() == {group: (State.PENDING, 16)}
    assert stream.store.files.group(group).attempts == 0


def test_missing_directory_is_waited_for(stream, tile):
    group, files = tile
    stream.deliver(*files.values())
    moved = stream.incoming.rename(stream.incoming.with_name("unmounted"))
    stream.convert(group)
    assert stream.states() == {group: (State.COLLECTING, 0)}
    moved.rename(stream.incoming)
    stream.producer.scan()
    assert stream.states() == {group: (State.PENDING, 16)}
    assert stream.store.files.group(group).attempts == 0


def test_worker_without_the_mount_fails_after_all_attempts(stream, tile):
    group, files = tile
    stream.deliver(*files.values())
    for _ in range(stream.store.database.rules.max_attempts):
        lease = stream.store.leases.claim(group, Stage.CONVERT, "elsewhere")
        assert stream.store.files.mark_missing(list(lease.files.values()), lease)
        stream.producer.scan()
        assert stream.states() == {group: (State.PENDING, 16)}
    lease = stream.store.leases.claim(group, Stage.CONVERT, "elsewhere")
    assert isinstance(lease, Lease)
    assert not stream.store.files.mark_missing(list(lease.files.values()), lease)


def test_moved_directory_keeps_its_groups(stream, tile):
    group, files = tile
    paths = list(files.values())
    stream.deliver(*paths)
    stream.deliver(*paths[:5], shift_s=309)
    stream.convert(group)
    notes = stream.incoming / "notes 50%_.txt"
    notes.write_text("weather")
    os.utime(notes, (1.1e9, 1.1e9))
    stream.producer.scan()
    assert len(stream.warnings()) == 1
    moved = stream.incoming.rename(stream.incoming.with_name("new disk"))
    for path in moved.iterdir():
        os.utime(path, (1.1e9, 1.1e9))  # as after a copy
    producer = stream.producer_of(moved)
    producer.scan()
    assert stream.quarantined() == {"notes 50%_.txt": FOREIGN}
    assert len(stream.warnings()) == 1, "the foreign file is quarantined once"
    assert stream.states() == {group: (State.PENDING, 16), later(group, 309): (State.COLLECTING, 5)}
    assert {file.path.parent for file in stream.store.files.latest()} == {moved}
    assert not any("again" in text for text in stream.warnings()), "a copy is no change"
    assert any(str(stream.incoming) in event.text and "21" in event.text for event in stream.store.events.last(5))
    stream.store.jobs.discard(group)
    stream.store.jobs.retry(group, stage=Stage.CONVERT)
    stream.convert(group)
    assert stream.store.products.measurement_set(group).missing_subbands == ()


def test_directory_of_another_name_is_the_same(stream, tile):
    _, files = tile
    stream.deliver(*files.values())
    alias = stream.incoming.with_name("alias")
    alias.symlink_to(stream.incoming)
    stream.producer_of(alias).scan()
    assert stream.quarantined() == {}
    assert {file.path.parent for file in stream.store.files.latest()} == {alias}


def test_copied_directory_is_quarantined(stream, tile):
    _, files = tile
    stream.deliver(*files.values())
    copied = shutil.copytree(stream.incoming, stream.incoming.with_name("copied"))
    stream.producer_of(copied).scan()
    assert len(stream.quarantined()) == 16
    assert all("duplicate" in reason for reason in stream.quarantined().values())


@pytest.mark.parametrize("is_converted", [False, True])
def test_file_written_again_after_its_use_is_an_event(stream, tile, is_converted):
    group, files = tile
    stream.deliver(*files.values())
    if is_converted:
        stream.convert(group)
    path = stream.incoming / files[3].name
    os.utime(path, (1.1e9, 1.1e9))
    for _ in range(2):
        stream.producer.scan()
    expected = [(path.name, f"contimg groups retry {group} --stage convert")] if is_converted else []
    assert [(path.name, f"contimg groups retry {group} --stage convert") for text in stream.warnings()] == expected
    assert all(name in text and command in text for name, command in expected for text in stream.warnings())


def test_same_data_under_a_second_time_stamp_is_an_event(stream, tile):
    group, files = tile
    stream.deliver(*files.values())
    stream.deliver(*files.values(), name_shift_s=30)
    stream.convert(group)
    assert stream.warnings() == []
    stream.convert(later(group, 30))
    (text,) = stream.warnings()
    assert group in text


def test_files_in_subdirectories_are_an_event(stream):
    nested = stream.incoming / "2026" / "02"
    nested.mkdir(parents=True)
    (stream.incoming / "truth").mkdir()
    (stream.incoming / "truth" / "model.txt").touch()
    stream.producer.scan()
    assert stream.quarantined() == {}
    (nested / f"{STAMP}_sb00.hdf5").touch()
    for _ in range(3):
        stream.producer.scan()
        (stream.incoming / "2026" / "more").mkdir(exist_ok=True)
    assert stream.quarantined() == {"2026": SUBDIRECTORY}
    assert len(stream.warnings()) == 1
    assert str(stream.incoming / "2026") in [str(file.path) for file in stream.store.files.latest()]


def test_panel_and_commands_show_odd_names(stream):
    names = list(ODD_NAMES)[:5]
    for name in names:
        path = stream.incoming / os.fsdecode(name)
        path.write_bytes(b"visibilities")
        stream.settle(path)
    stream.producer.scan()
    client = create_app(stream.settings, stream.store, fresh_s=0.0).test_client()
    for page in ("/", "/events"):
        assert client.get(page).status_code == 200
    listed = client.get("/api/status").get_json()
    assert all(any(ODD_NAMES[name] in text for text in texts(listed)) for name in names)
    odd = stream.incoming / os.fsdecode(b"copy \x96")
    odd.mkdir()
    command = [sys.executable, "-m", "contimg", "convert", str(odd), str(odd), STAMP, STAMP]
    run = subprocess.run(command, capture_output=True, env=os.environ | stream.environ, check=False, timeout=120)
    assert run.returncode in (2, 3)
    assert b"Traceback" not in run.stderr


def texts(value: Any) -> list[str]:
    """All texts in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


def test_printable_takes_any_character():
    characters: list[Any] = [chr(code) for code in range(0x110000)]
    assert all(printable(character).isprintable() for character in characters)
