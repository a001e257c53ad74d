"""Faults to inject into a running system; some have to be repaired after a time."""

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

from plan import Fault, FaultKind
from sqlalchemy.exc import SQLAlchemyError
from system import LEASE_S, System

from contimg.store import TILE
from workers.broker import read_endpoint
from workers.execution.processes import ProcessName


@dataclass(frozen=True)
class Effect:
    """Effect of an injected fault.

    Attributes
    ----------
    description : target and duration, for the printed line.
    repair : repairs the fault after `after_s`; None when nothing has to be repaired.
    no_target : the fault had no target.
    """

    description: str
    repair: Callable[[], object] | None = None
    after_s: float = 0.0
    no_target: bool = False


NO_TARGET = Effect("no target", no_target=True)


def inject(system: System, fault: Fault) -> Effect:
    """Inject a fault."""
    return _INJECTORS[fault.kind](system, fault.choice)


def kinds_for(has_component: Callable[[str], bool]) -> frozenset[FaultKind]:
    """Return the kinds of fault that apply; `has_component` is called with "postgresql", "own broker" and so on."""
    needs = {
        FaultKind.CUT: "own broker",
        FaultKind.STALL: "own broker",
        FaultKind.KILL_STORE: "postgresql",
        FaultKind.CUT_STORE: "postgresql",
        FaultKind.LOCK_STORE: "sqlite",
        FaultKind.FILL_DISK: "mounted disk",
    }
    return frozenset(kind for kind in FaultKind if kind not in needs or has_component(needs[kind]))


def _signal(pid: int | None, number: signal.Signals, name: str) -> Effect:
    if pid is None:
        return NO_TARGET
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return NO_TARGET
    return Effect(f"{name} {pid}")


def _freeze(pid: int | None, name: str, for_s: float) -> Effect:
    effect = _signal(pid, signal.SIGSTOP, name)
    if effect.no_target or pid is None:
        return effect

    def thaw() -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    return Effect(f"{effect.description} for {for_s:g} s", thaw, for_s)


def _stage_process(system: System, choice: int) -> int | None:
    """Return the pid of a process that runs a stage, or else of an idle worker process."""
    pids: list[int] = []
    deadline = time.monotonic() + 1.0
    while not pids and time.monotonic() < deadline:
        with suppress(SQLAlchemyError):
            running = system.store.overview.snapshot(0).running if system.store else ()
            pids = [name.pid for job in running if (name := ProcessName.parse(job.owner)) and name.is_alive]
        time.sleep(0.02)
    pids = pids or system.pool_processes()
    return pids[choice % len(pids)] if pids else None


def _kill_child(system: System, choice: int) -> Effect:
    return _signal(_stage_process(system, choice), signal.SIGKILL, "child")


def _kill_worker(system: System, choice: int) -> Effect:
    stage = TILE.stages[choice % 3]
    return _signal(system.child(stage), signal.SIGKILL, f"{stage} worker")


def _kill_named(name: str) -> Callable[[System, int], Effect]:
    return lambda system, _: _signal(system.child(name), signal.SIGKILL, name)


def _kill_service(system: System, _: int) -> Effect:
    if system.service is None or system.service.poll() is not None:
        return NO_TARGET
    system.service.kill()
    system.service.wait()
    return Effect("supervisor", system.restart_if_ended, 0.5)


def _restart(system: System, _: int) -> Effect:
    if system.service is None or system.service.poll() is not None:
        return NO_TARGET
    system.service.terminate()
    return Effect("SIGTERM to the supervisor")  # the run restarts a service that has ended


def _kill_broker(system: System, _: int, forget: bool = False) -> Effect:
    if system.broker:
        if not system.broker.is_running:
            return NO_TARGET
        system.broker.kill()
        if forget:
            system.broker.forget()
        return Effect("broker", system.broker.start, 1.5)
    endpoint = read_endpoint(system.root / "state")
    if endpoint is None or not endpoint.is_live:
        return NO_TARGET
    pid = int(endpoint.process.rsplit(":", 3)[1])
    effect = _signal(pid, signal.SIGKILL, "embedded broker")
    if forget:
        shutil.rmtree(system.root / "state" / "broker" / "appendonlydir", ignore_errors=True)
    return effect


