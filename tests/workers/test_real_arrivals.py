"""Seventeen days of the real telescope's file times through the real producer into a real store."""

import csv
import gzip
import itertools
import os
import random
import re
from collections import Counter

import pytest
from judges import SHARED, require
from store_steps import register_file

from contimg.formats.uvh5.grouping import seconds_of, subband_file_name
from contimg.instrument.dsa110 import CADENCE_S
from contimg.settings import AlertLimits, DispatchSettings, QueueRules
from contimg.store import State, Store
from workers.housekeeping.alerts import AlertEvaluator
from workers.producer.producer import Producer
from workers.producer.scanner import IncomingScanner
from workers.scheduling.dispatcher import Dispatcher


def real_stamps() -> list[float]:
    """Times of all 35,435 files, epoch seconds; the list says how many came in each second."""
    require("real arrivals")
    with gzip.open(SHARED / "real_arrivals.csv.gz", "rt") as text:
        rows = [(row["timestamp"], int(row["n_subbands_found"]), row["group_source"]) for row in csv.DictReader(text)]
    return sorted(
        seconds_of(stamp) for stamp, number, source in rows if source == "fs" and number <= 16 for _ in range(number)
    )


@pytest.mark.long
def test_real_arrivals_give_the_true_groups(tmp_path):
    """2208 complete and 23 incomplete groups, none above 16; the shards of one group are dealt their subbands."""
    incoming, dealer, hand, before = tmp_path / "incoming", random.Random(6), [], 0.0
    incoming.mkdir()
    for time_s in real_stamps():
        if time_s - before > 120:
            hand = dealer.sample(range(16), 16)
        before = time_s
        path = incoming / subband_file_name(time_s, hand.pop())
        path.write_bytes(b"v")
        os.utime(path, (time_s, time_s))
    store = Store.open(tmp_path / "store.sqlite3", QueueRules(collection_timeout_s=0.0, min_subbands=16))
    sent = []
    producer = Producer(store, IncomingScanner(incoming), Dispatcher(store, lambda job: sent.append(job.key)), 3600)
    producer.scan()
    groups = store.files.groups(limit=10_000)
    sizes = Counter(len(group.subbands) for group in groups)
    assert (sizes[16], sum(sizes.values()) - sizes[16], max(sizes)) == (2208, 23, 16)
    assert Counter(group.state for group in groups) == {State.PENDING: 2208, State.FAILED: 23}
    assert all(re.search(r"\d.*\b16\b", group.error) for group in groups if group.state is State.FAILED)
    assert len(sent) == 12, "the bound on groups under way"
    assert sent == [group.id for group in groups if group.state is State.PENDING][:12], "the newest first"
    store.close()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_no_data_fires_at_every_true_gap():
    """23 gaps of more than three cadences in seventeen days: one alert in each, from its limit to the next file."""
    limit_s, times = 3 * CADENCE_S, sorted(set(real_stamps()))
    expected = [
        (before + limit_s + 1, after) for before, after in itertools.pairwise(times) if after - before > limit_s
    ]
    now = [times[0]]
    store = Store.open(":memory:", clock=lambda: now[0])
    limits = AlertLimits(alert_no_data_cadences=3, alert_uncalibrated=0, alert_quality=0, alert_partial=0)

    def start() -> AlertEvaluator:
        return AlertEvaluator(store, DispatchSettings(stall_s=1e9, backlog_groups=10**6), limits)

    evaluator, last = start(), times[0]
    starts = [0, *(i for i in range(1, len(times)) if times[i] - times[i - 1] > 120), len(times)]
    for number, (i, j) in enumerate(itertools.pairwise(starts)):
        tile = times[i:j]
        is_judged = tile[0] - last > 2 * CADENCE_S or number % 10 == 0  # every gap that is long, and some others
        moments = (last + limit_s - 1, last + limit_s + 1, (last + limit_s + tile[0]) / 2, tile[0] - 1)
        for moment in sorted(moment for moment in moments if is_judged and last < moment < tile[0]):
            now[0] = moment
            evaluator.evaluate()
        for subband, time_s in enumerate(tile[-16:]):
            now[0] = time_s
            if subband == 0 or time_s == tile[-1]:
                register_file(store, f"/in/{subband_file_name(time_s, subband)}", 1, 1.0)
            if subband == 0 and is_judged:
                evaluator.evaluate()
        last = tile[-1]
        if number % 50 == 0:  # another process goes on
            evaluator = start()
            evaluator.evaluate()
    alerts = [alert for alert in store.alerts.last(1000)[::-1] if alert.rule == "no data"]
    assert [(alert.began_at, alert.ended_at) for alert in alerts] == expected
    assert len(expected) == 23
    store.close()
