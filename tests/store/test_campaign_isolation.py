"""Every list and number of the stream is the same with a campaign and without, on both databases."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaign_steps import create_campaign, image_campaign, image_tiles
from light_curve_steps import EPOCHS, commit_epoch, statistics_rows
from store_steps import IMAGE, commit, metric_values, solved_set

from contimg.settings import RetentionRules
from contimg.store import GroupFilter, ImageFilter, Stage, Store
from contimg.store.files.detail import read_detail
from contimg.store.products.series import SHARES, VALUES
from contimg.store.products.tile_products import CopiedMS
from contimg.store.sky.export import ExportFilter
from contimg.tile.products import CalibratedMS

EVER_S, EVER_MJD = (1.7e9, 1.8e9), (60000.0, 62000.0)
RULES = RetentionRules(keep_ms_days=0.001, keep_images_days=0.001, keep_mosaics_days=0.001, keep_last=1)


def read_stream(store: Store, directory: Path) -> dict[str, Any]:
    """What pages, commands and alerts show of the stream, without the event log."""
    products, epochs, sky, images = store.products, store.epochs, store.sky, store.products.images(100)
    groups = store.files.find_groups(GroupFilter(), 100)
    newest = store.science.newest_images(10)
    reads: dict[str, Callable[[], Any]] = {
        "images": lambda: images,
        "image list": lambda: products.list_images(ImageFilter(), 100),
        "image counts": lambda: products.count_images(ImageFilter()),
        "nights": lambda: products.count_nights(ImageFilter()),
        "marks": lambda: products.tiles(ImageFilter()),
        "neighbours": lambda: [products.neighbours(image.id, image.mjd) for image in images],
        "history": lambda: products.history_rms_jy(images[0].dec_deg, images[0].mjd + 1),
        "series": lambda: {name: products.series(name, *EVER_S, 10) for name in (*VALUES, *SHARES)},
        "measurement sets": lambda: products.measurement_sets(100),
        "antennas": lambda: store.antennas.list(*EVER_MJD),
        "antenna times": lambda: store.antennas.tile_times(*EVER_MJD),
        "antenna newest": lambda: store.antennas.newest_mjd(),
        "antenna cells": lambda: store.antennas.cells(*EVER_MJD, 10),
        "caltable sets": lambda: store.registry.list_sets(100),
        "caltables in force": lambda: store.registry.valid_at(images[0].mjd),
        "outdated": lambda: store.registry.outdated(),
        "groups": lambda: groups,
        "group count": lambda: store.files.count_groups(GroupFilter()),
        "group details": lambda: [replace(read_detail(store, group.id), events=()) for group in groups],
        "epochs": lambda: epochs.list_epochs(100),
        "calendar": lambda: store.mosaics.calendar(*EVER_S),
        "mosaics": lambda: store.mosaics.list_mosaics(100),
        "graded mosaics": lambda: store.mosaics.graded(),
        "mosaic change": lambda: store.mosaics.last_change(),
        "status": lambda: replace(store.overview.snapshot(20), warnings=()),
        "warnings": lambda: store.overview.snapshot(20).warnings,
        "activity": lambda: store.activity.read(),
        "attention": lambda: store.attention.items(),
        "newest images": lambda: newest,
        "deviations": lambda: store.science.deviations(newest),
        "pointing": lambda: store.science.pointing(),
        "lacks set": lambda: store.science.lacks_good_set(),
        "missing subbands": lambda: store.science.missing_subbands(2),
        "alerts": lambda: store.alerts.last(),
        "ended runs": lambda: store.jobs.ended_runs(0.0),
        "retention": lambda: store.retention.due(RULES),
        "sources": lambda: sky.sources(100),
        "light curves": lambda: [sky.light_curve(source.id) for source in sky.sources(100).sources],
        "plane": lambda: sky.eta_v().source_id.tolist(),
        "statistics": lambda: statistics_rows(store),
        "candidates": lambda: sky.candidates(),
        "exported": lambda: sky.export(directory / "all.csv", ExportFilter()),
        "metrics": lambda: {
            name: metric_values(store, name) for name in ("image.rms_jy", "stage.image.seconds", "mosaic.rms_jy")
        },
        "files": lambda: [store.files.of_group(group.id) for group in groups],
    }
    return {name: read() for name, read in reads.items()}


@pytest.mark.parametrize("stage", [Stage.IMAGE, Stage.CALIBRATE, Stage.CONVERT])
def test_campaign_changes_nothing_of_the_stream(store, telescope, clock, tmp_path, stage):
    groups = image_tiles(telescope, 3)
    store.registry.register(solved_set(Path(f"/products/calibration/{groups[0]}"), 61093.97), group=groups[0])
    for epoch in EPOCHS[:3]:
        commit_epoch(store, epoch, {"a": (1.0, 0.01), "b": (0.1, 0.01)})
    clock.advance(3000)
    before = read_stream(store, tmp_path)
    create_campaign(store, stage=stage)
    run_stages(store, stage)
    for epoch in EPOCHS[:3]:
        commit_epoch(store, epoch, {"a": (3.0, 0.01), "b": (0.5, 0.01)}, processing="deep")
    assert store.campaigns.campaign("deep").tile_states == {"completed": 2, "failed": 1}
    after = read_stream(store, tmp_path)
    assert {name for name in before if before[name] != after[name]} == set()
    texts = [event.text for event in store.events.last(100) if event.text not in ("", None)]
    assert any(text.startswith("campaign deep: failed in") for text in texts)
    image_campaign(store)


def run_stages(store: Store, stage: Stage) -> None:
    """Run all jobs of the campaign, each after the other; the last one fails."""
    jobs = store.jobs.take_unsent(99, lambda jobs: jobs, max_campaign_jobs=99)
    for job in jobs[:-1]:
        live, path = store.products.image_of(job.key), Path(f"/products/campaigns/deep/{job.key}")
        ms = store.products.measurement_set(job.key)
        if stage is Stage.CONVERT:
            commit(store, job.id, Stage.CONVERT, replace(converted_of(ms), path=path.with_suffix(".ms")))
        copied = [CopiedMS(path.with_suffix(".ms"))] if stage is Stage.CALIBRATE else []
        if stage is not Stage.IMAGE:
            solved = solved_set(Path(f"/products/campaigns/deep/calibration/{job.key}"), ms.mjd_start, grade="suspect")
            commit(store, job.id, Stage.CALIBRATE, *copied, CalibratedMS(job.key, "solved", 0.3, solved))
        image = replace(
            IMAGE, fits_path=path.with_suffix(".fits"), mjd=live.mjd, ra_deg=live.ra_deg, dec_deg=live.dec_deg,
            rms_jy=0.0001, verdict="bad",
        )  # fmt: skip
        commit(store, job.id, Stage.IMAGE, image)
    lease = store.leases.claim(jobs[-1].id, stage, "a")
    store.leases.fail(lease, "no data left", permanent=True)


def converted_of(ms: Any) -> Any:
    """The result of the convert stage with the numbers of a stored Measurement Set."""
    from store_steps import MS

    return replace(MS, **{name: getattr(ms, name) for name in vars(MS)})