def _freeze_broker(system: System, _: int) -> Effect:
    if system.broker:
        if not system.broker.is_running or system.broker.process is None:
            return NO_TARGET
        return _freeze(system.broker.process.pid, "broker", 2.0)
    endpoint = read_endpoint(system.root / "state")
    return _freeze(int(endpoint.process.rsplit(":", 3)[1]) if endpoint else None, "embedded broker", 2.0)


def _cut(system: System, _: int) -> Effect:
    assert system.proxy is not None
    return Effect(f"{system.proxy.cut()} ends")


def _stall(system: System, _: int) -> Effect:
    assert system.proxy is not None
    system.proxy.stall()
    return Effect("for 4 s", system.proxy.move, 4.0)


def _freeze_worker(system: System, choice: int) -> Effect:
    return _freeze(_stage_process(system, choice), "child", LEASE_S + 2)


def _freeze_producer(system: System, _: int) -> Effect:
    return _freeze(system.child("producer"), "producer", 3.0)


def _kill_store(system: System, _: int) -> Effect:
    assert system.postgres is not None
    if not system.postgres.is_running:
        return NO_TARGET
    system.postgres.kill()
    return Effect("PostgreSQL", system.postgres.start, 1.5)


def _cut_store(system: System, _: int) -> Effect:
    system.cut_store()
    return Effect("all backends")


def _lock_store(system: System, _: int) -> Effect:
    holder = sqlite3.connect(system.database, isolation_level=None, check_same_thread=False, timeout=10)
    holder.execute("BEGIN IMMEDIATE")
    return Effect("for 3 s", holder.close, 3.0)


def _fill_disk(system: System, _: int) -> Effect:
    free_mb = shutil.disk_usage(system.disk).free >> 20
    system.fill_disk()
    return Effect(f"{free_mb} MB for 3 s", system.free_disk, 3.0)


def _pause(system: System, _: int) -> Effect:
    assert system.store is not None
    store = system.store
    store.jobs.pause("the chaos run")
    return Effect("for 2 s", lambda: store.jobs.resume("the chaos run"), 2.0)


def _send_again(system: System, choice: int) -> Effect:
    """Send the messages of three groups again, as late or duplicate messages."""
    assert system.store is not None
    groups = [group.id for group in system.store.files.groups(limit=400)]
    if not groups:
        return NO_TARGET
    victims = [groups[(choice + n * 7919) % len(groups)] for n in range(3)]
    script = (
        "import sys; from workers.scheduling.messages import send; from contimg.store import Stage\n"
        "for group in sys.argv[1:]: send(group, Stage.CONVERT)"
    )
    command = [sys.executable, "-c", script, *victims]
    subprocess.run(command, env=system.environ, cwd=system.root, stderr=subprocess.DEVNULL, timeout=60, check=False)
    return Effect(", ".join(victims))


def _second_producer(system: System, _: int) -> Effect:
    with (system.root / "second.log").open("ab") as log:
        second = subprocess.Popen(
            [sys.executable, "-m", "contimg", "producer"],
            env=system.environ, cwd=system.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip

    def end() -> None:
        second.kill()
        second.wait()

    return Effect(f"pid {second.pid} for 8 s", end, 8.0)


_INJECTORS: dict[FaultKind, Callable[[System, int], Effect]] = {
    FaultKind.KILL_CHILD: _kill_child,
    FaultKind.KILL_WORKER: _kill_worker,
    FaultKind.KILL_PRODUCER: _kill_named("producer"),
    FaultKind.KILL_PANEL: _kill_named("web"),
    FaultKind.KILL_SERVICE: _kill_service,
    FaultKind.RESTART: _restart,
    FaultKind.KILL_BROKER: _kill_broker,
    FaultKind.LOSE_BROKER: lambda system, choice: _kill_broker(system, choice, forget=True),
    FaultKind.FREEZE_BROKER: _freeze_broker,
    FaultKind.CUT: _cut,
    FaultKind.STALL: _stall,
    FaultKind.FREEZE_WORKER: _freeze_worker,
    FaultKind.FREEZE_PRODUCER: _freeze_producer,
    FaultKind.KILL_STORE: _kill_store,
    FaultKind.CUT_STORE: _cut_store,
    FaultKind.LOCK_STORE: _lock_store,
    FaultKind.FILL_DISK: _fill_disk,
    FaultKind.PAUSE: _pause,
    FaultKind.AGAIN: _send_again,
    FaultKind.SECOND_PRODUCER: _second_producer,
}
