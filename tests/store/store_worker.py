"""A process of workers for the concurrency test: `python store_worker.py LOCATION SEED`.

Two threads claim whatever waits and pass it through its stages. Now and then one drops dead with its lease, stops to
think for longer than its lease, or fails; the lease is short, so that all of this happens many times over.
"""

import random
import sys
import threading
import time

from contimg.common.errors import LeaseLost
from contimg.store import Lease, QueueRules, State, Store

RULES = QueueRules(expected_subbands=2, min_subbands=2, max_attempts=1000, lease_s=1.0, retry_delay_s=0)


def work(store: Store, owner: str, dice: random.Random) -> None:
    """Work until every group is completed."""
    while True:
        store.leases.expire()
        waiting = store.jobs.waiting(0, limit=16)
        if not waiting and not any(store.files.groups(state, 1) for state in State if state != State.COMPLETED):
            return
        for job in dice.sample(waiting, len(waiting)):
            claimed = store.leases.claim(job.id, job.stage, owner)
            if isinstance(claimed, Lease):
                end(store, claimed, dice)
        time.sleep(0.01)


def end(store: Store, lease: Lease, dice: random.Random) -> None:
    """Commit, most of the time."""
    fate = dice.random()
    if fate < 0.04:
        return  # dropped dead
    if fate < 0.08:
        time.sleep(1.5)  # frozen, thawed, and not aware of it
    try:
        if fate < 0.12:
            store.leases.fail(lease, "disk full", permanent=False)
        else:
            store.leases.heartbeat(lease)
            store.leases.commit(lease)
    except LeaseLost:
        store.metrics.add({"lease.lost": 1.0}, group=lease.group)


def main() -> None:
    location, seed = sys.argv[1], int(sys.argv[2])
    store = Store.open(location, RULES)
    threads = [threading.Thread(target=work, args=(store, f"{seed}.{k}", random.Random(2 * seed + k))) for k in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
