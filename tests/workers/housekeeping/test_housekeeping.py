"""Periodic tasks: orphans, disks, alerts, retention, samples."""

import os
import re
import shutil
import threading
import time
from pathlib import Path

import pytest
from store_steps import metric_values, register_file, solved_set
from waiting import until

from contimg.common.errors import Misconfigured
from contimg.common.files.locks import lock
from contimg.formats.uvh5.grouping import subband_file_name
from contimg.settings import AlertLimits, DiskLimits, DispatchSettings, QueueRules, RetentionRules
from contimg.store import (
    DiskPause,
    Lease,
    Stage,
    State,
    Store,
)
from contimg.store.jobs.records import DISK_WATCH
from contimg.tile.products import CalibratedMS, ConvertedMS, TileImage
from workers.housekeeping.alerts import AlertEvaluator
from workers.housekeeping.cleanup import delete_expired, remove_orphans
from workers.housekeeping.resources import Disk, DiskMonitor, disks, record_sample, resume_refusal
from workers.housekeeping.schedule import PeriodicTask, TaskSchedule
from workers.inspection import Inspection, Worker
from workers.service.manager import run_command
from workers.service.records import TooEarly

T0, DAY_S = 1_771_802_000.0, 86400.0
NO_QUALITY = AlertLimits(alert_uncalibrated=0, alert_quality=0, alert_partial=0)


class Clock:
    now = T0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def clocked_store(deployment, clock) -> Store:
    rules = QueueRules(expected_subbands=1, min_subbands=1, lease_s=60)
    opened = Store.open(deployment.config.queue_db, rules, clock=clock)
    yield opened
    opened.close()


def arrive(store: Store, number: int = 0) -> str:
    name = subband_file_name(T0 + 309 * number, 0)
    return register_file(store, f"/incoming/{name}", 1, 1.0).file.group


def lease(store: Store, group: str, stage: Stage) -> Lease:
    claimed = store.leases.claim(group, stage, "elsewhere:1:1:1")
    assert isinstance(claimed, Lease)
    return claimed


def complete(store: Store, deployment, number: int, verdict: str = "good") -> str:
    """A group with files for its products, as small as they may be."""
    return finish(store, deployment, arrive(store, number), verdict)


def finish(store: Store, deployment, group: str, verdict: str = "good") -> str:
    output = deployment.config.output_dir
    ms, fits = output / f"{group}.ms", output / "images" / f"{group}.fits"
    ms.mkdir(parents=True)
    (ms / "table.dat").write_bytes(bytes(1000))
    fits.parent.mkdir(exist_ok=True)
    fits.write_bytes(bytes(100))
    row = ConvertedMS(ms, 61000.0, 61000.1, 0.0, 0.0, 1, 1, 1, (), 0.0, 1000)
    store.leases.commit(lease(store, group, Stage.CONVERT), [row])
    store.leases.commit(lease(store, group, Stage.CALIBRATE), [CalibratedMS(None, "none", 0.0)])
    image = TileImage(
        fits_path=fits, beam_fits_path=None, png_path=None, thumbnail_path=None, rms_jy=1.0, peak_jy=1.0,
        dynamic_range=1.0, beam_major_arcsec=1.0, beam_minor_arcsec=1.0, beam_angle_deg=0.0, ra_deg=0.0, dec_deg=0.0,
        mjd=61000.0, freq_hz=1.4e9, pixels=1, cell_arcsec=1.0, calibration_set=None, verdict=verdict,
    )  # fmt: skip
    store.leases.commit(lease(store, group, Stage.IMAGE), [image])
    return group


def aged(path: Path, at: float) -> Path:
    path.mkdir(parents=True)
    (path / "table.dat").touch()
    for entry in (path / "table.dat", path):
        os.utime(entry, (at, at))
    return path


def test_only_orphans_are_removed(clocked_store, deployment, clock):
    output, real = deployment.config.output_dir, time.time()
    group, next_group = arrive(clocked_store, 0), arrive(clocked_store, 1)
    orphan = aged(output / f"{group}.ms.writing-00000001", real - 100)
    fresh = aged(output / f"{group}.ms.writing-00000002", real)
    staged_set = aged(output / "calibration" / f".{next_group}.abc.part", real - 100)
    picture = output / "images" / f"{next_group}.fits.writing-00000003"
    summary = output / "calibration" / "flags" / f"{next_group}.png.writing-00000004"
    for path in (picture, summary):
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (real - 100, real - 100))
    product = aged(output / f"{group}.ms", real - 100)
    in_use = aged(output / "calibration" / f".{next_group}.def.part", real - 100)
    lock(in_use)  # a solve started by hand, which waits for CASA
    assert set(remove_orphans(deployment.config, clocked_store)) == {orphan, staged_set, picture, summary}
    assert (fresh.exists(), product.exists(), in_use.exists()) == (True, True, True)
    assert not any(path.exists() for path in (orphan, staged_set, picture, summary))


