import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_steps import enqueue, register_file

from contimg.formats.uvh5.grouping import stamp_of, subband_file_name
from contimg.settings import QueueRules
from contimg.store import QUEUES, TILE, JobRecord, Lease, Outcome, Stage, State, Store
from contimg.tile.products import ConvertedMS
from workers.execution.processes import ProcessName
from workers.execution.recovery import fail_leases_of_dead_processes, release_leases_of_dead_processes
from workers.scheduling.dispatcher import Dispatcher
from workers.scheduling.reconciler import BEAT, IN_FLIGHT_S, Reconciler, unexplained

NEVER_S = 3600.0
WAITING = st.lists(
    st.builds(
        JobRecord,
        id=st.integers(1),
        key=st.uuids().map(str),
        stage=st.sampled_from(TILE.stages),
        attempts=st.integers(0, 3),
        enqueued_at=st.floats(0, 1e9),
    ),
    max_size=30,
    unique_by=lambda job: job.key,
)
BACKLOG = st.fixed_dictionaries({stage: st.integers(0, 20) for stage in QUEUES})


@given(WAITING, BACKLOG)
def test_unexplained_jobs_are_sent(waiting, backlog):
    lost = unexplained(waiting, backlog)
    assert len(set(lost)) == len(lost)
    for stage in TILE.stages:
        sent = [job for job in waiting if job.stage is stage]
        again = [job for job in lost if job.stage is stage]
        assert len(again) == max(0, len(sent) - backlog[stage])
        kept = [job.enqueued_at for job in sent if job not in again]
        assert all(job.enqueued_at <= at for job in again for at in kept), "the longest ago first"


@given(WAITING)
def test_empty_broker_explains_nothing(waiting):
    assert set(unexplained(waiting, dict.fromkeys(Stage, 0))) == set(waiting)


class Clock:
    now = 1_771_802_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(tmp_path, clock) -> Store:
    opened = Store.open(tmp_path / "timed.sqlite3", QueueRules(expected_subbands=1, min_subbands=1), clock=clock)
    yield opened
    opened.close()


def arrive(store: Store, at_s: float) -> str:
    name = subband_file_name(at_s, 0)
    arrival = register_file(store, f"/incoming/{name}", 1, 1.0)
    assert arrival.became_pending
    return arrival.file.group


def reconciler_of(store, sent, backlog=0) -> Reconciler:
    dispatcher = Dispatcher(store, lambda job: sent.append((job.key, job.stage)))
    return Reconciler(store, dispatcher, lambda: dict.fromkeys(Stage, backlog))


def test_lost_messages_are_sent_again_once(timed, clock):
    sent = []
    group = arrive(timed, clock.now)
    enqueue(timed, [group])
    assert reconciler_of(timed, sent).round() == ()
    clock.now += IN_FLIGHT_S + 1
    assert reconciler_of(timed, sent).round() == (group,)
    assert reconciler_of(timed, sent).round() == ()
    assert sent == [(group, Stage.CONVERT)]
    assert timed.activity.last_beat(BEAT) == clock.now


def test_old_backlog_is_not_lost(timed, clock):
    sent = []
    groups = [arrive(timed, clock.now + 1000 * n) for n in range(5)]
    enqueue(timed, groups)
    clock.now += 86400
    assert reconciler_of(timed, sent, backlog=5).round() == ()
    assert set(reconciler_of(timed, sent, backlog=3).round()) == set(groups[:2])


def test_job_is_sent_from_its_stage(timed, clock):
    sent = []
    group = arrive(timed, clock.now)
    lease = timed.leases.claim(group, Stage.CONVERT, "elsewhere:1:1:1")
    row = ConvertedMS(f"/products/{group}.ms", 61000.0, 61000.1, 0.0, 0.0, 1, 1, 1, (), 0.0, 1)
    timed.leases.commit(lease, [row])
    clock.now += IN_FLIGHT_S + 1
    reconciler_of(timed, sent).round()
    assert sent == [(group, Stage.CALIBRATE)]


def test_silent_worker_of_other_host_loses_lease(timed, clock):
    sent = []
    group = arrive(timed, clock.now)
    timed.leases.claim(group, Stage.CONVERT, "elsewhere:1:1:1")
    assert reconciler_of(timed, sent).round() == ()
    assert timed.files.group(group).state is State.IN_PROGRESS
    clock.now += 121
    reconciler_of(timed, sent).round()
    clock.now += 61
    assert reconciler_of(timed, sent).round() == (group,) or sent == [(group, Stage.CONVERT)]


def dead_process() -> ProcessName:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = ProcessName.of(process.pid)
    process.communicate()
    return name


def test_dead_process_uses_up_attempt(timed, clock):
    """Three times: the group is poison and fails, which a lease's expiry alone would take six minutes to see."""
    group = arrive(timed, clock.now)
    for attempt in (1, 2, 3):
        lease = timed.leases.claim(group, Stage.CONVERT, str(dead_process()))
        assert isinstance(lease, Lease)
        assert lease.attempt == attempt
        assert fail_leases_of_dead_processes(timed) == (group,)
        clock.now += 1000
    assert timed.files.group(group).state is State.FAILED
    assert "convert" in timed.files.group(group).error


def test_leases_of_dead_processes_are_released_at_start(timed, clock):
    group = arrive(timed, clock.now)
    timed.leases.claim(group, Stage.CONVERT, str(dead_process()))
    assert release_leases_of_dead_processes(timed) == (group,)
    assert [run.outcome for run in timed.jobs.runs(group)] == [Outcome.RELEASED]
    assert timed.leases.claim(group, Stage.CONVERT, "next").attempt == 1


def test_live_and_remote_processes_keep_leases(timed, clock):
    for number, owner in enumerate((str(ProcessName.of()), "elsewhere:1:1:1", "somebody")):
        timed.leases.claim(arrive(timed, clock.now + 1000 * number), Stage.CONVERT, owner)
    assert release_leases_of_dead_processes(timed) == ()
    assert fail_leases_of_dead_processes(timed) == ()


def test_stamps_are_group_ids(timed, clock):
    assert arrive(timed, clock.now) == stamp_of(clock.now)
