"""The chaos run: real small groups through the real service while a seeded plan of faults strikes it.

    python tests/chaos/chaos.py --seed 6 --groups 300 --faults 200

Prints each blow, then the figures; its exit status is 1 when anything was lost, made twice, overwritten or left.
The same seed strikes the same blows in the same order with the same waits between.
"""

import argparse
import heapq
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path[:0] = [str(here.parent / "store"), str(here.parent / "workers"), str(here.parents[1])]

from faults import Blow, kinds_for, strike
from plan import ChaosPlan, make_plan
from sqlalchemy.exc import SQLAlchemyError
from telescope import Delivered, Telescope
from verdict import judge, wait_until_quiet
from waiting import processes_with
from world import Parts, World, can_mount

from contimg.store import Outcome
from workers.producer import SCAN_BEAT


@dataclass
class Report:
    """What a run came to."""

    plan: ChaosPlan
    deviations: list[str] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    figures: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        width = max(map(len, self.figures), default=0)
        lines = [f"{name:<{width}}  {value}" for name, value in self.figures.items()]
        lines += [f"{number:4d} × {kind}" for kind, number in sorted(self.hits.items())]
        lines += [f"DEVIATION {one}" for one in self.deviations] or ["no deviation"]
        return "\n".join(lines)


MEND_LIMIT_S = 120.0


class Mending:
    """What has to be mended when; a mend that fails is tried again for two minutes."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._failing_since: float | None = None

    def add(self, blow: Blow) -> None:
        if blow.mend is not None:
            heapq.heappush(self._due, (time.monotonic() + blow.after_s, next(self._numbers), blow.mend))

    def do(self, all_of_it: bool = False) -> None:
        """Mend what is due (or all, waiting for it)."""
        while self._due and (all_of_it or self._due[0][0] <= time.monotonic()):
            at, _, mend = heapq.heappop(self._due)
            time.sleep(max(0.0, at - time.monotonic()))
            try:
                mend()
                self._failing_since = None
            except (SQLAlchemyError, AssertionError, OSError):
                self._failing_since = self._failing_since or time.monotonic()
                if time.monotonic() - self._failing_since > MEND_LIMIT_S:
                    raise
                heapq.heappush(self._due, (time.monotonic() + 1.0, next(self._numbers), mend))


def run(
    plan: ChaosPlan,
    faults: int,
    world: World,
    say: Callable[[str], None],
    quiet_limit_s: float,
    afterwards: Callable[[World, Delivered], None] = lambda _world, _delivered: None,
) -> Report:
    """Deliver, strike, mend, wait, judge. `faults`: so many blows that hit somebody.

    `afterwards` is called when all is judged and the world still stands.
    """
    report, began = Report(plan), time.monotonic()
    telescope, mending = Telescope(plan, world.root), Mending()
    world.start()
    telescope.start()
    try:
        _wait_for_the_service(world)
        _strike_all(plan, faults, world, mending, report, say)
        mending.do(all_of_it=True)
        struck_s = time.monotonic() - began
        while telescope.is_alive():
            world.mend_service()
            telescope.join(0.5)
        if telescope.error:
            raise telescope.error
        say(f"{struck_s:.0f} s of fire are over; waiting for the last groups")
        missing = wait_until_quiet(world, telescope.delivered, quiet_limit_s)
        if missing:
            report.deviations.append(f"not done {quiet_limit_s:g} s after the last fault: {missing}")
        _wait_for_the_sweep(world)
        report.deviations += judge(world, telescope.delivered)
        _measure(world, telescope, report, struck_s, time.monotonic() - began)
        afterwards(world, telescope.delivered)
        status = world.stop_service()
        if status:
            report.deviations.append(f"the service ended with status {status}")
        left = processes_with(str(world.root / "state"))
        if left:
            report.deviations.append(f"processes left: {left}")
    finally:
        world.stop()
    return report


def _strike_all(
    plan: ChaosPlan, faults: int, world: World, mending: Mending, report: Report, say: Callable[[str], None]
) -> None:
    began = time.monotonic()
    for number, fault in enumerate(plan.faults):
        if report.hits.total() == faults:
            return
        due = time.monotonic() + fault.wait_s
        while time.monotonic() < due:
            mending.do()
            world.mend_service()
            time.sleep(0.05)
        try:
            blow = strike(world, fault)
        except SQLAlchemyError as error:  # the store is away: a blow that needs it hits nobody
            blow = Blow(str(error).splitlines()[0], missed=True)
        mending.add(blow)
        if not blow.missed:
            report.hits[fault.kind] += 1
        say(f"{time.monotonic() - began:6.1f} s  {number:3d}  {fault.kind}: {blow.told}")


def _wait_for_the_service(world: World) -> None:
    """The fire begins when there is somebody to hit."""
    assert world.store is not None
    deadline = time.monotonic() + 60
    while world.store.activity.last_beat(SCAN_BEAT) is None and time.monotonic() < deadline:
        time.sleep(0.1)


def _wait_for_the_sweep(world: World) -> None:
    """Leftovers of killed processes are swept when they are certainly nobody's: give the service that time."""
    deadline = time.monotonic() + 30
    while any((world.disk / "products").rglob("*.writing-*")) and time.monotonic() < deadline:
        world.mend_service()
        time.sleep(0.5)


