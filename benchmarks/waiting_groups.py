"""Cost of a group in the store while many others wait: registered, sent, claimed and committed."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from empty_stages import run
from sqlalchemy import insert

from contimg.formats.uvh5.grouping import SubbandFile, stamp_of
from contimg.instrument.dsa110 import BAND, CADENCE_S
from contimg.settings import DispatchSettings, StreamingConfig
from contimg.store import LIVE, TILE, FileState, Lease, Stage, State, Store, tables
from contimg.store.jobs.kinds import LIVE_PRIORITY
from contimg.tile.calibrate.options import CalibrateOptions
from workers.execution.stages import StageContext
from workers.scheduling.calibrator_tiles import CalibratorTiles
from workers.scheduling.dispatcher import Dispatcher
from workers.scheduling.reconciler import Reconciler

_BEGIN_S = 1_771_802_271
_GROUPS_PER_TRANSACTION = 2000


def measure_costs(directory: Path, waiting: int, rounds: int) -> dict[str, float]:
    """Return the median core milliseconds of the steps of one group, and of a round of the reconciler.

    In each round one group arrives and one, the first in the order of the dispatcher, is completed.
    """
    store = Store.open(directory / f"{waiting}.sqlite3")
    _add_waiting_groups(store, waiting)
    costs = measure_steps(store, directory, range(waiting, waiting + rounds + 1))
    store.close()
    return {"waiting": waiting, **costs}


def measure_steps(store: Store, directory: Path, numbers: range, begin_s: int = _BEGIN_S) -> dict[str, float]:
    """Return the median core milliseconds of each step of new groups; the first group includes imports.

    Parameters
    ----------
    store : is written to.
    directory : in which products would be.
    numbers : of the new groups. begin_s : time of group 0, epoch seconds.
    """
    context, options = StageContext(StreamingConfig(output_dir=directory / "products"), store), CalibrateOptions()
    calibrators = CalibratorTiles(store, options)
    settings = DispatchSettings(max_in_flight=1)
    dispatcher = Dispatcher(store, lambda job: None, settings, calibrators=calibrators)
    reconciler = Reconciler(store, dispatcher, lambda: dict.fromkeys(Stage, 0))
    measured: dict[str, list[float]] = {}
    sent: list[str] = []
    steps: dict[str, Callable[[int], object]] = {
        "taken in": lambda number: _take_in(store, _group_id(number, begin_s)),
        "sent": lambda _: sent.extend(dispatcher.fill()),
        "a round of the reconciler": lambda _: reconciler.round(),
        "three stages": lambda _: _run_stages(context, sent.pop()),
    }
    for number in numbers:
        for name, step in steps.items():
            measured.setdefault(name, []).append(_core_ms(step, number))
    return {name: round(median(values[1:]), 2) for name, values in measured.items()}


def _core_ms(step: Callable[[int], object], number: int) -> float:
    start_s = time.process_time()
    step(number)
    return 1000 * (time.process_time() - start_s)


def _group_id(number: int, begin_s: int = _BEGIN_S) -> str:
    return stamp_of(begin_s + round(CADENCE_S * number))


def _take_in(store: Store, group: str) -> None:
    paths = [Path(f"/incoming/{group}_sb{subband:02d}.hdf5") for subband in range(BAND.subbands)]
    store.files.register([file for path in paths if (file := SubbandFile.parse(path, 1, 1.0))])


def _run_stages(context: StageContext, group: str) -> None:
    """Claim and commit each stage, as a worker does."""
    for stage in TILE.stages:
        lease = context.store.leases.claim(group, stage, "bench")
        if not isinstance(lease, Lease):
            raise SystemExit(lease.detail)
        context.store.leases.commit(lease, run(context, lease))


def _add_waiting_groups(store: Store, waiting: int) -> None:
    """Add `waiting` complete groups with their files and jobs, not yet sent."""
    for begin in range(0, waiting, _GROUPS_PER_TRANSACTION):
        numbers = range(begin, min(waiting, begin + _GROUPS_PER_TRANSACTION))
        with store.database.write() as session:
            session.execute(insert(tables.Group), [_group_row(number) for number in numbers])
            session.execute(insert(tables.Job), [_job_row(number) for number in numbers])
            session.execute(insert(tables.SubbandFileRow), [row for number in numbers for row in _file_rows(number)])


def _group_row(number: int) -> dict[str, object]:
    time_s = float(_BEGIN_S + round(CADENCE_S * number))
    return {"id": _group_id(number), **dict.fromkeys(("reference_s", "collecting_since", "created_at"), time_s)}


def _job_row(number: int) -> dict[str, object]:
    time_s = float(_BEGIN_S + round(CADENCE_S * number))
    times = dict.fromkeys(("reference_s", "created_at", "updated_at"), time_s)
    queued = {"state": State.PENDING, "stage": Stage.CONVERT, "attempts": 0, "priority": LIVE_PRIORITY}
    return {"kind": TILE.name, "key": _group_id(number), "processing": LIVE, **queued, **times}


def _file_rows(number: int) -> list[dict[str, object]]:
    group, time_s = _group_id(number), float(_BEGIN_S + round(CADENCE_S * number))
    return [
        {
            "path": f"/incoming/{group}_sb{subband:02d}.hdf5", "group_id": group, "subband": subband, "size": 1,
            "time_s": time_s, "mtime": 1.0, "arrived_at": time_s, "state": FileState.PRESENT,
        }
        for subband in range(BAND.subbands)
    ]  # fmt: skip
