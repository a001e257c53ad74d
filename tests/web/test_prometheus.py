"""What Prometheus reads: true counts, kept up to date, and a Grafana dashboard that asks for what there is."""

import json
import re
import time
from pathlib import Path
from statistics import median

import pytest
from flask.testing import FlaskClient
from observing_night import SECONDS, Night
from prometheus_client.parser import text_string_to_metric_families
from survey import Survey

from contimg.store import TILE, ImageFilter, Stage
from contimg.store.products.series import VALUES
from web.activity.history import CHARTS

DASHBOARD = Path(__file__).parents[2] / "ops" / "grafana" / "contimg.json"


def samples_of(client: FlaskClient) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name, *(sample.labels[key] for key in sorted(sample.labels, reverse=True))): sample.value
        for family in families
        for sample in family.samples
    }


def test_ended_stages_are_counted_once(client: FlaskClient, night: Night) -> None:
    before = samples_of(client)
    assert before["contimg_stage_seconds_count", "convert"] == 0
    for _ in range(3):
        night.tile()
        night.at += 1
        samples_of(client)
    lease = night.claim(night.files(at=night.at + 309), Stage.CONVERT)
    night.store.leases.fail(lease, "no", permanent=True, error_class="BadInput")
    night.store.alerts.update("stall", "nothing moves")
    after = samples_of(client)
    for stage in TILE.stages:
        assert after["contimg_stage_seconds_count", stage] == 3
        assert after["contimg_stage_seconds_sum", stage] == 3 * SECONDS[stage]
    assert after["contimg_stage_seconds_bucket", "convert", "5.0"] == 0
    assert after["contimg_stage_seconds_bucket", "convert", "10.0"] == 3
    assert after["contimg_stage_seconds_bucket", "calibrate", "60.0"] == 3
    assert after["contimg_stage_runs_total", "convert", "failed"] == 1
    assert after["contimg_failures_total", "convert", "BadInput"] == 1
    assert (after["contimg_alert", "stall"], after["contimg_alert", "disk"]) == (1, 0)
    assert (before["contimg_alert_level",], after["contimg_alert_level",]) == (0, 1)
    assert ("contimg_alert", "declination") not in after
    assert (after["contimg_workers", "image"], after["contimg_queue_messages", "convert"]) == (1, 2)
    assert after["contimg_groups", "completed"] == 3
    assert after["contimg_disk_free_bytes", "output"] > 0


def test_dashboard_queries_exported_metrics(client: FlaskClient, night: Night, survey: Survey) -> None:
    night.at -= 1800
    first, second, *_ = [night.files(at=night.at + 309 * number) for number in range(4)]
    night.at += 1790
    night.finish(first)
    night.store.leases.fail(night.claim(second, Stage.CONVERT), "no", permanent=True, error_class="BadInput")
    night.at = time.time()
    night.store.activity.beat("producer.scan")
    exported = {name for name, *_ in samples_of(client) | samples_of(survey.client)}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    drawn = {
        name for panel in panels for target in panel["targets"] for name in re.findall(r"contimg_\w+", target["expr"])
    }
    assert len(panels) == 29
    assert drawn <= exported
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(places) == len(set(places))


def test_image_numbers_are_those_of_history(survey: Survey) -> None:
    exported = samples_of(survey.client)
    newest = survey.store.products.images(1)[0]
    tiles = survey.store.products.tiles(ImageFilter(since_mjd=newest.mjd - 1 / 24))
    assert exported["contimg_image_rms_jy",] == pytest.approx(median(tile.rms_jy for tile in tiles))
    assert exported["contimg_image_noise_ratio",] == pytest.approx(median(tile.rms_jy for tile in tiles) / 0.0015)
    assert exported["contimg_image_observed_timestamp_seconds",] == pytest.approx(newest.observed_at)
    counts = survey.store.products.count_images(ImageFilter())
    assert {grade: exported["contimg_images", grade] for grade in counts} == counts
    drawn = {line.series for chart in CHARTS if chart.by_observation for line in chart.lines}
    assert {name for name in VALUES if f"contimg_{name.replace('.', '_')}" not in {key[0] for key in exported}} == set()
    assert set(VALUES) | {f"image.{grade}" for grade in counts} == drawn
    panels = DASHBOARD.read_text()
    assert all(f"contimg_{name.replace('.', '_')}" in panels for name in VALUES)
