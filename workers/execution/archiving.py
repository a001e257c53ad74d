"""A round of the archive: check the places, plan the copies, run the jobs, read old copies again.

It runs in a process of its own, started by housekeeping or by `contimg archive copy`, so that a slow disk or network
delays neither a tile nor the producer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contimg.store import ARCHIVE, Stage
from contimg.survey.archive.copying import audit, check_places
from contimg.survey.archive.options import ArchiveOptions, PlaceRule
from workers.execution.attempt import execute_stage
from workers.execution.stages import StageContext


@dataclass(frozen=True)
class ArchiveRound:
    """What a round did: jobs completed and not, files and copies read again, and the places that are away."""

    completed: int
    unfinished: int
    audited: int
    away: tuple[str, ...]


def run_round(
    context: StageContext, rules: Sequence[PlaceRule], options: ArchiveOptions, *, audits: bool = False
) -> ArchiveRound:
    """Run a round.

    Parameters
    ----------
    context : the configuration and the store.
    rules : the places.
    options : times.
    audits : whether old copies and files are read again at the end, for at most half of `options.interval_s`.
    """
    store, completed, unfinished = context.store, 0, 0
    available = check_places(store, rules)
    for rule in rules:
        if rule.name in available:
            store.archive.plan(rule.name, rule.kinds, options.interval_s)
    while jobs := store.archive.due_jobs(available):
        job, name = jobs[0], jobs[0].key.partition("/")[0]
        stages = ARCHIVE.stages[ARCHIVE.stages.index(job.stage) :]
        if all(execute_stage(context, Stage(stage), job.id) for stage in stages):
            completed += 1
        else:
            unfinished += 1
        available = check_places(store, [rule for rule in rules if rule.name in available])
        if store.jobs.job(job.id) == job:  # it could not be claimed: the stream is paused
            available.pop(name, None)
    audited = audit(store, list(available.values()), options.verify_days, 0.5 * options.interval_s) if audits else 0
    away = tuple(rule.name for rule in rules if rule.name not in available)
    return ArchiveRound(completed, unfinished, audited, away)
