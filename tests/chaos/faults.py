"""The faults: each strikes a world and says what it hit; some must be mended after a while."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from plan import Fault, Kind
from sqlalchemy.exc import SQLAlchemyError
from world import LEASE_S, World

from contimg.store import Stage
from workers.broker import read_endpoint
from workers.execution.processes import ProcessName


@dataclass(frozen=True)
class Blow:
    """What a fault did: on whom, and what mends it after how long. `missed`: there was nobody to hit."""

    told: str
    mend: Callable[[], object] | None = None
    after_s: float = 0.0
    missed: bool = False


MISSED = Blow("nobody there", missed=True)


def strike(world: World, fault: Fault) -> Blow:
    """Let one fault happen."""
    return _STRIKES[fault.kind](world, fault.choice)


def kinds_for(world_has: Callable[[str], bool]) -> frozenset[Kind]:
    """The kinds that make sense in a world; `world_has` knows "postgresql", "own broker", "mounted disk"."""
    needs = {
        Kind.CUT: "own broker",
        Kind.STALL: "own broker",
        Kind.KILL_STORE: "postgresql",
        Kind.CUT_STORE: "postgresql",
        Kind.LOCK_STORE: "sqlite",
        Kind.FILL_DISK: "mounted disk",
    }
    return frozenset(kind for kind in Kind if kind not in needs or world_has(needs[kind]))


def _signal(pid: int | None, number: signal.Signals, name: str) -> Blow:
    if pid is None:
        return MISSED
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return MISSED
    return Blow(f"{name} {pid}")


def _freeze(pid: int | None, name: str, for_s: float) -> Blow:
    blow = _signal(pid, signal.SIGSTOP, name)
    if blow.missed or pid is None:
        return blow

    def thaw() -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    return Blow(f"{blow.told} for {for_s:g} s", thaw, for_s)


def _busy_or_any(world: World, choice: int) -> int | None:
    """A process in the middle of a stage if there is one, else one that waits for work."""
    found: list[int] = []
    deadline = time.monotonic() + 1.0
    while not found and time.monotonic() < deadline:
        with suppress(SQLAlchemyError):
            running = world.store.overview.snapshot(0).running if world.store else ()
            found = [name.pid for one in running if (name := ProcessName.parse(one.owner)) and name.is_alive]
        time.sleep(0.02)
    found = found or world.pool_processes()
    return found[choice % len(found)] if found else None


def _kill_child(world: World, choice: int) -> Blow:
    return _signal(_busy_or_any(world, choice), signal.SIGKILL, "child")


def _kill_worker(world: World, choice: int) -> Blow:
    stage = list(Stage)[choice % 3]
    return _signal(world.child(stage), signal.SIGKILL, f"{stage} worker")


def _kill_named(name: str) -> Callable[[World, int], Blow]:
    return lambda world, _: _signal(world.child(name), signal.SIGKILL, name)


def _kill_service(world: World, _: int) -> Blow:
    if world.service is None or world.service.poll() is not None:
        return MISSED
    world.service.kill()
    world.service.wait()
    return Blow("supervisor", world.mend_service, 0.5)


def _restart(world: World, _: int) -> Blow:
    if world.service is None or world.service.poll() is not None:
        return MISSED
    world.service.terminate()
    return Blow("SIGTERM to the supervisor")  # the run starts again whatever has ended


def _kill_broker(world: World, _: int, forget: bool = False) -> Blow:
    if world.broker:
        if not world.broker.is_running:
            return MISSED
        world.broker.kill()
        if forget:
            world.broker.forget()
        return Blow("broker", world.broker.start, 1.5)
    endpoint = read_endpoint(world.root / "state")
    if endpoint is None or not endpoint.is_live:
        return MISSED
    pid = int(endpoint.process.rsplit(":", 3)[1])
    blow = _signal(pid, signal.SIGKILL, "embedded broker")
    if forget:
        shutil.rmtree(world.root / "state" / "broker" / "appendonlydir", ignore_errors=True)
    return blow


def _freeze_broker(world: World, _: int) -> Blow:
    if world.broker:
        if not world.broker.is_running or world.broker.process is None:
            return MISSED
        return _freeze(world.broker.process.pid, "broker", 2.0)
    endpoint = read_endpoint(world.root / "state")
    return _freeze(int(endpoint.process.rsplit(":", 3)[1]) if endpoint else None, "embedded broker", 2.0)


def _cut(world: World, _: int) -> Blow:
    assert world.proxy is not None
    return Blow(f"{world.proxy.cut()} ends")


def _stall(world: World, _: int) -> Blow:
    assert world.proxy is not None
    world.proxy.stall()
    return Blow("for 4 s", world.proxy.move, 4.0)


def _freeze_worker(world: World, choice: int) -> Blow:
    return _freeze(_busy_or_any(world, choice), "child", LEASE_S + 2)


def _freeze_producer(world: World, _: int) -> Blow:
    return _freeze(world.child("producer"), "producer", 3.0)


def _kill_store(world: World, _: int) -> Blow:
    assert world.postgres is not None
    if not world.postgres.is_running:
        return MISSED
    world.postgres.kill()
    return Blow("PostgreSQL", world.postgres.start, 1.5)


def _cut_store(world: World, _: int) -> Blow:
    world.cut_store()
    return Blow("all backends")


def _lock_store(world: World, _: int) -> Blow:
    holder = sqlite3.connect(world.database, isolation_level=None, check_same_thread=False, timeout=10)
    holder.execute("BEGIN IMMEDIATE")
    return Blow("for 3 s", holder.close, 3.0)


def _fill_disk(world: World, _: int) -> Blow:
    free_mb = shutil.disk_usage(world.disk).free >> 20
    world.fill_disk()
    return Blow(f"{free_mb} MB for 3 s", world.free_disk, 3.0)


def _pause(world: World, _: int) -> Blow:
    assert world.store is not None
    store = world.store
    store.jobs.pause("the chaos run")
    return Blow("for 2 s", lambda: store.jobs.resume("the chaos run"), 2.0)


def _again(world: World, choice: int) -> Blow:
    """Whole chains once more for groups that have had theirs: late and double messages in one."""
    assert world.store is not None
    known = [one.id for one in world.store.files.groups(limit=400)]
    if not known:
        return MISSED
    victims = [known[(choice + n * 7919) % len(known)] for n in range(3)]
    script = (
        "import sys; from workers.scheduling.messages import send; from contimg.store import Stage\n"
        "for group in sys.argv[1:]: send(group, Stage.CONVERT)"
    )
    command = [sys.executable, "-c", script, *victims]
    subprocess.run(command, env=world.environ, cwd=world.root, stderr=subprocess.DEVNULL, timeout=60, check=False)
    return Blow(", ".join(victims))


def _second_producer(world: World, _: int) -> Blow:
    with (world.root / "second.log").open("ab") as log:
        second = subprocess.Popen(
            [sys.executable, "-m", "contimg", "producer"],
            env=world.environ, cwd=world.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip

    def end() -> None:
        second.kill()
        second.wait()

    return Blow(f"pid {second.pid} for 8 s", end, 8.0)


_STRIKES: dict[Kind, Callable[[World, int], Blow]] = {
    Kind.KILL_CHILD: _kill_child,
    Kind.KILL_WORKER: _kill_worker,
    Kind.KILL_PRODUCER: _kill_named("producer"),
    Kind.KILL_PANEL: _kill_named("web"),
    Kind.KILL_SERVICE: _kill_service,
    Kind.RESTART: _restart,
    Kind.KILL_BROKER: _kill_broker,
    Kind.LOSE_BROKER: lambda world, choice: _kill_broker(world, choice, forget=True),
    Kind.FREEZE_BROKER: _freeze_broker,
    Kind.CUT: _cut,
    Kind.STALL: _stall,
    Kind.FREEZE_WORKER: _freeze_worker,
    Kind.FREEZE_PRODUCER: _freeze_producer,
    Kind.KILL_STORE: _kill_store,
    Kind.CUT_STORE: _cut_store,
    Kind.LOCK_STORE: _lock_store,
    Kind.FILL_DISK: _fill_disk,
    Kind.PAUSE: _pause,
    Kind.AGAIN: _again,
    Kind.SECOND_PRODUCER: _second_producer,
}
