"""One turn of a worker: claim a stage, run it, commit it. The class of an error decides what becomes of the group."""

import logging
from contextlib import suppress
from enum import Enum

from contimg.errors import BadFile, BadInput, ContimgError, LeaseLost, Transient
from contimg.files.staging import guarded_renames
from contimg.store import Lease, Refusal, Refused, Stage, State
from workers import logs
from workers.execution import stages
from workers.execution.cost import Cost
from workers.execution.heartbeat import kept_alive
from workers.execution.processes import ProcessName
from workers.execution.stages import StageContext

log = logging.getLogger(__name__)


class Then(Enum):
    """What the group's chain of messages does after a turn."""

    GO_ON = "go on"
    END = "end"


def take_turn(house: StageContext, stage: Stage, group: str, task_id: str | None = None) -> Then:
    """Do a stage of a group if it is there to be done.

    The chain goes on after a commit, and when the stage was done before; otherwise it ends, and the reconciler sends
    another when there is work again.
    """
    with logs.about(group=group, stage=str(stage), **({"task": task_id} if task_id else {})):
        stages.load(stage)
        claimed = house.store.leases.claim(group, stage, str(ProcessName.of()), task_id=task_id)
        if isinstance(claimed, Refused):
            log.info("nothing to do: %s", claimed.detail)
            return Then.GO_ON if claimed.reason is Refusal.DONE else Then.END
        log.info("attempt %d", claimed.attempt)
        try:
            return _attempt(house, claimed)
        except LeaseLost as error:
            log.warning("%s", error)
            return Then.END


def _attempt(house: StageContext, lease: Lease) -> Then:
    """Run and commit; whatever goes wrong ends the lease in the way that its class says. LeaseLost passes through."""
    cost = Cost()
    try:
        with kept_alive(house.store, lease), guarded_renames(lambda: house.store.leases.held_fast(lease)):
            produced = stages.run(house, lease)
        house.store.leases.commit(lease, produced, cost.figures())
    except LeaseLost:
        raise
    except BadFile as error:
        house.store.arrivals.set_aside(error.path, error.reason, lease=lease)
        log.warning("set aside %s", error)
    except BadInput as error:
        if stages.is_broken(house, lease):
            state = house.store.leases.redo(lease, Stage.CONVERT, str(error))
            log.warning("%s: its Measurement Set is made again: %s", state, error)
        else:
            _fail(house, lease, error, cost, permanent=True)
    except (Transient, MemoryError) as error:
        _fail(house, lease, error, cost, permanent=False)
    except ContimgError as error:  # Misconfigured: a person mends it while the group waits
        _fail(house, lease, error, cost, permanent=False)
    except Exception as error:
        log.exception("unexpected")
        _fail(house, lease, error, cost, permanent=False)
    except BaseException:  # told to exit
        with suppress(LeaseLost):  # it took too long, and its lease was ended first
            house.store.leases.release(lease)
        raise
    else:
        log.info("done in %.1f s", cost.figures().seconds)
        return Then.GO_ON
    return Then.END


def _fail(house: StageContext, lease: Lease, error: Exception, cost: Cost, *, permanent: bool) -> None:
    words, kind = _in_words(error), type(error).__name__
    state = house.store.leases.fail(lease, words, permanent=permanent, error_class=kind, figures=cost.figures())
    log.log(logging.ERROR if state is State.FAILED else logging.WARNING, "%s: %s", state, words)


def _in_words(error: Exception) -> str:
    """An error as an operator reads it; only one that nobody expected needs its class."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    return str(error) if isinstance(error, ContimgError) else f"{type(error).__name__}: {error}"
