"""Many tabs of one browser, which opens at most six connections to a host."""

import importlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from judges import CHROMIUM, require
from panels import TOKEN, panel_process, send

require("playwright", allow_module_level=True)
sync_api = importlib.import_module("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.judge("chromium")]
TABS = 8
ACTIVE = "#link[data-link=on]"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with panel_process(tmp_path_factory.mktemp("panel") / "state") as address:
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def viewers(address: str) -> int:
    lines = send(address, "/metrics").text.splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith("contimg_live_viewers "))


def wait_for_viewers(address: str, number: int) -> None:
    end_s = time.monotonic() + 60
    while (counted := viewers(address)) != number:
        assert time.monotonic() < end_s, f"{counted} connections instead of {number}"
        time.sleep(0.5)


def pause(address: str, command: str) -> None:
    header = {"Authorization": f"Bearer {TOKEN}"}
    assert send(address, f"/api/streaming/{command}", {}, header).status == 200


@pytest.mark.long
def test_tabs_share_one_connection(address: str, chromium: Any) -> None:
    context = chromium.new_context()
    pages = [context.new_page() for _ in range(TABS)]
    for page in pages:
        page.goto(f"http://{address}/", wait_until="domcontentloaded", timeout=60_000)
        page.wait_for_selector(ACTIVE, timeout=60_000)
    assert viewers(address) == 1
    pause(address, "pause")
    for page in pages:  # the event reaches every tab
        page.wait_for_selector("#event-list >> text=paused", timeout=60_000)
    for page in pages[1:]:
        page.close()
    pages[0].goto(f"http://{address}/configuration")  # a page without live updates
    wait_for_viewers(address, 0)
    context.close()


def test_tab_without_shared_workers_connects_while_visible(address: str, chromium: Any) -> None:
    context = chromium.new_context()
    context.add_init_script("delete window.SharedWorker;")
    page = context.new_page()
    page.goto(f"http://{address}/", wait_until="domcontentloaded")
    page.wait_for_selector(ACTIVE, timeout=60_000)
    wait_for_viewers(address, 1)
    for is_hidden, number in (("true", 0), ("false", 1)):
        page.evaluate(
            f"Object.defineProperty(document, 'hidden', {{ get: () => {is_hidden}, configurable: true }});"
            "document.dispatchEvent(new Event('visibilitychange'));"
        )
        wait_for_viewers(address, number)
    pause(address, "resume")
    page.wait_for_selector("#event-list >> text=resumed", timeout=60_000)
    context.close()
