"""Any history of arrivals, claims, kills, errors and operators: the rules that must hold through all of them."""

import itertools
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from postgres_server import empty
from store_play import Clock, Telescope

from contimg.common.errors import BadInput, LeaseLost
from contimg.store import FileState, Lease, Outcome, QueueRules, Refusal, Refused, Stage, State, Store

RULES = QueueRules(expected_subbands=3, min_subbands=2, max_attempts=2, lease_s=100, retry_delay_s=10)
GROUPS = st.integers(0, 1)
SUBBANDS = st.integers(0, 2)
PICK = st.integers(0, 5)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # thousands of commits need no disk
ENDS = ["commit", "commit", "fail", "poison", "release", "beat", "bad file", "redo"]


class Stream(RuleBasedStateMachine):
    """A store driven at random beside a model that knows only who was granted what and what was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = self.open_store()
        self.telescope = Telescope(self.store)
        self.registered: set[Path] = set()
        self.leases: list[Lease] = []  # every lease ever granted: the dead ones too try to commit
        self.holder: dict[str, Lease] = {}  # the newest per group, while nothing has ended it
        self.committed: Counter[tuple[str, int, Stage]] = Counter()
        self.generation: Counter[str] = Counter()  # grows whenever a group is made again from its files
        self.redone: Counter[str] = Counter()  # how often that was because a product was broken
        self.numbers = itertools.count()

    def open_store(self) -> Store:
        raise NotImplementedError

    # -- what may happen ------------------------------------------------------------------------------------------

    @initialize(count=st.integers(1, 2))
    def begins_with_whole_groups(self, count):
        for group in range(count):
            for subband in range(3):
                self.arrives(group, subband, 0, False)

    @rule(group=GROUPS, subband=SUBBANDS, shift=st.sampled_from([0, 1, 40, -82]), rewritten=st.booleans())
    def arrives(self, group, subband, shift, rewritten):
        mtime = float(next(self.numbers)) if rewritten else 1.0
        arrival = self.telescope.arrive(group, subband, shift_s=shift, mtime=mtime)
        self.registered.add(arrival.file.path)

    @rule(seconds=st.sampled_from([1, 11, 101, 601, -3600]), reconciler_is_up=st.booleans())
    def time_passes(self, seconds, reconciler_is_up):
        self.clock.advance(seconds)
        if reconciler_is_up:
            self.store.files.check_timeouts()
            self.leases_expire()

    def leases_expire(self):
        overdue = {
            group.id for group in self.store.files.groups(State.IN_PROGRESS) if group.lease_expires_at <= self.clock.now
        }
        assert set(self.store.leases.expire()) == overdue
        for group in overdue:
            del self.holder[group]

    @rule(pick=PICK, astray=st.sampled_from([None] * 6 + list(Stage)))
    def is_claimed(self, pick, astray):
        group = self.pick_group(pick, State.PENDING, State.IN_PROGRESS)
        before = self.store.files.group(group)
        stage = astray or before.stage
        claimed = self.store.leases.claim(group, stage, f"worker {next(self.numbers)}")
        if group in self.holder and before.lease_expires_at > self.clock.now:
            assert isinstance(claimed, Refused), "two live leases"
        if isinstance(claimed, Refused):
            if self.store.files.group(group).state != State.IN_PROGRESS:
                self.holder.pop(group, None)  # overdue, and ended by the claim
            return
        assert claimed.stage == stage == before.stage
        assert not self.store.jobs.paused
        if stage == Stage.CONVERT:
            assert claimed.files, "nothing to convert"
            assert claimed.partial == (len(claimed.files) < 3)
        self.leases.append(claimed)
        self.holder[group] = claimed

    @precondition(lambda self: self.holder)
    @rule(pick=PICK)
    def a_frozen_worker_is_overtaken(self, pick):
        self.clock.advance(101)
        self.is_claimed(pick, None)

    @precondition(lambda self: self.leases)
    @rule(pick=PICK, end=st.sampled_from(ENDS))
    def a_worker_acts(self, pick, end):
        self.ends(self.leases[-1 - pick % min(3, len(self.leases))], end)

    @rule(pick=PICK, end=st.sampled_from(ENDS))
    def a_worker_takes_a_turn(self, pick, end):
        self.is_claimed(pick, None)
        self.newest_holder_ends(end)

    @rule(pick=PICK)
    def a_worker_does_its_work(self, pick):
        self.is_claimed(pick, None)
        self.newest_holder_ends("commit")

    @rule(pick=PICK)
    def a_later_stage_finds_its_product_broken(self, pick):
        self.a_worker_does_its_work(pick)
        self.a_worker_takes_a_turn(pick, "redo")

    def newest_holder_ends(self, end):
        if self.holder:
            self.ends(max(self.holder.values(), key=lambda lease: lease.run_id), end)

    def ends(self, lease, end):
        if end == "bad file" and lease.stage != Stage.CONVERT:
            end = "poison"
        if end == "redo" and lease.stage == Stage.CONVERT:
            end = "fail"
        before = self.store.jobs.runs(lease.group), self.store.files.group(lease.group)
        try:
            self.act(lease, end)
        except LeaseLost:
            assert self.holder.get(lease.group) is not lease, "the holder was refused"
            assert before == (self.store.jobs.runs(lease.group), self.store.files.group(lease.group))
            return
        assert self.holder.get(lease.group) is lease, "a lost lease was honoured"
        if end == "commit":
            self.committed[lease.group, self.generation[lease.group], lease.stage] += 1
        if end != "beat":
            del self.holder[lease.group]

    def act(self, lease, end):
        leases = self.store.leases
        if end == "commit":
            assert leases.commit(lease) == lease.stage.following
        elif end == "fail":
            leases.fail(lease, "disk full", permanent=False)
        elif end == "poison":
            leases.fail(lease, "no such axis", permanent=True)
        elif end == "release":
            leases.release(lease)
        elif end == "beat":
            leases.heartbeat(lease)
        elif end == "redo":
            self.is_made_again(lease)
        else:
            self.store.files.quarantine(next(iter(lease.files.values())), "NaN", lease=lease)

    def is_made_again(self, lease):
        """An earlier product is broken: all is made again, and nothing of the time before stands; but not for ever."""
        state = self.store.leases.redo(lease, Stage.CONVERT, "the Measurement Set is broken")
        record = self.store.files.group(lease.group)
        committed = [run for run in self.store.jobs.runs(lease.group) if run.outcome == Outcome.COMMITTED]
        if state == State.PENDING:
            assert (record.stage, record.attempts, committed) == (Stage.CONVERT, 0, [])
            self.generation[lease.group] += 1
        else:
            assert (state, record.stage) == (State.FAILED, lease.stage)
            assert committed, "what stood still stands"
        again = [run for run in self.store.jobs.runs(lease.group) if run.error == "the Measurement Set is broken"]
        self.redone[lease.group] += state == State.PENDING
        assert self.redone[lease.group] < RULES.max_attempts
        assert len(again) >= self.redone[lease.group]

    @rule(pick=PICK)
    def is_retried(self, pick):
        group = self.pick_group(pick, State.FAILED, State.DISCARDED, State.COMPLETED)
        before = self.store.files.group(group)
        try:
            self.store.jobs.retry(group)
        except BadInput:
            return
        assert before.state in (State.FAILED, State.DISCARDED, State.COMPLETED)
        if before.state == State.COMPLETED:
            self.generation[group] += 1

    @rule(pick=PICK, what=st.sampled_from(["a file is quarantined", "discard", "pause", "resume", "resume"]))
    def something_interferes(self, pick, what):
        if what == "a file is quarantined":
            path = sorted(self.registered)[pick % len(self.registered)]
            self.store.files.quarantine(path, "zeroed")
        elif what == "discard":
            self.discards(self.pick_group(pick))
        else:
            (self.store.jobs.pause if what == "pause" else self.store.jobs.resume)("ops")

    def discards(self, group):
        if self.store.files.group(group).state in (State.IN_PROGRESS, State.COMPLETED):
            with pytest.raises(BadInput):
                self.store.jobs.discard(group)
        else:
            assert self.store.jobs.discard(group).state == State.DISCARDED

    # -- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def each_stage_is_committed_at_most_once(self):
        assert all(times == 1 for times in self.committed.values())

    @invariant()
    def stages_are_committed_in_order(self):
        for group, generation, stage in self.committed:
            for earlier in Stage:
                assert not earlier.precedes(stage) or self.committed[group, generation, earlier] == 1

    @invariant()
    def no_file_is_lost(self):
        files = {file.path: file for file in self.store.files.latest()}
        assert set(files) == self.registered
        taken = Counter((f.group, f.subband) for f in files.values() if f.state != FileState.QUARANTINED)
        assert all(times == 1 for times in taken.values())
        assert all(file.reason for file in files.values() if file.state == FileState.QUARANTINED)

    @invariant()
    def a_group_in_progress_has_a_lease_and_no_other_has(self):
        for group in self.store.files.groups():
            assert (group.state == State.IN_PROGRESS) == (group.lease_owner is not None) == (group.id in self.holder)
            assert 0 <= group.attempts <= RULES.max_attempts
            assert (group.state == State.FAILED) <= (group.error is not None)

    def teardown(self):
        """Whatever happened, it goes on from here: everything ends, and nothing waits for ever."""
        try:
            self.run_to_the_end()
        finally:
            self.store.close()
            self.clean_up()

    def run_to_the_end(self):
        self.store.jobs.resume("ops")
        for _ in range(20):
            self.clock.advance(1000)
            self.leases_expire()
            self.store.files.check_timeouts()
            for work in self.store.jobs.waiting(0):
                lease = self.store.leases.claim(work.key, work.stage, "last")
                assert isinstance(lease, Lease)
                self.store.leases.commit(lease)
        for group in self.store.files.groups():
            assert group.state in (State.COMPLETED, State.FAILED, State.DISCARDED)
            if group.state == State.COMPLETED:
                assert self.store.leases.claim(group.id, Stage.IMAGE, "late").reason is Refusal.DONE

    def clean_up(self) -> None:
        pass

    def pick_group(self, pick: int, *states: State) -> str:
        """A group, one in these states if there is any."""
        groups = self.store.files.groups()
        groups = [group for group in groups if group.state in states] or groups
        return groups[pick % len(groups)].id


def check(machine: type[Stream], examples: int) -> None:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=slow),
    )


@pytest.mark.long
def test_any_history_on_sqlite(made_sqlite):
    class OnSqlite(Stream):
        def open_store(self) -> Store:
            self.directory = tempfile.mkdtemp(prefix="contimg-history-", dir=MEMORY)
            return Store.open(shutil.copy(made_sqlite, f"{self.directory}/store.sqlite3"), RULES, clock=self.clock)

        def clean_up(self) -> None:
            shutil.rmtree(self.directory)

    check(OnSqlite, 40)


def test_any_history_on_postgresql(made_postgres):
    class OnPostgres(Stream):
        def open_store(self) -> Store:
            empty(made_postgres)
            return Store.open(made_postgres, RULES, clock=self.clock)

    check(OnPostgres, 5)
