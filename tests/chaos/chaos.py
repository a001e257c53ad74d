"""Chaos run: process small simulated groups with the service while a seeded plan of faults is injected.

    python tests/chaos/chaos.py --seed 6 --groups 300 --faults 200

Prints each fault, then the figures. The exit status is 1 when a product was lost, made twice, overwritten or left
behind. The same seed injects the same faults in the same order with the same intervals.
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
    sys.path[:0] = [str(here.parent / name) for name in ("..", "")]

from deviations import find_deviations, wait_until_quiet
from faults import Effect, inject, kinds_for
from plan import ChaosPlan, make_plan
from sqlalchemy.exc import SQLAlchemyError
from system import Components, System, can_mount
from telescope import Delivered, Telescope
from waiting import processes_with

from contimg.store import Outcome, Store
from workers.producer import SCAN_BEAT


@dataclass
class Report:
    """Deviations, numbers of faults and figures of a run."""

    plan: ChaosPlan
    deviations: list[str] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    figures: dict[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        width = max(map(len, self.figures), default=0)
        lines = [f"{name:<{width}}  {value}" for name, value in self.figures.items()]
        lines += [f"{number:4d} × {kind}" for kind, number in sorted(self.injected.items())]
        lines += [f"DEVIATION {deviation}" for deviation in self.deviations] or ["no deviation"]
        return "\n".join(lines)


REPAIR_LIMIT_S = 120.0


class Repairs:
    """Scheduled repairs of faults; a failed repair is retried for two minutes."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._failing_since: float | None = None

    def add(self, effect: Effect) -> None:
        if effect.repair is not None:
            heapq.heappush(self._due, (time.monotonic() + effect.after_s, next(self._numbers), effect.repair))

    def do(self, wait_for_all: bool = False) -> None:
        """Do the repairs that are due, or wait for all and do them."""
        while self._due and (wait_for_all or self._due[0][0] <= time.monotonic()):
            due_s, _, repair = heapq.heappop(self._due)
            time.sleep(max(0.0, due_s - time.monotonic()))
            try:
                repair()
                self._failing_since = None
            except (SQLAlchemyError, AssertionError, OSError):
                self._failing_since = self._failing_since or time.monotonic()
                if time.monotonic() - self._failing_since > REPAIR_LIMIT_S:
                    raise
                heapq.heappush(self._due, (time.monotonic() + 1.0, next(self._numbers), repair))


def run(
    plan: ChaosPlan,
    faults: int,
    system: System,
    print_line: Callable[[str], None],
    quiet_limit_s: float,
    on_finish: Callable[[System, Delivered], None] = lambda _system, _delivered: None,
) -> Report:
    """Deliver the groups, inject faults, repair, wait and find deviations.

    Parameters
    ----------
    faults : number of faults with a target to inject.
    on_finish : called after the check, while the system still runs.
    """
    report, start_s = Report(plan), time.monotonic()
    system.start()
    store = system.store
    assert store is not None
    telescope, repairs = Telescope(plan, system.root, lambda: bool(store.registry.sets())), Repairs()
    telescope.start()
    try:
        _wait_for_first_scan(system)
        _inject_all(plan, faults, system, repairs, report, print_line)
        repairs.do(wait_for_all=True)
        injection_s = time.monotonic() - start_s
        while telescope.is_alive():
            system.restart_if_ended()
            telescope.join(0.5)
        if telescope.error:
            raise telescope.error
        print_line(f"{injection_s:.0f} s of faults are over; waiting for the last groups")
        missing = wait_until_quiet(system, telescope.delivered, quiet_limit_s)
        if missing:
            report.deviations.append(f"not done {quiet_limit_s:g} s after the last fault: {missing}")
        _wait_for_cleanup(system)
        report.deviations += find_deviations(system, telescope.delivered)
        _measure(system, telescope, report, injection_s, time.monotonic() - start_s)
        on_finish(system, telescope.delivered)
        status = system.stop_service()
        if status:
            report.deviations.append(f"the service ended with status {status}")
        remaining = processes_with(str(system.root / "state"))
        if remaining:
            report.deviations.append(f"processes left: {remaining}")
    finally:
        system.stop()
    return report


