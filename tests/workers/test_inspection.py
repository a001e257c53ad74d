"""Workers and queues as a real Celery over a real broker reports them, and inspection while the broker is dead."""

import threading
from collections.abc import Iterator

import pytest
from waiting import until

from contimg.common.files.processes import kill_session, start_bound
from contimg.store import Stage
from workers.broker import EmbeddedBroker
from workers.inspection import CeleryInspector, Inspection, InspectionCache
from workers.service.plan import worker_command


@pytest.fixture
def broker_url(tmp_path) -> Iterator[str]:
    broker = EmbeddedBroker(tmp_path / "state")
    yield broker.start().url
    broker.stop()


@pytest.mark.long
def test_inspection_of_real_worker(deployment, store, broker_url):
    environ = {**deployment.environ, "CONTIMG_BROKER_URL": broker_url}
    inspector = CeleryInspector()
    nobody = inspector.inspect(broker_url)
    assert (nobody.workers, nobody.error) == ((), None)
    assert nobody.unserved == ("convert", "calibrate", "image")
    worker = start_bound(worker_command(Stage.IMAGE, 1), environ=environ)
    try:
        until(lambda: inspector.inspect(broker_url).workers, 60, "the worker answers")
        inspection = inspector.inspect(broker_url)
    finally:
        kill_session(worker)
    (reply,) = inspection.workers
    assert (reply.name.split("@")[0], reply.queues, reply.processes, reply.busy) == ("image", ("image",), 1, 0)
    assert inspection.unserved == ("convert", "calibrate")


def test_waiting_messages_are_counted(deployment, broker_url):
    from workers.app import app

    message = app.signature("contimg.convert", (1,), options={"ignore_result": True}, immutable=True)
    with app.connection_for_write(url=broker_url) as connection:
        for _ in range(3):
            message.apply_async(connection=connection)
    assert CeleryInspector().inspect(broker_url).waiting == {"convert": 3, "calibrate": 0, "image": 0}


def test_absent_broker_gives_error(broker_url):
    assert "127.0.0.1:1" in str(CeleryInspector().inspect("redis://127.0.0.1:1/0").error)
    assert CeleryInspector().inspect("redis://127.0.0.1:1/0").unserved == ()


def test_inspection_recovers_with_broker(tmp_path):
    broker, inspector = EmbeddedBroker(tmp_path / "state"), CeleryInspector()
    url = broker.start().url
    assert inspector.inspect(url).error is None
    broker.stop()
    assert url.rpartition("@")[2].partition("/")[0] in str(inspector.inspect(url).error)
    try:
        assert broker.start().url == url
        assert inspector.inspect(url).error is None
    finally:
        broker.stop()


def test_inspection_resumes_after_error():
    looks = []

    def look() -> Inspection:
        looks.append(1)
        if len(looks) == 1:
            raise KeyError("pool")
        return Inspection(2.0)

    inspector = InspectionCache(look, max_age_s=0.05)
    inspections: list[Inspection | None] = [None]
    until(lambda: inspections.append(inspector.latest()) or inspections[-1] == Inspection(2.0), 5, "the second answer")
    assert "KeyError: 'pool'" in {inspection.error for inspection in inspections if inspection}


def test_cache_never_blocks():
    looks, go_on = [], threading.Event()

    def look() -> Inspection:
        looks.append(1)
        go_on.wait(60)
        return Inspection(float(len(looks)))

    inspector = InspectionCache(look, max_age_s=3600)
    assert [inspector.latest() for _ in range(100)] == [None] * 100
    go_on.set()
    until(lambda: inspector.latest() is not None, 5, "the first answer")
    assert len(looks) == 1
    inspector._max_age_s = 0.0
    go_on.clear()
    assert inspector.latest() == Inspection(1.0)  # old, but at once
    go_on.set()
    until(lambda: inspector.latest() == Inspection(2.0), 5, "the second answer")
