"""Hosts whose clock is wrong: PostgreSQL's clock times the leases, and the host is named."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from postgres_server import PostgresServer
from sqlalchemy import text
from store_play import Telescope

from contimg.settings import AlertLimits, DispatchSettings, QueueRules
from contimg.store import Lease, Stage, State, Store
from workers.doctor import Level
from workers.doctor.storage import check_service
from workers.housekeeping.alerts import AlertEvaluator
from workers.housekeeping.clocks import LIMIT_S, record_clock, wrong_clocks
from workers.producer import SCAN_BEAT
from workers.service import StreamingServiceManager

SKEW_S = 600.0
_TIME = time.time


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store.open(url, QueueRules(expected_subbands=4, min_subbands=2, lease_s=60.0))
    yield opened
    opened.close()


class FarHost:
    """A host whose clock is wrong, and what it does with the store."""

    def __init__(self, url: str, rules: QueueRules, ahead_s: float) -> None:
        self.ahead_s = ahead_s
        with self.acting():
            self.store = Store.open(url, rules)

    @contextmanager
    def acting(self) -> Iterator[None]:
        with (
            patch("time.time", lambda: _TIME() + self.ahead_s),
            patch("socket.gethostname", lambda: "farhost"),
            patch("contimg.store.database.CLOCK_AGE_S", -1.0),  # so that the clock is read now
        ):
            yield


@pytest.fixture(params=[-SKEW_S, SKEW_S], ids=["behind", "ahead"])
def far(request: pytest.FixtureRequest, url: str, store: Store) -> Iterator[FarHost]:
    host = FarHost(url, store.database.rules, request.param)
    yield host
    host.store.close()


def test_times_are_of_the_server(store: Store) -> None:
    assert abs(store.database.clock() - _TIME()) < 2.0
    assert abs(store.clock_ahead_s() or 0.0) < 2.0


def test_host_with_wrong_clock_keeps_its_lease(store: Store, far: FarHost) -> None:
    group = Telescope(store).whole_group()
    with far.acting():
        lease = far.store.leases.claim(group, Stage.CONVERT, "farhost:1")
    assert isinstance(lease, Lease)
    assert store.leases.expire() == (), "the lease is new for every host"
    with far.acting():
        assert far.store.leases.heartbeat(lease).expires_at < _TIME() + 90.0
    assert store.leases.expire() == ()
    with far.acting():
        assert far.store.leases.commit(lease) is Stage.CALIBRATE
    (run,) = store.jobs.runs(group)
    assert abs(run.started_at - store.database.clock()) < 60.0
    assert store.files.group(group).state is State.PENDING


def test_host_with_wrong_clock_ends_no_lease_of_others(store: Store, far: FarHost) -> None:
    group = Telescope(store).whole_group()
    lease = store.leases.claim(group, Stage.CONVERT, "near:1")
    assert isinstance(lease, Lease)
    with far.acting():
        assert far.store.leases.expire() == ()
    assert store.leases.commit(lease) is Stage.CALIBRATE


def test_host_is_named_by_alert_and_doctor(store: Store, far: FarHost, deployment, url: str) -> None:
    evaluator = AlertEvaluator(store, DispatchSettings(), AlertLimits())
    with far.acting():
        record_clock(far.store)
    record_clock(store)
    (line,) = wrong_clocks(store)
    assert "farhost" in line
    assert f"{SKEW_S:.0f} s" in line
    evaluator.evaluate()
    assert [alert.text for alert in store.alerts.active() if alert.rule == "clock"] == [line]
    deployment.more["CONTIMG_QUEUE_DB"] = url
    findings = {finding.about: finding for finding in check_service(deployment.config)}
    assert (findings["alert clock"].level, findings["clocks"].level) == (Level.WARNING, Level.OK)
    assert "farhost" in findings["alert clock"].text
    with far.acting():
        assert {finding.about: finding.level for finding in check_service(deployment.config)}["clocks"] is Level.WARNING
    far.ahead_s = 0.0
    with far.acting():
        record_clock(far.store)
    evaluator.evaluate()
    assert [alert.rule for alert in store.alerts.active()] == []


def test_sqlite_has_one_host(deployment) -> None:
    store = Store.open(deployment.config.queue_db)
    assert store.clock_ahead_s() is None
    record_clock(store)
    assert wrong_clocks(store) == ()
    store.close()


def test_small_difference_is_no_fault(store: Store) -> None:
    store.activity.beat("clock.near", f"{LIMIT_S - 1:.1f}")
    assert wrong_clocks(store) == ()


def test_age_of_the_last_scan_on_a_host_with_wrong_clock(store: Store, far: FarHost, deployment, url: str) -> None:
    """`contimg status` there neither calls a stream dead that scans, nor one alive that stopped."""
    deployment.more["CONTIMG_QUEUE_DB"] = url
    with patch.dict("os.environ", deployment.environ), far.acting():
        far.store.activity.beat(SCAN_BEAT)
        manager = StreamingServiceManager(deployment.settings)
        assert manager.status().running
        with store.database.write() as session:
            session.execute(text("UPDATE control SET changed_at = changed_at - 3600 WHERE key = 'beat.producer.scan'"))
        assert not manager.status().running
        manager.close()
