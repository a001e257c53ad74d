"""Every page in light and dark: axe-core, units, ticks, and tables and elements that fit the screen."""

import importlib
from typing import Any

import pytest
from judges import require
from observing_night import Night, samples
from page_scans import scan_columns, scan_page
from running_service import TOKEN
from test_browser import DESK, PHONE, Visit, assert_nothing_sticks_out, chromium, on, pytestmark, visit

require("axe", allow_module_level=True)
axe_playwright = importlib.import_module("axe_playwright_python.sync_playwright")

__all__ = ["chromium", "pytestmark", "visit"]
PAGES = ("/", "/groups", "/groups?state=failed", "/images", "/sky", "/calibration", "/history", "/alerts", "/logs",
         "/events", "/configuration", "/api/docs", "/sign-in", "/nothing")  # fmt: skip


# Log lines, and examples of the API, are text of programs.
WITHOUT_UNITS = ("/logs", "/api/docs")


def axe_violations(page: Any, label: str, options: dict[str, Any]) -> dict[str, str]:
    """Help of each violation by page, rule and element."""
    results = axe_playwright.Axe().run(page, options=options)
    return {f"{label} {violation['id']} {node['target']}": violation["help"]
            for violation in results.response["violations"] for node in violation["nodes"]}  # fmt: skip


@on(DESK, PHONE)
@pytest.mark.long
def test_pages_are_accessible_and_have_units(visit: Visit, full_night: Night) -> None:
    samples(full_night, hours=3)
    page, violations = visit.page, {}
    base, is_phone = page.url.rstrip("/"), page.viewport_size["width"] < DESK["viewport"]["width"]
    page.goto(f"{base}/sign-in")
    page.fill("#name", "Vera")
    page.fill("#token", TOKEN)
    page.click("button.main")
    group = full_night.store.files.groups(limit=500)[-1].id
    image = full_night.store.products.images(1)[0].id
    for path in (*PAGES, f"/groups/{group}", f"/images/{image}"):
        page.goto(base + path)
        page.wait_for_timeout(150)
        assert_nothing_sticks_out(page)
        violations |= axe_violations(page, path, {})
        violations |= dict.fromkeys((f"{path} {fault}" for fault in scan_columns(page)), "columns")
        if not is_phone:
            page.emulate_media(color_scheme="dark")
            violations |= axe_violations(page, f"{path} dark", {"runOnly": ["color-contrast"]})
            page.emulate_media(color_scheme="light")
            faults = [] if path in WITHOUT_UNITS else scan_page(page)
            violations |= dict.fromkeys((f"{path} {fault}" for fault in faults), "units")
    # Not counted: the page that does not exist, and axe's own copies of style elements, which have no address.
    visit.complaints[:] = [text for text in visit.complaints if "404" not in text and not text.endswith(" at ")]
    assert violations == {}
