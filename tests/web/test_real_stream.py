"""An operator at a real stream: start, pause, resume, change the configuration, follow a group to its image, stop."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_service import TOKEN
from test_browser import DESK, PHONE, chromium, sync_api

from contimg.settings import Settings, load, save
from contimg.store import State, Store

__all__ = ["chromium"]
DRIFT = Path(__file__).parents[1] / "data" / "drift_sim"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.judge("chromium"),
]
LONG_MS = 60_000


@pytest.fixture
def panel(tmp_path: Path) -> Iterator[tuple[str, Settings]]:
    """A panel with the real service manager; nothing else runs yet."""
    settings = Settings(state_dir=tmp_path / "state", token=TOKEN)
    (tmp_path / "incoming").mkdir()
    save(
        settings,
        {"input_dir": str(tmp_path / "incoming"), "output_dir": str(tmp_path / "products"), "poll_interval": 1},
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONTIMG_")}
    panel_variables = {
        "PIPELINE_STATE_DIR": str(settings.state_dir),
        "CONTIMG_TOKEN": TOKEN,
        "CONTIMG_IMAGE_SIZE": "256",
    }
    environment = {**kept, **panel_variables, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "contimg", "web", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
    assert address
    yield address[0], settings
    from workers.service import StreamingServiceManager

    StreamingServiceManager(settings).execute("stop")
    process.terminate()
    process.wait(20)
    process.stdout.close()


@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["1440", "375"])
@pytest.mark.long
def test_operator_runs_night(
    chromium: "sync_api.Browser", panel: tuple[str, Settings], screen: dict[str, object], tmp_path: Path
) -> None:
    url, settings = panel
    page = chromium.new_context(**screen).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(LONG_MS)
    page.goto(f"{url}/sign-in")
    page.fill("#name", "Vera")
    page.fill("#token", TOKEN)
    page.click("button.main")
    page.wait_for_selector("#condition.stopped")
    page.click("#command-start button")
    page.wait_for_selector("#condition.running")
    page.click("#command-pause button")
    page.click("#ask-yes")
    page.wait_for_selector("#condition.paused")
    page.click("#command-resume button")
    page.wait_for_selector("#condition.running")
    page.evaluate("window.untouched = true")
    files = sorted(DRIFT.rglob("*.hdf5"))
    assert len(files) == 16
    for file in files:
        os.link(file, tmp_path / "incoming" / file.name) if file.stat().st_dev == tmp_path.stat().st_dev else (
            tmp_path / "incoming" / file.name
        ).write_bytes(file.read_bytes())
    page.wait_for_selector("#progress .id")
    group = page.inner_text("#progress .id")
    page.wait_for_selector(".wall img", timeout=2 * LONG_MS)
    assert page.evaluate("window.untouched")
    page.goto(f"{url}/groups/{group}")
    page.wait_for_selector(".pill.completed")
    page.click(".thirds .picture")
    page.wait_for_selector("#viewer")
    page.goto(f"{url}/configuration")
    page.fill("#max_workers", "0")
    sync_api.expect(page.locator("#max_workers-wrong")).to_contain_text("1")
    page.fill("#max_workers", "3")
    sync_api.expect(page.locator("#review")).to_be_enabled()
    page.click("#review")
    page.click("button.main")
    page.wait_for_selector(".note")
    assert load(settings).max_workers == 3
    page.goto(url)
    page.wait_for_selector("#condition.running")
    page.click("#command-stop button")
    page.click("#ask-yes")
    page.wait_for_selector("#condition.stopped")
    store = Store.of(load(settings))
    assert store.files.group(group).state == State.COMPLETED  # type: ignore[union-attr]
    texts = [event.text for event in store.events.last(100) if "Vera" in event.text]
    store.close()
    for word in ("start", "pause", "resume", "max_workers", "stop"):
        assert any(re.search(word, text, re.IGNORECASE) for text in texts), word
