"""A Measurement Set is changed in a copy: the path in target is whole at every instant, and the bulk is not copied."""

import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import table

from contimg.common.errors import BadInput
from contimg.common.files import staging
from contimg.common.files.staging import restore_replaced, staged, temporaries
from contimg.formats.ms.columns import add_like
from contimg.formats.ms.info import read_ms_info
from contimg.formats.ms.revision import revised
from contimg.tile.convert import convert

CHANGED, CORRECTED = ("FLAG", "FLAG_ORIGINAL"), "CORRECTED_DATA"


@pytest.fixture(scope="module")
def original(drift_sim_files, tmp_path_factory) -> Path:
    return convert(drift_sim_files, tmp_path_factory.mktemp("original") / "original.ms").path


@pytest.fixture
def ms(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "out" / "2026-02-22T23:17:51.ms"))


def contents(ms: Path) -> dict[str, tuple[int, bytes]]:
    """Every file's identity and bytes."""
    return {
        str(path.relative_to(ms)): (path.stat().st_ino, path.read_bytes())
        for path in sorted(ms.rglob("*"))
        if path.is_file()
    }


def tiles_of(ms: Path, column: str) -> Path:
    with table(str(ms), ack=False) as main:
        number = next(manager["SEQNR"] for manager in main.getdminfo().values() if manager["COLUMNS"] == [column])
    return next(ms.glob(f"table.f{number}_TSM*"))


def change(copy: Path, factor: float = 2.0) -> None:
    """What a calibration does."""
    with table(str(copy), readonly=False, ack=False) as main:
        main.putcol("FLAG", ~main.getcol("FLAG"))
        if CORRECTED in main.colnames():
            main.removecols([CORRECTED])
        add_like(main, CORRECTED, "DATA")
        main.putcol(CORRECTED, np.complex64(factor) * main.getcol("DATA"))


def check_changed(ms: Path, before: Path, factor: float = 2.0) -> None:
    with table(str(ms), ack=False) as ours, table(str(before), ack=False) as old:
        assert np.array_equal(ours.getcol("DATA"), old.getcol("DATA"))
        assert np.array_equal(ours.getcol("FLAG"), ~old.getcol("FLAG"))
        assert np.array_equal(ours.getcol(CORRECTED), np.complex64(factor) * old.getcol("DATA"))


@pytest.mark.parametrize("linking", [True, False], ids=["linked", "copied"])
def test_copy_replaces_measurement_set(ms, original, linking, monkeypatch):
    if not linking:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    tiles, number = tiles_of(ms, "DATA"), tiles_of(ms, "DATA").stat().st_ino
    with revised(ms, CHANGED) as copy:
        assert read_ms_info(copy).name == read_ms_info(ms).name
        change(copy)
    check_changed(ms, original)
    assert (tiles.stat().st_ino == number) is linking
    assert tiles.stat().st_nlink == 1, "the old set is gone, and with it its name of the data"
    assert temporaries(ms.parent) == []


def refuse(*_: object) -> None:
    raise OSError("no hard links")


def damage(ms: Path) -> None:
    """Change much, and then find that nothing is to be kept."""
    with revised(ms, CHANGED) as copy:
        change(copy, 5.0)
        raise BadInput(f"{copy}: nothing alive in it")


def test_failed_revision_changes_nothing(ms):
    with revised(ms, CHANGED) as copy:
        change(copy)
    before = contents(ms)
    with pytest.raises(BadInput) as raised:
        damage(ms)
    assert str(raised.value) == f"{ms}: nothing alive in it"
    assert contents(ms) == before
    assert temporaries(ms.parent) == []


def test_recreated_column_leaves_old_one_unchanged(ms, original):
    with revised(ms, CHANGED) as copy:
        change(copy, 3.0)
    with table(str(ms), ack=False) as reader, revised(ms, CHANGED) as copy:
        with table(str(copy), readonly=False, ack=False) as main:
            main.putcol("FLAG", ~main.getcol("FLAG"))
        change(copy, 5.0)
        assert np.array_equal(reader.getcol(CORRECTED), 3.0 * reader.getcol("DATA"))
    check_changed(ms, original, 5.0)


def test_other_directory_is_bad_input(tmp_path):
    (tmp_path / "broken.ms").mkdir()
    with pytest.raises(BadInput, match=r"broken\.ms\b"), revised(tmp_path / "broken.ms", ()):
        pass


def product(target: Path, text: str) -> Path:
    target.mkdir()
    (target / "text").write_text(text)
    return target


def test_path_exists_at_every_instant(tmp_path):
    target, stop, missing = product(tmp_path / "product", "first"), threading.Event(), []

    def watch() -> None:
        while not stop.is_set():
            if not target.exists():
                missing.append(None)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(300):
        with staged(target) as temporary:
            product(temporary, str(number))
    stop.set()
    watcher.join()
    assert missing == []
    assert (target / "text").read_text() == "299"
    assert list(tmp_path.iterdir()) == [target]


def test_interrupted_replacement_is_restored(tmp_path, monkeypatch):
    target = product(tmp_path / "product", "first")
    monkeypatch.setattr(staging, "_exchange", lambda *_: False)
    with staged(target) as temporary:
        product(temporary, "second")
    assert (target / "text").read_text() == "second"
    pid = os.fork()
    if pid == 0:
        renames = []

        def die_at_the_second(name: str, _: object) -> None:
            if name == "os.rename" and renames.append(name) is None and len(renames) == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(die_at_the_second)
        with staged(target) as temporary:
            product(temporary, "third")
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert not target.exists()
    assert restore_replaced(target)
    assert (target / "text").read_text() == "second"
    assert not restore_replaced(target)
