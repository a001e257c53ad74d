"""axe-core on every page, on a wide light and a narrow dark screen; no element is wider than the screen."""

import importlib

from judges import require
from observing_night import Night, samples
from running_service import TOKEN
from test_browser import DESK, PHONE, Visit, assert_nothing_sticks_out, chromium, on, pytestmark, visit

require("axe", allow_module_level=True)
axe_playwright = importlib.import_module("axe_playwright_python.sync_playwright")

__all__ = ["chromium", "pytestmark", "visit"]
PAGES = ("/", "/groups", "/groups?state=failed", "/images", "/sky", "/calibration", "/history", "/alerts", "/logs",
         "/events", "/configuration", "/api/docs", "/sign-in", "/nothing")  # fmt: skip


@on(DESK, PHONE)
def test_pages_have_no_axe_violations(visit: Visit, full_night: Night) -> None:
    samples(full_night, hours=3)
    page, violations = visit.page, {}
    base = page.url.rstrip("/")
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
        results = axe_playwright.Axe().run(page)
        violations |= {f"{path} {violation['id']} {node['target']}": violation["help"]
                  for violation in results.response["violations"] for node in violation["nodes"]}  # fmt: skip
    # Not counted: the page that does not exist, and axe's own copies of style elements, which have no address.
    visit.complaints[:] = [text for text in visit.complaints if "404" not in text and not text.endswith(" at ")]
    assert violations == {}