def _measure(world: World, telescope: Telescope, report: Report, struck_s: float, whole_s: float) -> None:
    assert world.store is not None
    delivered = telescope.delivered
    outcomes = Counter(str(run.outcome) for name in delivered.groups for run in world.store.jobs.runs(name))
    report.figures = {
        "seed": report.plan.seed,
        "store": "PostgreSQL" if world.parts.postgresql else "SQLite",
        "broker": "its own, behind a proxy" if world.parts.own_broker else "embedded",
        "groups": len(delivered.groups),
        "of them good": sum(plan.subbands_in_product > 0 for plan in delivered.groups.values()),
        "files": delivered.files,
        "spoilt files": len(delivered.spoilt),
        "faults that hit": report.hits.total(),
        "under fire, s": round(struck_s),
        "altogether, s": round(whole_s),
        "attempts": outcomes.total(),
        **{f"  {outcome}": number for outcome, number in sorted(outcomes.items())},
        "superfluous commits": outcomes[Outcome.SUPERSEDED],
    }


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--seed", type=int, default=6)
    asked.add_argument("--groups", type=int, default=300)
    asked.add_argument("--faults", type=int, default=200)
    asked.add_argument("--seconds", type=float, default=0, help="length of the fire; 0: 2.2 s a fault")
    asked.add_argument("--store", choices=("sqlite", "postgresql"), default="postgresql")
    asked.add_argument("--broker", choices=("own", "embedded"), default="own")
    asked.add_argument("--keep", type=Path, help="work in this directory and leave it there")
    given = asked.parse_args()
    root = given.keep or Path(tempfile.mkdtemp(prefix="contimg-chaos-"))
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)  # the PostgreSQL server is another user
    parts = Parts(given.store == "postgresql", given.broker == "own", can_mount())
    plan = planned(parts, given.seed, given.groups, given.faults, given.seconds or 2.2 * given.faults)
    sys.stdout.write(f"chaos run, seed {given.seed}, in {root}\n")
    began = time.monotonic()
    world = World(root, parts, given.groups)
    report = run(plan, given.faults, world, _say, quiet_limit_s=900)
    sys.stdout.write(f"{report}\n{time.monotonic() - began:.0f} s\n")
    if not given.keep and not report.deviations:
        shutil.rmtree(root, ignore_errors=True)
    return 1 if report.deviations else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def planned(parts: Parts, seed: int, groups: int, faults: int, duration_s: float) -> ChaosPlan:
    """The plan of a seed in a world of these parts."""
    has = {
        "postgresql": parts.postgresql,
        "sqlite": not parts.postgresql,
        "own broker": parts.own_broker,
        "mounted disk": parts.mounted_disk,
    }
    return make_plan(seed, groups, faults, kinds_for(has.__getitem__), duration_s)


if __name__ == "__main__":
    sys.exit(main())
