"""Every kind of bad file comes through the real stream, each followed by a good group, as on a very bad night.

Each is quarantined with its reason or waited for in vain, its group says so, and the group after it has its image.
"""

import re
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from waiting import until

from contimg.simulation import SimulateOptions, simulate
from contimg.store import FileState, State, Store
from workers.producer.scanner import EMPTY

sys.path.append(str(Path(__file__).resolve().parents[1] / "tile" / "convert"))
from test_bad_files import FAULTS as FILE_FAULTS

BAD = 7  # the subband that is made bad
ENDED = {State.COMPLETED, State.FAILED}
Files = dict[int, Path]


@dataclass(frozen=True)
class Fault:
    """What is done to a group's files before they come, and the reason the bad file is quarantined for, if any."""

    damage: Callable[[Files, Files], None]  # of the group, and of the good group after it
    reason: str | None


def in_place(change: Callable[[Path], object]) -> Callable[[Files, Files], None]:
    return lambda files, _: change(files[BAD])


def unfinished(files: Files, _: Files) -> None:
    files[BAD] = files[BAD].rename(files[BAD].with_name(files[BAD].name.replace(".hdf5", "_incomplete.hdf5")))


def duplicate(files: Files, _: Files) -> None:
    shutil.copy(files[3], files[BAD])


def of_another_tile(files: Files, after: Files) -> None:
    shutil.copy(after[BAD], files[BAD])


def absent(files: Files, _: Files) -> None:
    files.pop(BAD).unlink()


# "gone" is a file that was there, and vanishes between its arrival and the conversion: a pause makes sure of that.
FAULTS = {
    **{kind: Fault(in_place(damage), reason) for kind, (damage, reason) in FILE_FAULTS.items() if kind != "gone"},
    "empty": Fault(in_place(FILE_FAULTS["empty"][0]), re.escape(EMPTY)),
    "a duplicate of another subband": Fault(duplicate, r"\b3\b"),
    "of another tile": Fault(of_another_tile, r"\b\d+ s\b"),
    "never finished": Fault(unfinished, None),
    "never came": Fault(absent, None),
    "gone": Fault(lambda *_: None, FILE_FAULTS["gone"][1]),
}


@pytest.fixture
def night(tmp_path: Path) -> list[tuple[str, Files]]:
    """Two groups a fault, and one before all: name and files, in order of time."""
    options = SimulateOptions(
        groups=2 * len(FAULTS) + 1, antennas=8, channels=48, integrations=4, clock_spread=0, threads=1, noise=False
    )
    return [(tile.plan.group, dict(tile.files)) for tile in simulate(options, tmp_path / "telescope")]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_bad_files_are_quarantined_and_next_group_is_imaged(deployment, night):
    deployment.more |= {
        "CONTIMG_COLLECTION_TIMEOUT_S": "6", "CONTIMG_MIN_SUBBANDS": "16", "CONTIMG_ORDER": "oldest",
        "CONTIMG_IMAGE_SIZE": "128", "CONTIMG_CALIBRATE_FLAG": "0", "CONTIMG_MAX_WORKERS": "3", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    first, good, bad = night[0], night[2::2], dict(zip(FAULTS, night[1::2], strict=True))
    for (kind, (_, files)), (_, after) in zip(bad.items(), good, strict=True):
        FAULTS[kind].damage(files, after)
    service = deployment.start_process(*deployment.command("run", "--no-web"), log="run.log")
    store = Store.open(deployment.config.queue_db)
    try:
        until(lambda: store.activity.last_beat("producer.scan"), 40, "the first scan")
        store.jobs.pause("a test")
        for _, files in night:
            for path in files.values():
                path.rename(deployment.incoming / path.name)
        names, (lost, files) = [name for name, _ in night], bad["gone"]
        until(lambda: (row := store.files.group(lost)) and row.state is State.PENDING, 20, "the whole night is there")
        (deployment.incoming / files[BAD].name).unlink()
        store.jobs.resume("a test")
        until(lambda: all((row := store.files.group(name)) and row.state in ENDED for name in names), 200, "all end")
        assert service.poll() is None
        for name, _ in (first, *good):
            group = store.files.group(name)
            assert (group.state, group.partial, group.error) == (State.COMPLETED, False, None), name
            assert store.products.image_of(name).fits_path.exists()
        reasons = {file.path.name: file.reason for file in store.files.latest(FileState.QUARANTINED, limit=1000)}
        for kind, (name, _) in bad.items():
            check_bad(store, FAULTS[kind], name, reasons)
        assert reasons == {}, "nothing else was quarantined"
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(60)
        store.close()


def check_bad(store: Store, fault: Fault, name: str, reasons: dict[str, str]) -> None:
    """The group has failed, says why, and has no product; its file has a reason for people, taken out of `reasons`."""
    group, file = store.files.group(name), f"{name}_sb{BAD:02d}.hdf5"
    assert (group.state, group.lease_owner, len(group.subbands)) == (State.FAILED, None, 15), name
    if fault.reason is None:
        assert re.search(r"\b15\b.*\b16\b", group.error)
        assert file not in reasons
    else:
        reason = reasons.pop(file)
        assert re.search(fault.reason, reason)
        assert re.fullmatch(r"[^\n]{5,300}", reason)
        assert "Traceback" not in reason
        assert re.search(rf"\b15\b.*\b16\b.*\b1\b.*{re.escape(file)}.*{re.escape(reason)}", group.error)
    assert store.products.measurement_set(name) is None
    assert store.products.image_of(name) is None
