"""Plan of a chaos run from a seed: which files are defective, and which faults are injected when and where."""

import random
from dataclasses import dataclass
from enum import StrEnum

EXPECTED, MIN_SUBBANDS = 16, 12


class Defect(StrEnum):
    """Defect of the files of a group."""

    NOTHING = "nothing"
    TRUNCATED = "truncated"
    GARBAGE = "garbage"
    ZEROS = "zeros"
    EMPTY = "empty"
    ABSENT = "absent"
    REPLACED = "replaced"
    HALF_ABSENT = "half absent"
    TOO_MANY_TRUNCATED = "too many truncated"


@dataclass(frozen=True)
class GroupPlan:
    """Arrival of a group.

    Attributes
    ----------
    defect : defect of the files of `subbands`.
    wait_s : time since the previous group.
    has_foreign_file : a file with a foreign name arrives, too.
    """

    index: int
    defect: Defect
    subbands: tuple[int, ...]
    wait_s: float
    has_foreign_file: bool

    @property
    def subbands_in_product(self) -> int:
        """Return the number of subbands in the Measurement Set; 0 when the group must fail."""
        if self.defect in (Defect.NOTHING, Defect.REPLACED):
            return EXPECTED
        left = EXPECTED - len(self.subbands)
        return left if left >= MIN_SUBBANDS else 0


class FaultKind(StrEnum):
    """Kind of fault."""

    KILL_CHILD = "kill a worker's child"
    KILL_WORKER = "kill a worker"
    KILL_PRODUCER = "kill the producer"
    KILL_PANEL = "kill the panel"
    KILL_SERVICE = "kill the supervisor"
    RESTART = "restart the service"
    KILL_BROKER = "kill the broker"
    LOSE_BROKER = "kill the broker without its AOF"
    FREEZE_BROKER = "freeze the broker"
    CUT = "cut the broker's connections"
    STALL = "let the broker's connections stall"
    FREEZE_WORKER = "freeze a worker past its lease"
    FREEZE_PRODUCER = "freeze the producer"
    KILL_STORE = "kill the PostgreSQL server"
    CUT_STORE = "cut the PostgreSQL connections"
    LOCK_STORE = "lock the SQLite store"
    FILL_DISK = "fill the disk"
    PAUSE = "pause and resume"
    AGAIN = "send messages again"
    SECOND_PRODUCER = "run a second producer"


# Relative frequencies: faults with a short recovery are more frequent.
_WEIGHTS = {
    FaultKind.KILL_CHILD: 6,
    FaultKind.KILL_WORKER: 3,
    FaultKind.KILL_PRODUCER: 2,
    FaultKind.KILL_PANEL: 1,
    FaultKind.KILL_SERVICE: 1,
    FaultKind.RESTART: 1,
    FaultKind.KILL_BROKER: 2,
    FaultKind.LOSE_BROKER: 1,
    FaultKind.FREEZE_BROKER: 2,
    FaultKind.CUT: 4,
    FaultKind.STALL: 2,
    FaultKind.FREEZE_WORKER: 4,
    FaultKind.FREEZE_PRODUCER: 2,
    FaultKind.KILL_STORE: 2,
    FaultKind.CUT_STORE: 4,
    FaultKind.LOCK_STORE: 3,
    FaultKind.FILL_DISK: 3,
    FaultKind.PAUSE: 2,
    FaultKind.AGAIN: 4,
    FaultKind.SECOND_PRODUCER: 1,
}


@dataclass(frozen=True)
class Fault:
    """A fault: kind, time since the previous fault, and a number that selects the target."""

    kind: FaultKind
    wait_s: float
    choice: int


@dataclass(frozen=True)
class ChaosPlan:
    """Groups and faults of a run."""

    seed: int
    groups: tuple[GroupPlan, ...]
    faults: tuple[Fault, ...]


def make_plan(seed: int, groups: int, faults: int, kinds: frozenset[FaultKind], duration_s: float) -> ChaosPlan:
    """Return the plan of a seed: every kind at least once if there are enough faults, the rest by weight.

    The plan has twice as many faults as needed, because some have no target.
    """
    rng = random.Random(seed)
    group_plans = tuple(_group(rng, index, 0.9 * duration_s / groups) for index in range(groups))
    sorted_kinds = sorted(kinds)
    chosen = rng.sample(sorted_kinds, min(faults, len(sorted_kinds)))
    chosen += rng.choices(sorted_kinds, [_WEIGHTS[kind] for kind in sorted_kinds], k=faults - len(chosen))
    rng.shuffle(chosen)
    mean_s = duration_s / max(faults, 1)
    scheduled: list[Fault] = []
    for spare in (faults // 2, faults - faults // 2):
        chosen += rng.choices(sorted_kinds, [_WEIGHTS[kind] for kind in sorted_kinds], k=spare)
        added = chosen[len(scheduled) :]
        scheduled += [Fault(kind, rng.uniform(0.3, 1.7) * mean_s, rng.randrange(1 << 30)) for kind in added]
    return ChaosPlan(seed, group_plans, tuple(scheduled))


def _group(rng: random.Random, index: int, mean_s: float) -> GroupPlan:
    defects = [defect_kind for defect_kind in Defect if defect_kind is not Defect.NOTHING]
    # The first two have no defect: all others are calibrated with the calibrator's tile.
    defect = rng.choice(defects) if index >= 2 and rng.random() < 0.2 else Defect.NOTHING
    count = {Defect.NOTHING: 0, Defect.HALF_ABSENT: rng.randint(5, 10), Defect.TOO_MANY_TRUNCATED: 5}.get(defect, 1)
    subbands = tuple(sorted(rng.sample(range(EXPECTED), count)))
    return GroupPlan(index, defect, subbands, rng.uniform(0.2, 1.8) * mean_s, rng.random() < 0.05)