def test_temporary_of_running_stage_is_kept(clocked_store, deployment, clock):
    clock.now = time.time() - 500
    group, output = arrive(clocked_store), deployment.config.output_dir
    lease(clocked_store, group, Stage.CONVERT)
    before = aged(output / f"{group}.ms.writing-00000001", clock.now - 10)
    current = aged(output / f"{group}.ms.writing-00000002", clock.now + 10)
    assert remove_orphans(deployment.config, clocked_store) == (before,)
    assert current.exists()


def test_full_disk_pauses_stream_until_freed(clocked_store):
    used = []
    monitor = DiskMonitor(clocked_store, DiskLimits(), lambda: [Disk(Path("/products"), used[-1], 10**9)])
    for percent, paused in ((80, False), (94.9, False), (95, True), (93, True), (89, False), (97, True)):
        used.append(percent)
        monitor.check()
        assert clocked_store.jobs.paused is paused, f"at {percent} %"
    text = clocked_store.events.last(level="error")[-1].text
    assert re.search(r"/products\b.*\b95\.0 ?%.*\b1\.0 GB\b.*\b90 ?%", text)


def test_disk_pause_names_what_retention_frees(clocked_store, deployment, clock):
    group = complete(clocked_store, deployment, 0)
    clock.now += 10 * DAY_S
    used = [96.0]
    rules = RetentionRules(keep_ms_days=1, keep_images_days=1, keep_last=0, keep_flagged=False)
    output = deployment.config.output_dir
    monitor = DiskMonitor(clocked_store, DiskLimits(), lambda: [Disk(output, used[-1], 4 * 10**9)], rules)
    expected = sum(row.size_bytes for row in delete_expired(clocked_store, rules, dry_run=True))
    monitor.check()
    pause = clocked_store.activity.disk_pause()
    assert pause == DiskPause(str(output), 96.0, 95.0, 90.0, 4 * 10**9, expected, clock.now)
    assert expected > 0, group
    assert pause.is_too_full
    clock.now += 10
    used.append(92.0)
    monitor.check()
    assert not clocked_store.activity.disk_pause().is_too_full
    used.append(89.0)
    monitor.check()
    assert clocked_store.activity.disk_pause() is None
    assert clocked_store.activity.full_disk() is None


def test_resume_is_refused_while_disk_is_full(clocked_store):
    used = [95.0]
    monitor = DiskMonitor(clocked_store, DiskLimits(), lambda: [Disk(Path("/no/products"), used[-1], 10**9)])
    monitor.check()
    outcome = run_command(None, clocked_store, "resume", "ana")
    assert isinstance(outcome, TooEarly)
    assert "/no/products" in outcome.message
    assert clocked_store.jobs.paused
    clocked_store.jobs.resume("ana")
    clocked_store.jobs.pause("ana")
    assert not run_command(None, clocked_store, "resume", "ana").success
    used.append(94.0)
    monitor.check()
    assert run_command(None, clocked_store, "resume", "ana").success
    assert not clocked_store.jobs.paused


def test_resume_measures_disk_again(clocked_store, tmp_path):
    monitor = DiskMonitor(clocked_store, DiskLimits(), lambda: [Disk(tmp_path, 100.0, 0)])
    monitor.check()
    assert clocked_store.activity.disk_pause().is_too_full
    disk = shutil.disk_usage(tmp_path)
    is_full = 100 * (1 - disk.free / disk.total) >= 95
    assert (resume_refusal(clocked_store) is not None) is is_full


def test_disk_monitor_keeps_pause_by_operator(clocked_store):
    monitor = DiskMonitor(clocked_store, DiskLimits(), lambda: [Disk(Path("/products"), 10.0, 1)])
    clocked_store.jobs.pause("the night's observer")
    monitor.check()
    assert clocked_store.jobs.paused_by == "the night's observer"
    clocked_store.jobs.resume("the night's observer")
    assert clocked_store.jobs.paused_by is None
    assert DISK_WATCH != "the night's observer"


def test_each_file_system_is_listed_once(deployment):
    listed = disks(deployment.config)
    assert len({disk.directory for disk in listed}) == len(listed) >= 1
    assert all(0 <= disk.used_percent <= 100 and disk.free_bytes >= 0 for disk in listed)


def test_reversed_watermarks_are_refused():
    with pytest.raises(Misconfigured, match=r"CONTIMG_DISK_LOW_PERCENT=95\b"):
        DiskLimits(disk_high_percent=95, disk_low_percent=95)


