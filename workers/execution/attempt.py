"""Execute a stage: claim it, run it, commit it. The class of an error decides the state of the job."""

import logging
import os
from contextlib import suppress
from pathlib import Path
from time import perf_counter

from contimg.common.errors import BadFile, BadInput, ContimgError, LeaseLost, MixedTimes, Transient
from contimg.common.files.staging import guarded_renames
from contimg.store import LIVE, Lease, Refusal, Refused, RunFigures, Stage, State
from contimg.store.jobs.records import JobRef
from workers import logs
from workers.execution import stages
from workers.execution.heartbeat import keep_lease
from workers.execution.processes import ProcessName
from workers.execution.stages import StageContext

log = logging.getLogger(__name__)
_PROC = Path("/proc/self")


class Cost:
    """Cost of one run of a stage in this process, from its creation on: time, peak memory, bytes read and written.

    Core time and bytes include finished child processes; the memory is of this process alone. A figure that the kernel
    or the container does not show stays None.
    """

    def __init__(self) -> None:
        self._began, self._core_s = perf_counter(), _core_s()
        self._before = _proc_numbers("io")
        with suppress(OSError):
            # "5" resets the high-water mark, so that an earlier, larger stage does not show in this figure.
            (_PROC / "clear_refs").write_text("5", encoding="ascii")

    def figures(self) -> RunFigures:
        """Return the cost so far."""
        now, peak_kb = _proc_numbers("io"), _proc_numbers("status").get("VmHWM")
        return RunFigures(
            seconds=perf_counter() - self._began,
            core_s=_core_s() - self._core_s,
            peak_rss_bytes=None if peak_kb is None else 1024 * peak_kb,
            bytes_read=now["rchar"] - self._before["rchar"] if "rchar" in self._before else None,
            bytes_written=now["wchar"] - self._before["wchar"] if "wchar" in self._before else None,
        )


def execute_stage(context: StageContext, stage: Stage, job: JobRef, task_id: str | None = None) -> bool:
    """Execute a stage of a job if it can be claimed.

    The chain continues after a commit, and when the stage was committed before; otherwise it ends, and the reconciler
    sends another when the job is pending again.

    Parameters
    ----------
    context : the configuration and the store.
    stage : the stage to execute.
    job : id of the job, or of the group whose live job is meant.
    task_id : id of the Celery task, for the lease and the log lines; None outside a worker.

    Returns
    -------
    whether the chain of messages continues. An error of the stage is recorded with the job and not raised.
    """
    with logs.about(job=str(job), stage=str(stage), **({"task": task_id} if task_id else {})):
        stages.load(stage)
        lease = context.store.leases.claim(job, stage, str(ProcessName.of()), task_id=task_id)
        if isinstance(lease, Refused):
            log.info("nothing to do: %s", lease.detail)
            return lease.reason is Refusal.DONE
    with logs.about(group=lease.key, stage=str(stage), **({"task": task_id} if task_id else {})):
        log.info("attempt %d", lease.attempt)
        try:
            return _attempt(context, lease)
        except LeaseLost as error:
            log.warning("%s", error)
            return False


def _attempt(context: StageContext, lease: Lease) -> bool:
    """Run and commit; an error ends the lease as its class says. LeaseLost passes through."""
    cost = Cost()
    try:
        with keep_lease(context.store, lease), guarded_renames(lambda: context.store.leases.hold_lease(lease)):
            produced = stages.run(context, lease)
        context.store.leases.commit(lease, produced, cost.figures())
    except LeaseLost:
        raise
    except (BadFile, Transient) as error:
        if lease.processing != LIVE:  # the files belong to the live group, which a campaign does not change
            _fail(context, lease, error, cost, permanent=isinstance(error, BadFile) or bool(_missing(lease)))
        elif not _reject_files(context, lease, error):
            _fail(context, lease, error, cost)
    except BadInput as error:
        if stages.is_broken(context, lease):
            state = context.store.leases.redo(lease, Stage.CONVERT, str(error))
            log.warning("%s: its Measurement Set is converted again: %s", state, error)
        else:
            _fail(context, lease, error, cost, permanent=True)
    except (ContimgError, MemoryError) as error:  # after Misconfigured an operator corrects it while the job waits
        _fail(context, lease, error, cost)
    except Exception as error:
        log.exception("unexpected")
        _fail(context, lease, error, cost)
    except BaseException:  # the process is asked to exit
        with suppress(LeaseLost):  # it exceeded the time limit, and its lease was ended first
            context.store.leases.release(lease)
        raise
    else:
        log.info("done in %.1f s", cost.figures().seconds)
        return True
    return False


def _reject_files(context: StageContext, lease: Lease, error: ContimgError) -> bool:
    """End the lease of a conversion that could not use some of its files; False when the error is none of a file."""
    files = context.store.files
    # Also when a whole directory is away: the files are taken in again when it is back, and no attempt is used up.
    if missing := _missing(lease):
        if not files.mark_missing(missing, lease):
            return False
        log.warning("%d files are gone, the first is %s", len(missing), missing[0])
    elif isinstance(error, MixedTimes) and (groups := files.regroup(error.starts_s, lease)):
        log.warning("%s: files of another time are now in %s", error, ", ".join(groups))
    elif isinstance(error, BadFile):
        files.quarantine(error.path, error.reason, lease=lease)
        log.warning("quarantined %s", error)
    else:
        return False
    return True


def _missing(lease: Lease) -> list[Path]:
    """The files of a lease that do not exist; none when that cannot be found out."""
    try:
        return [path for path in lease.files.values() if not path.exists()]
    except OSError:
        return []


def _fail(context: StageContext, lease: Lease, error: Exception, cost: Cost, *, permanent: bool = False) -> None:
    text, error_class = _text_of(error), type(error).__name__
    state = context.store.leases.fail(lease, text, permanent=permanent, error_class=error_class, figures=cost.figures())
    log.log(logging.ERROR if state is State.FAILED else logging.WARNING, "%s: %s", state, text)


def _text_of(error: Exception) -> str:
    """An error as an operator reads it; only an unexpected one needs its class."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    return str(error) if isinstance(error, ContimgError) else f"{type(error).__name__}: {error}"


def _core_s() -> float:
    """Time that this process and its finished children have used of the cores, s."""
    return sum(os.times()[:4])


def _proc_numbers(name: str) -> dict[str, int]:
    """The lines `Key: number ...` of a file of /proc/self; none when it cannot be read."""
    try:
        lines = (_PROC / name).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    split = (line.partition(":") for line in lines)
    return {key: int(value.split()[0]) for key, _, value in split if value.split()[:1] and value.split()[0].isdigit()}
