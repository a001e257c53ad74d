"""Many groups converted in turn or side by side, for a run by hand."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from contimg.errors import BadFile, BadInput, ContimgError, Transient
from contimg.tile.convert.options import ConvertOptions
from contimg.tile.convert.result import Conversion
from contimg.tile.convert.run import convert


@dataclass(frozen=True)
class Task:
    """One group to convert.

    Attributes
    ----------
    group, files, target : its name, its files by subband, its Measurement Set.
    min_subbands, subbands : convert it with at least so many of how many files.
    rooms : where to write it before it is moved to its place.
    """

    group: str
    files: Mapping[int, Path]
    target: Path
    min_subbands: int
    subbands: int
    rooms: Sequence[Path] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of one group: its product or the reason that there is none, and the files that were left out."""

    task: Task
    made: Conversion | None = None
    error: str = ""
    left_out: tuple[str, ...] = field(default=())


def run(tasks: Sequence[Task], options: ConvertOptions, jobs: int = 1) -> Iterator[Outcome]:
    """Convert the groups, `jobs` at a time, and give each outcome as soon as it is there.

    An error of one group does not keep the others from being converted.
    """
    if jobs == 1:
        yield from (convert_one(task, options) for task in tasks)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=_share_cores, initargs=(threads,)
    ) as pool:
        waiting = {pool.submit(convert_one, task, options): task for task in tasks}
        for done in as_completed(waiting):
            failure = done.exception()
            yield done.result() if failure is None else Outcome(waiting[done], error=f"the process ended: {failure}")


def convert_one(task: Task, options: ConvertOptions) -> Outcome:
    """Convert one group, with one bad file after the other left out while enough remain."""
    files, left_out = dict(task.files), list[str]()
    try:
        while len(files) >= task.min_subbands:
            try:
                made = convert(files, task.target, options, rooms=task.rooms)
                return Outcome(task, made, left_out=tuple(left_out))
            except BadFile as error:
                left_out.append(str(error))
                files = {subband: path for subband, path in files.items() if path != error.path}
    except (BadInput, Transient) as error:
        return Outcome(task, error=str(error), left_out=tuple(left_out))
    except ContimgError as error:
        return Outcome(task, error=f"{type(error).__name__}: {error}", left_out=tuple(left_out))
    return Outcome(
        task,
        error=f"incomplete, {len(files)} of {task.subbands} subbands are good; --min-subbands takes fewer",
        left_out=tuple(left_out),
    )


def _share_cores(threads: int) -> None:
    import numba

    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
