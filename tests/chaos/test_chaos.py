"""A short chaos run, and whether the run itself can be trusted: it replays by seed, and its verdict can fail."""

import shutil
import socket
import threading
from pathlib import Path

import pytest
from chaos import planned, run
from plan import Kind, Spoilt, make_plan
from proxy import Proxy
from verdict import judge
from world import Parts, World

from contimg.store import Outcome, tables

SEED = 3
ALL = frozenset(Kind)


def test_a_seed_is_a_plan():
    assert make_plan(1, 20, 40, ALL, 60.0) == make_plan(1, 20, 40, ALL, 60.0)
    assert make_plan(1, 20, 40, ALL, 60.0) != make_plan(2, 20, 40, ALL, 60.0)


def test_a_plan_has_every_kind_of_fault_and_of_file():
    plan = make_plan(SEED, 300, 200, ALL, 400.0)
    assert {fault.kind for fault in plan.faults[:200]} == ALL
    assert {group.spoilt for group in plan.groups} == set(Spoilt)


def test_the_proxy_passes_cuts_and_stalls():
    server = socket.create_server(("127.0.0.1", 0))
    proxy = Proxy(server.getsockname()[1])
    near = socket.create_connection(("127.0.0.1", proxy.port))
    far, _ = server.accept()
    near.sendall(b"passes")
    assert far.recv(100) == b"passes"
    proxy.stall()
    near.sendall(b"waits")
    far.settimeout(0.3)
    with pytest.raises(TimeoutError):
        far.recv(100)
    proxy.move()
    far.settimeout(5)
    assert far.recv(100) == b"waits"
    assert proxy.cut() == 2
    assert near.recv(100) == b""
    proxy.close()
    server.close()


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_nothing_is_lost_and_nothing_made_twice_under_fire(tmp_path: Path):
    """On SQLite with the embedded broker, as on one machine; then the evidence is tampered with."""
    parts = Parts(postgresql=False, own_broker=False, mounted_disk=False)
    plan = planned(parts, SEED, groups=8, faults=12, duration_s=18)
    world = World(tmp_path / "world", parts, 8)
    kept = tmp_path / "kept"
    threads = threading.active_count()
    seen = {}

    def inspect(world: World, delivered) -> None:
        """While the store is open: each tampering must be noticed."""
        image = next(one for one in world.store.products.images(20))
        shutil.copy2(image.png_path, kept)
        image.png_path.unlink()
        seen["a file that is gone"] = judge(world, delivered)
        shutil.copy(kept, image.png_path)
        seen["a file written again"] = judge(world, delivered)
        shutil.copystat(kept, image.png_path)
        table = world.store.products.measurement_set(image.group).path / "table.dat"
        shutil.copy2(table, kept)
        table.touch()
        seen["a Measurement Set written to"] = judge(world, delivered)
        shutil.copystat(kept, table)
        assert judge(world, delivered) == []
        with world.store.database.write() as session:
            first = session.query(tables.StageRun).filter_by(outcome=Outcome.COMMITTED).first()
            first.outcome = Outcome.FAILED
        seen["a stage that was not committed"] = judge(world, delivered)

    report = run(plan, 12, world, lambda _: None, quiet_limit_s=240, afterwards=inspect)
    assert report.deviations == [], str(report)
    assert report.hits.total() == 12
    assert all(seen.values()), seen
    assert threading.active_count() <= threads + 2
