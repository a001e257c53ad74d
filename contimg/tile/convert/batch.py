"""Converting many groups one after the other or in several processes, for `contimg convert`."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from contimg.common.errors import BadFile, BadInput, ContimgError, Transient
from contimg.tile.convert import Conversion, ConvertOptions, convert


@dataclass(frozen=True)
class ConvertTask:
    """A group to convert.

    Attributes
    ----------
    group : its id.
    files : path by subband.
    target : path of the Measurement Set.
    min_subbands, subbands : number of good files needed, and number of a complete group.
    scratch : directories to write in first, see `contimg.common.files.staging.staged`.
    """

    group: str
    files: Mapping[int, Path]
    target: Path
    min_subbands: int
    subbands: int
    scratch: Sequence[Path] = ()


@dataclass(frozen=True)
class ConvertOutcome:
    """Outcome of a task: its product, or the error, and the reason for each file that was left out."""

    task: ConvertTask
    product: Conversion | None = None
    error: str = ""
    left_out: tuple[str, ...] = ()


def convert_groups(tasks: Sequence[ConvertTask], options: ConvertOptions, jobs: int = 1) -> Iterator[ConvertOutcome]:
    """Convert groups in `jobs` processes and yield each outcome when it is ready.

    An error of one group does not keep the others from being converted.

    Parameters
    ----------
    tasks : the groups.
    options : of the convert stage.
    jobs : number of processes; 1 converts in this one.
    """
    if jobs == 1:
        yield from (convert_group(task, options) for task in tasks)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(convert_group, task, options): task for task in tasks}
        for future in as_completed(futures):
            if failure := future.exception():
                yield ConvertOutcome(futures[future], error=f"the process ended: {failure}")
            else:
                yield future.result()


def convert_group(task: ConvertTask, options: ConvertOptions) -> ConvertOutcome:
    """Convert one group; bad files are left out one after the other while enough remain.

    Parameters
    ----------
    task : the group.
    options : of the convert stage.
    """
    files, left_out = dict(task.files), list[str]()
    product, error = None, ""
    while product is None and not error:
        if len(files) < task.min_subbands:
            error = f"incomplete, {len(files)} of {task.subbands} subbands are good; --min-subbands accepts fewer"
            break
        try:
            product = convert(files, task.target, options, scratch=task.scratch)
        except BadFile as bad:
            left_out.append(str(bad))
            files = {subband: path for subband, path in files.items() if path != bad.path}
        except (BadInput, Transient) as failure:
            error = str(failure)
        except ContimgError as failure:
            error = f"{type(failure).__name__}: {failure}"
    return ConvertOutcome(task, product, error, tuple(left_out))