def _inject_all(
    plan: ChaosPlan, faults: int, system: System, repairs: Repairs, report: Report, print_line: Callable[[str], None]
) -> None:
    start_s = time.monotonic()
    for number, fault in enumerate(plan.faults):
        if report.injected.total() == faults:
            return
        due_s = time.monotonic() + fault.wait_s
        while time.monotonic() < due_s:
            repairs.do()
            system.restart_if_ended()
            time.sleep(0.05)
        try:
            effect = inject(system, fault)
        except SQLAlchemyError as error:  # the store is down: a fault that needs it has no target
            effect = Effect(str(error).splitlines()[0], no_target=True)
        repairs.add(effect)
        if not effect.no_target:
            report.injected[fault.kind] += 1
        print_line(f"{time.monotonic() - start_s:6.1f} s  {number:3d}  {fault.kind}: {effect.description}")


def _wait_for_first_scan(system: System) -> None:
    """Wait until the producer has scanned once."""
    assert system.store is not None
    deadline = time.monotonic() + 60
    while system.store.activity.last_beat(SCAN_BEAT) is None and time.monotonic() < deadline:
        time.sleep(0.1)


def _wait_for_cleanup(system: System) -> None:
    """Wait until the service has removed the unfinished products of killed processes."""
    deadline = time.monotonic() + 30
    while any((system.disk / "products").rglob("*.writing-*")) and time.monotonic() < deadline:
        system.restart_if_ended()
        time.sleep(0.5)


def _measure(system: System, telescope: Telescope, report: Report, injection_s: float, total_s: float) -> None:
    assert system.store is not None
    delivered = telescope.delivered
    outcomes = Counter(str(run.outcome) for name in delivered.groups for run in system.store.jobs.runs(name))
    report.figures = {
        "seed": report.plan.seed,
        "store": "PostgreSQL" if system.components.postgresql else "SQLite",
        "broker": "separate, behind a proxy" if system.components.own_broker else "embedded",
        "groups": len(delivered.groups),
        "groups to complete": sum(plan.subbands_in_product > 0 for plan in delivered.groups.values()),
        "files": delivered.files,
        "defective files": len(delivered.defective),
        "faults injected": report.injected.total(),
        "with faults, s": round(injection_s),
        "total, s": round(total_s),
        "attempts": outcomes.total(),
        **{f"  {outcome}": number for outcome, number in sorted(outcomes.items())},
        **_count_mosaics(system.store),
        "superfluous commits": outcomes[Outcome.SUPERSEDED],
    }


def _count_mosaics(store: Store) -> dict[str, int]:
    epochs = store.epochs.list_epochs(100_000).epochs
    runs = Counter(str(run.outcome) for epoch in epochs for run in store.jobs.runs(epoch.job_id))
    figures = {"epochs": len(epochs), "mosaics": store.mosaics.list_mosaics(1).total}
    return figures | {f"  attempts {outcome}": number for outcome, number in sorted(runs.items())}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--groups", type=int, default=300)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=0, help="duration of the faults; 0: 2.2 s per fault")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="postgresql")
    parser.add_argument("--broker", choices=("own", "embedded"), default="own")
    parser.add_argument("--keep", type=Path, help="work in this directory and keep it")
    arguments = parser.parse_args()
    root = arguments.keep or Path(tempfile.mkdtemp(prefix="contimg-chaos-"))
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)  # the PostgreSQL server is another user
    components = Components(arguments.store == "postgresql", arguments.broker == "own", can_mount())
    plan = plan_for(
        components, arguments.seed, arguments.groups, arguments.faults, arguments.seconds or 2.2 * arguments.faults
    )
    sys.stdout.write(f"chaos run, seed {arguments.seed}, in {root}\n")
    start_s = time.monotonic()
    system = System(root, components, arguments.groups)
    report = run(plan, arguments.faults, system, _print_line, quiet_limit_s=900)
    sys.stdout.write(f"{report}\n{time.monotonic() - start_s:.0f} s\n")
    if not arguments.keep and not report.deviations:
        shutil.rmtree(root, ignore_errors=True)
    return 1 if report.deviations else 0


def _print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def plan_for(components: Components, seed: int, groups: int, faults: int, duration_s: float) -> ChaosPlan:
    """Return the plan of a seed for a system with these components."""
    available = {
        "postgresql": components.postgresql,
        "sqlite": not components.postgresql,
        "own broker": components.own_broker,
        "mounted disk": components.mounted_disk,
    }
    return make_plan(seed, groups, faults, kinds_for(available.__getitem__), duration_s)


if __name__ == "__main__":
    sys.exit(main())
