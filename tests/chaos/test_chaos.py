"""A short chaos run, and tests of the run itself: a seed repeats it, and changed products are found."""

import shutil
import socket
import threading
from pathlib import Path

import pytest
from chaos import plan_for, run
from deviations import find_deviations
from plan import Defect, FaultKind, make_plan
from proxy import Proxy
from system import Components, System

from contimg.store import Outcome, tables

SEED = 3
ALL = frozenset(FaultKind)


def test_plan_is_determined_by_seed():
    assert make_plan(1, 20, 40, ALL, 60.0) == make_plan(1, 20, 40, ALL, 60.0)
    assert make_plan(1, 20, 40, ALL, 60.0) != make_plan(2, 20, 40, ALL, 60.0)


def test_plan_has_every_kind_of_fault_and_file():
    plan = make_plan(SEED, 300, 200, ALL, 400.0)
    assert {fault.kind for fault in plan.faults[:200]} == ALL
    assert {group.defect for group in plan.groups} == set(Defect)


def test_proxy_passes_cuts_and_stalls():
    server = socket.create_server(("127.0.0.1", 0))
    proxy = Proxy(server.getsockname()[1])
    client = socket.create_connection(("127.0.0.1", proxy.port))
    accepted, _ = server.accept()
    client.sendall(b"passes")
    assert accepted.recv(100) == b"passes"
    proxy.stall()
    client.sendall(b"waits")
    accepted.settimeout(0.3)
    with pytest.raises(TimeoutError):
        accepted.recv(100)
    proxy.resume()
    accepted.settimeout(5)
    assert accepted.recv(100) == b"waits"
    assert proxy.cut() == 2
    assert client.recv(100) == b""
    proxy.close()
    server.close()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_no_loss_or_duplicate_with_faults(tmp_path: Path):
    """Run on SQLite with the embedded broker, then change the products and expect deviations."""
    components = Components(postgresql=False, own_broker=False, mounted_disk=False)
    plan = plan_for(components, SEED, groups=8, faults=12, duration_s=80)
    system = System(tmp_path / "system", components, 8)
    copy = tmp_path / "kept"
    threads = threading.active_count()
    deviations_by_change = {}

    def inspect(system: System, delivered) -> None:
        """Change products and rows while the store is open; each change must be a deviation."""
        image = next(iter(system.store.products.images(20)))
        shutil.copy2(image.png_path, copy)
        image.png_path.unlink()
        deviations_by_change["a file that is gone"] = find_deviations(system, delivered)
        shutil.copy(copy, image.png_path)
        deviations_by_change["a file written again"] = find_deviations(system, delivered)
        shutil.copystat(copy, image.png_path)
        table = system.store.products.measurement_set(image.group).path / "table.dat"
        shutil.copy2(table, copy)
        table.touch()
        deviations_by_change["a Measurement Set written to"] = find_deviations(system, delivered)
        shutil.copystat(copy, table)
        mosaic = system.store.mosaics.list_mosaics().mosaics[0]
        shutil.copy2(mosaic.rms_fits_path, copy)
        mosaic.rms_fits_path.touch()
        deviations_by_change["a mosaic written again"] = find_deviations(system, delivered)
        shutil.copystat(copy, mosaic.rms_fits_path)
        assert find_deviations(system, delivered) == []
        with system.store.database.write() as session:
            first = session.query(tables.StageRun).filter_by(outcome=Outcome.COMMITTED).first()
            first.outcome = Outcome.FAILED
        deviations_by_change["a stage that was not committed"] = find_deviations(system, delivered)

    report = run(plan, 12, system, lambda _: None, quiet_limit_s=240, on_finish=inspect)
    assert report.deviations == [], str(report)
    assert report.injected.total() == 12
    assert all(deviations_by_change.values()), deviations_by_change
    assert threading.active_count() <= threads + 2
