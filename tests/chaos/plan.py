"""What happens in a chaos run, all of it from one seed: which files are spoilt, which faults strike, when and where."""

import random
from dataclasses import dataclass
from enum import StrEnum

EXPECTED, LEAST = 16, 12


class Spoilt(StrEnum):
    """What is wrong with the files of a group."""

    NOTHING = "nothing"
    TRUNCATED = "truncated"
    GARBAGE = "garbage"
    ZEROS = "zeros"
    EMPTY = "empty"
    ABSENT = "absent"
    REPLACED = "replaced"
    HALF_ABSENT = "half absent"
    HOPELESS = "hopeless"


@dataclass(frozen=True)
class GroupPlan:
    """How one group arrives.

    Attributes
    ----------
    spoilt : what is wrong with it, and `subbands` which of its files are.
    wait_s : time from the group before to this one.
    stranger : a file of a foreign name comes with it.
    """

    index: int
    spoilt: Spoilt
    subbands: tuple[int, ...]
    wait_s: float
    stranger: bool

    @property
    def subbands_in_product(self) -> int:
        """How many subbands its Measurement Set has in the end; 0 when the group must fail."""
        if self.spoilt in (Spoilt.NOTHING, Spoilt.REPLACED):
            return EXPECTED
        left = EXPECTED - len(self.subbands)
        return left if left >= LEAST else 0


class Kind(StrEnum):
    """What strikes."""

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


# How often each strikes: what costs the least time to recover from, the most often.
_WEIGHTS = {
    Kind.KILL_CHILD: 6,
    Kind.KILL_WORKER: 3,
    Kind.KILL_PRODUCER: 2,
    Kind.KILL_PANEL: 1,
    Kind.KILL_SERVICE: 1,
    Kind.RESTART: 1,
    Kind.KILL_BROKER: 2,
    Kind.LOSE_BROKER: 1,
    Kind.FREEZE_BROKER: 2,
    Kind.CUT: 4,
    Kind.STALL: 2,
    Kind.FREEZE_WORKER: 4,
    Kind.FREEZE_PRODUCER: 2,
    Kind.KILL_STORE: 2,
    Kind.CUT_STORE: 4,
    Kind.LOCK_STORE: 3,
    Kind.FILL_DISK: 3,
    Kind.PAUSE: 2,
    Kind.AGAIN: 4,
    Kind.SECOND_PRODUCER: 1,
}


@dataclass(frozen=True)
class Fault:
    """One blow: what, how long after the one before, and a number that chooses the victim among those there are."""

    kind: Kind
    wait_s: float
    choice: int


@dataclass(frozen=True)
class ChaosPlan:
    """A whole run."""

    seed: int
    groups: tuple[GroupPlan, ...]
    faults: tuple[Fault, ...]


def make_plan(seed: int, groups: int, faults: int, kinds: frozenset[Kind], duration_s: float) -> ChaosPlan:
    """The plan of a seed: every kind at least once if there are faults enough, and then by weight.

    There are twice as many blows in it, for those that find nobody to hit.
    """
    rng = random.Random(seed)
    arriving = tuple(_group(rng, index, 0.9 * duration_s / groups) for index in range(groups))
    possible = sorted(kinds)
    chosen = rng.sample(possible, min(faults, len(possible)))
    chosen += rng.choices(possible, [_WEIGHTS[kind] for kind in possible], k=faults - len(chosen))
    rng.shuffle(chosen)
    mean_s = duration_s / max(faults, 1)
    blows: list[Fault] = []
    for spare in (faults // 2, faults - faults // 2):
        chosen += rng.choices(possible, [_WEIGHTS[kind] for kind in possible], k=spare)
        later = chosen[len(blows) :]
        blows += [Fault(kind, rng.uniform(0.3, 1.7) * mean_s, rng.randrange(1 << 30)) for kind in later]
    return ChaosPlan(seed, arriving, tuple(blows))


def _group(rng: random.Random, index: int, mean_s: float) -> GroupPlan:
    bad = [one for one in Spoilt if one is not Spoilt.NOTHING]
    # The first two stay whole: the calibrator's tile is what all others are calibrated with.
    spoilt = rng.choice(bad) if index >= 2 and rng.random() < 0.2 else Spoilt.NOTHING
    count = {Spoilt.NOTHING: 0, Spoilt.HALF_ABSENT: rng.randint(5, 10), Spoilt.HOPELESS: 5}.get(spoilt, 1)
    subbands = tuple(sorted(rng.sample(range(EXPECTED), count)))
    return GroupPlan(index, spoilt, subbands, rng.uniform(0.2, 1.8) * mean_s, rng.random() < 0.05)