def test_stall_raises_one_alert(clocked_store, clock):
    alerts = AlertEvaluator(clocked_store, DispatchSettings(stall_s=600))
    group = arrive(clocked_store)
    for seconds in (0, 599, 1, 300):
        clock.now += seconds
        alerts.evaluate()
    (event,) = clocked_store.events.last(level="error")
    assert re.search(r"\bstall\b.*\b1\b.*\b600 s\b", event.text)
    row = ConvertedMS("/p.ms", 61000.0, 61000.1, 0.0, 0.0, 1, 1, 1, (), 0.0, 1)
    clocked_store.leases.commit(lease(clocked_store, group, Stage.CONVERT), [row])
    alerts.evaluate()
    assert clocked_store.events.last(1)[0].level == "info"
    assert clocked_store.alerts.active() == ()


def test_paused_stream_raises_no_stall(clocked_store, clock):
    arrive(clocked_store)
    clocked_store.jobs.pause("a test")
    clock.now += 10_000
    AlertEvaluator(clocked_store, DispatchSettings()).evaluate()
    assert clocked_store.events.last(level="error") == ()


def test_backlog_alert_estimates_time(clocked_store, deployment, clock):
    for number in range(4):
        complete(clocked_store, deployment, number)
    clock.now += 901  # those that came are no longer counted as arriving
    for number in range(10, 16):
        arrive(clocked_store, number)
    AlertEvaluator(clocked_store, DispatchSettings(backlog_groups=5), NO_QUALITY).evaluate()
    assert re.search(r"\bbacklog\b.*\b6\b", clocked_store.events.last(1)[0].text)
    clock.now += 901
    for number in range(20, 23):
        complete(clocked_store, deployment, number)
    clock.now += 1
    clocked_store.alerts.update("backlog", None)
    AlertEvaluator(clocked_store, DispatchSettings(backlog_groups=5), NO_QUALITY).evaluate()
    assert re.search(r"\bbacklog\b.*\b6\b", clocked_store.events.last(1)[0].text)
    rates = clocked_store.activity.read()
    assert (rates.waiting, rates.done_in_window, rates.arrived_in_window, rates.catch_up_s) == (6, 3, 3, None)
    clock.now += 1
    for group in (record.id for record in clocked_store.files.groups(State.PENDING, 2)):
        finish(clocked_store, deployment, group)
    activity = clocked_store.activity.read()
    assert (activity.waiting, activity.catch_up_s) == (4, pytest.approx(4 / (2 / 900)))


def test_no_product_alert_ignores_quiet_nights(clocked_store, deployment, clock):
    alerts = AlertEvaluator(clocked_store, DispatchSettings(stall_s=1e6), AlertLimits(alert_no_product_s=1800))
    complete(clocked_store, deployment, 0)
    clock.now += 8 * 3600  # the telescope stood still
    for number, count in ((1, 0), (2, 0), (3, 1)):
        arrive(clocked_store, number)
        alerts.evaluate()
        assert len(clocked_store.events.last(level="error")) == count, number
        clock.now += 900
    assert [alert.rule for alert in clocked_store.alerts.active()] == ["no product"]
    assert re.search(r"\b30 min\b", clocked_store.events.last(level="error")[0].text)
    complete(clocked_store, deployment, 4)
    alerts.evaluate()
    assert clocked_store.alerts.active() == ()


def test_failures_alert_ends_with_completed_group(clocked_store, deployment, clock):
    alerts = AlertEvaluator(clocked_store, DispatchSettings(), AlertLimits(alert_failures=3))
    for number in range(5):
        if number == 2:
            clock.now += 1
            complete(clocked_store, deployment, 10)
        clock.now += 1
        failing = lease(clocked_store, arrive(clocked_store, number), Stage.CONVERT)
        clocked_store.leases.fail(failing, "no", permanent=True)
        alerts.evaluate()
        assert [alert.rule for alert in clocked_store.alerts.active()] == (["failures"] if number == 4 else []), number
    clock.now += 1
    complete(clocked_store, deployment, 20)
    alerts.evaluate()
    assert clocked_store.alerts.active() == ()


def test_worker_alert_after_limit(clocked_store, clock):
    def worker(queue: str) -> Worker:
        return Worker(f"{queue}@host", (queue,), 1, 0, 0, 10.0)

    inspections = [Inspection(0.0, (worker("convert"), worker("calibrate")))]
    alerts = AlertEvaluator(clocked_store, DispatchSettings(), AlertLimits(alert_worker_s=120), lambda: inspections[-1])
    for seconds, count in ((0, 0), (119, 0), (1, 1), (500, 1)):
        clock.now += seconds
        alerts.evaluate()
        assert len(clocked_store.events.last(level="error")) == count, seconds
    assert re.search(r"\bworker\b.*\bimage\b", clocked_store.events.last(level="error")[0].text)
    inspections.append(Inspection(0.0, (*inspections[0].workers, worker("image"))))
    alerts.evaluate()
    assert clocked_store.alerts.active() == ()
    inspections.append(Inspection(0.0, error="broker redis://x: does not answer"))
    alerts.evaluate()
    clock.now += 120
    alerts.evaluate()
    assert re.search(r"\bworker\b.*broker redis://x: does not answer", clocked_store.alerts.active()[0].text)


