"""One limit for the age of a scan: panel, API, `contimg status`, systemd and containers agree on "stopped"."""

import re
import time
from pathlib import Path

import pytest

from contimg.settings import AlertLimits, DiskLimits, DispatchSettings, Settings, load, save, scan_limit_s
from contimg.settings.alerts import alert_rules
from contimg.store import Store
from web import create_app
from web.streaming.service import ReadOnlyService
from workers.service import StreamingServiceManager
from workers.service.watchdog import ScanWatchdog


def test_the_limit_is_six_intervals_and_at_least_30_s() -> None:
    assert [scan_limit_s(interval) for interval in (1.0, 5.0, 60.0)] == [30.0, 30.0, 360.0]
    (scan, *_) = alert_rules(DispatchSettings(), DiskLimits(), AlertLimits(), 60.0)
    assert "360 s" in scan.about


@pytest.mark.parametrize(("age_s", "scans"), [(59 * 6.0, True), (61 * 6.0, False)])
def test_every_consumer_applies_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age_s: float, scans: bool) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    save(settings, {"poll_interval": 60.0, "input_dir": str(tmp_path)})
    now = time.time()
    writer = Store.open(Path(load(settings).queue_db), clock=lambda: now - age_s)
    writer.activity.beat("producer.scan")
    writer.close()
    store, manager = Store.of(load(settings)), StreamingServiceManager(settings)
    assert manager.status().running is scans
    assert (manager.health().error is None) is scans
    assert ReadOnlyService(settings, store).status().running is scans
    client = create_app(settings, store).test_client()
    assert client.get("/api/streaming/health").get_json()["healthy"] is scans
    store.close()
    manager.close()


def test_no_other_rule_is_written_down() -> None:
    root = Path(__file__).parents[2]
    sources = [path for part in ("contimg", "workers", "web", "ops") for path in (root / part).rglob("*.py")]
    rule = re.compile(r"\d+\s*\*\s*\w*(\.|_)?poll_interval|MISSED_SCANS\s*=")
    assert [path.name for path in sources if rule.search(path.read_text())] == ["alerts.py"]
    assert ScanWatchdog(lambda: None, 60.0, {})._limit_s == scan_limit_s(60.0)
