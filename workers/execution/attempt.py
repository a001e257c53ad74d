"""Execute a stage: claim it, run it, commit it. The class of an error decides the state of the job."""

import logging
from contextlib import suppress
from enum import Enum

from contimg.errors import BadFile, BadInput, ContimgError, LeaseLost
from contimg.files.staging import guarded_renames
from contimg.store import Lease, Refusal, Refused, Stage, State
from contimg.store.jobs.records import JobRef
from workers import logs
from workers.execution import stages
from workers.execution.cost import Cost
from workers.execution.heartbeat import keep_lease
from workers.execution.processes import ProcessName
from workers.execution.stages import StageContext

log = logging.getLogger(__name__)


class ChainAction(Enum):
    """What the chain of a job's messages does after a stage."""

    CONTINUE = "continue"
    END = "end"


def execute_stage(context: StageContext, stage: Stage, job: JobRef, task_id: str | None = None) -> ChainAction:
    """Execute a stage of a job if it can be claimed.

    The chain continues after a commit, and when the stage was committed before; otherwise it ends, and the reconciler
    sends another when the job is pending again.
    """
    with logs.about(job=str(job), stage=str(stage), **({"task": task_id} if task_id else {})):
        stages.load(stage)
        lease = context.store.leases.claim(job, stage, str(ProcessName.of()), task_id=task_id)
        if isinstance(lease, Refused):
            log.info("nothing to do: %s", lease.detail)
            return ChainAction.CONTINUE if lease.reason is Refusal.DONE else ChainAction.END
    with logs.about(group=lease.key, stage=str(stage), **({"task": task_id} if task_id else {})):
        log.info("attempt %d", lease.attempt)
        try:
            return _attempt(context, lease)
        except LeaseLost as error:
            log.warning("%s", error)
            return ChainAction.END


def _attempt(context: StageContext, lease: Lease) -> ChainAction:
    """Run and commit; an error ends the lease as its class says. LeaseLost passes through."""
    cost = Cost()
    try:
        with keep_lease(context.store, lease), guarded_renames(lambda: context.store.leases.hold_lease(lease)):
            produced = stages.run(context, lease)
        context.store.leases.commit(lease, produced, cost.figures())
    except LeaseLost:
        raise
    except BadFile as error:
        context.store.files.quarantine(error.path, error.reason, lease=lease)
        log.warning("quarantined %s", error)
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
        return ChainAction.CONTINUE
    return ChainAction.END


def _fail(context: StageContext, lease: Lease, error: Exception, cost: Cost, *, permanent: bool = False) -> None:
    text, error_class = _text_of(error), type(error).__name__
    state = context.store.leases.fail(lease, text, permanent=permanent, error_class=error_class, figures=cost.figures())
    log.log(logging.ERROR if state is State.FAILED else logging.WARNING, "%s: %s", state, text)


def _text_of(error: Exception) -> str:
    """An error as an operator reads it; only an unexpected one needs its class."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    return str(error) if isinstance(error, ContimgError) else f"{type(error).__name__}: {error}"