def test_retention_deletes_by_rules(clocked_store, deployment, clock):
    groups = [
        complete(clocked_store, deployment, number, verdict="bad" if number == 1 else "good") for number in range(5)
    ]
    clocked_store.registry.register(
        solved_set(deployment.config.output_dir / "calibration" / "x", 61000.0, 24.0), group=groups[2]
    )
    clock.now += 40 * DAY_S
    clocked_store.jobs.retry(groups[3], stage=Stage.IMAGE)
    newest = complete(clocked_store, deployment, 9)
    rules = RetentionRules(keep_ms_days=30, keep_images_days=35, keep_last=1)
    for epoch in clocked_store.epochs.list_epochs(500).epochs:  # an open one keeps its tile images
        clocked_store.jobs.discard(epoch.job_id)

    def keys(gone) -> set[tuple[str, str]]:
        return {(expired.product.group, expired.product.kind) for expired in gone}

    expected = {
        (groups[0], "Measurement Set"), (groups[4], "Measurement Set"),
        (groups[0], "image"), (groups[2], "image"), (groups[4], "image"),
    }  # fmt: skip
    files = sorted(deployment.config.output_dir.rglob("*"))
    assert keys(delete_expired(clocked_store, rules, dry_run=True)) == expected
    assert sorted(deployment.config.output_dir.rglob("*")) == files, "a dry run touches nothing"
    assert keys(delete_expired(clocked_store, rules)) == expected
    left = {path.name for path in deployment.config.output_dir.glob("*.ms")}
    assert left == {f"{group}.ms" for group in (groups[1], groups[2], groups[3], newest)}
    assert clocked_store.products.measurement_set(groups[0]) is None
    assert clocked_store.products.image_of(groups[1]).verdict == "bad"
    assert delete_expired(clocked_store, rules) == ()
    assert RetentionRules().keep_ms_days == RetentionRules().keep_images_days == 0, "by default nothing is deleted"


def test_retried_group_keeps_due_products(clocked_store, deployment, clock):
    group = complete(clocked_store, deployment, 0)
    clock.now += 40 * DAY_S
    (due,) = clocked_store.retention.due(RetentionRules(keep_ms_days=30, keep_last=0))
    clocked_store.jobs.retry(group, stage=Stage.IMAGE)
    assert not clocked_store.retention.retire(due, lambda paths: pytest.fail("its name was taken"))
    assert clocked_store.files.group(group).state is State.PENDING
    assert clocked_store.products.measurement_set(group) is not None


def test_retention_command_lists_then_deletes(deployment):
    store = Store.open(deployment.config.queue_db, QueueRules(expected_subbands=1, min_subbands=1))
    group = complete(store, deployment, 0)
    options = ("--keep-ms-days", "0.0000001", "--keep-last", "0")
    dry_run = deployment.contimg("retention", *options).stdout.splitlines()[-1]
    assert re.search(r"\b1\b.*\b0\.00 GB\b.*--delete\b", dry_run)
    assert (deployment.config.output_dir / f"{group}.ms").exists()
    assert re.search(
        r"\b1\b.*\b0\.00 GB\b", deployment.contimg("retention", "--delete", *options).stdout.splitlines()[-1]
    )
    assert not (deployment.config.output_dir / f"{group}.ms").exists()
    assert len(deployment.contimg("retention").stdout.splitlines()) == 1
    store.close()


def test_machine_is_sampled(clocked_store, deployment):
    arrive(clocked_store)
    values = record_sample(deployment.config, clocked_store)
    assert values["queue.waiting.convert"] == 1
    assert 0 < values["disk.used_percent"] < 100
    assert metric_values(clocked_store, "machine.memory_mb")[0] > 10


def test_failing_task_stops_no_other(caplog):
    done, fails = [], [True]

    def breaks() -> None:
        if fails[0]:
            raise OSError("the disk is away")
        done.append("mended")

    stop = threading.Event()
    schedule = TaskSchedule([PeriodicTask("a", 0.02, breaks), PeriodicTask("b", 0.02, lambda: done.append("b"))])
    thread = threading.Thread(target=schedule.run, args=(stop,))
    thread.start()
    until(lambda: done.count("b") > 3, 5, "the other is done again and again")
    fails[0] = False
    until(lambda: "mended" in done, 5, "it is tried again")
    stop.set()
    thread.join(5)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "the disk is away" in message
