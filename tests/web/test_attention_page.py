"""What needs attention on the start page: cards by reason, their commands with a name, and what to do."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from observing_night import Night
from running_service import TOKEN
from test_browser import chromium, pytestmark

from contimg.store import AttentionItem, DiskPause, Stage, State, Store

__all__ = ["chromium", "pytestmark"]


@pytest.fixture
def failures(full_night: Night) -> Night:
    """Two more groups that failed like the one of the night, and one with 5 of 16 subbands."""
    for tile in (20, 21):
        lease = full_night.claim(full_night.files(at=full_night.at - 309 * tile), Stage.CONVERT)
        error = f"declination differs between subbands: {tile}.16° and 16.27°"
        full_night.store.leases.fail(lease, error, permanent=True, error_class="BadInput")
    full_night.files(range(5), at=full_night.at - 309 * 30)
    now, full_night.at = full_night.at, full_night.at + 5 * 3600
    full_night.store.files.check_timeouts()
    full_night.at = now
    full_night.store.alerts.update("failures", "failures: 3 groups in succession have failed", level="error")
    return full_night


@pytest.fixture
def page(chromium: Any, url: str, failures: Night) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1024, "height": 900})
    page = context.new_page()
    page.goto(f"{url}/sign-in")
    page.fill("#name", "Vera")
    page.fill("#token", TOKEN)
    page.click("button.main")
    page.wait_for_selector("#attention")
    yield page
    context.close()


def item_of(store: Store, pattern: str) -> AttentionItem:
    return next(item for item in store.attention.items() if re.search(pattern, item.reason))


def test_cards_are_acted_on(page: Any, store: Store, failures: Night, url: str) -> None:
    declination, incomplete = item_of(store, "declination"), item_of(store, "incomplete")
    card = page.locator(f"#reason-{declination.key}")
    assert declination.count == 3
    assert page.locator("#attention .cards > li.failed:not(.alert)").count() == 2
    for section in ("#images", ".narrow"):  # at this width what needs attention stands above the pictures
        assert page.locator("#attention").bounding_box()["y"] < page.locator(section).bounding_box()["y"]
    card.locator("summary").press("Enter")
    members = [link.inner_text() for link in card.locator(".members a").all()]
    assert members == list(declination.members)
    failures.store.events.add("a storm")
    page.wait_for_selector("#event-list >> text=a storm", timeout=60_000)
    assert card.locator(".members").is_visible(), "an update leaves the card open"

    card.get_by_role("button", name="Acknowledge").click()
    page.wait_for_selector(f"#reason-{declination.key}.quiet")
    assert "acknowledged by Vera" in card.inner_text()

    page.locator(f"#reason-{incomplete.key}").get_by_role("button", name="Retry").click()
    assert re.search(r"\b1[0-6]\b.*subbands", page.inner_text("#ask-question"))
    page.click("#ask button[value=no]")
    assert store.jobs.job(incomplete.members[0]).state == State.FAILED  # type: ignore[union-attr]
    page.locator(f"#reason-{incomplete.key}").get_by_role("button", name="Retry").click()
    page.click("#ask-yes")
    page.wait_for_selector(f"#reason-{incomplete.key}", state="detached")
    assert store.jobs.job(incomplete.members[0]).state == State.PENDING  # type: ignore[union-attr]

    card.get_by_role("button", name="Discard").click()
    page.click("#ask-yes")
    page.wait_for_selector(f"#reason-{declination.key}", state="detached")
    for group in declination.members:
        (event, *_) = store.events.last(1, group=group)
        assert re.search(r"discarded by Vera at ", event.text)

    alert = store.alerts.active()[0]
    page.locator(f"#alert-{alert.id}").get_by_role("button", name="Acknowledge").click()
    page.wait_for_selector(f"#alert-{alert.id}.quiet")
    page.wait_for_selector("#headline[data-level=acknowledged]")  # both follow, not in one drawing
    assert "acknowledged by Vera" in page.inner_text("#headline")
    assert page.title().startswith("acknowledged: failures")


def test_what_to_do_leads_to_section(page: Any, url: str) -> None:
    links = {link.get_attribute("href") for link in page.locator("#attention .advice a").all()}
    assert len(links) >= 4
    page.goto(f"{url}/docs/troubleshoot.md")
    anchors = set(page.evaluate("[...document.querySelectorAll('main [id]')].map((heading) => heading.id)"))
    assert {link.split("#")[1] for link in links} <= anchors
    page.click("main a[href='operate.md']")
    assert page.url == f"{url}/docs/operate.md"


def test_api_and_form_refuse_too_few_subbands(client: FlaskClient, failures: Night, operator: dict[str, str]) -> None:
    store = failures.store
    item = item_of(store, "incomplete")
    group = item.members[0]
    for address in (f"/api/groups/{group}/retry", f"/api/attention/{item.key}/retry"):
        refused = client.post(address, json={}, headers=operator)
        assert refused.status_code == 409
        assert "5 subbands" in refused.get_json()["error"]
    assert client.post("/api/attention/nothing/retry", json={}, headers=operator).status_code == 404
    assert client.post("/attention/nothing/retry", headers=operator).status_code == 404
    listed = client.get("/api/attention").get_json()["items"]
    assert {"key", "reason", "what_to_do", "section", "count", "members"} <= set(listed[0])
    confirmation = client.post(f"/groups/{group}/retry", headers=operator)
    assert confirmation.status_code == 200
    assert 'name="force"' in confirmation.text
    assert client.post(f"/api/groups/{group}/retry", json={"force": True}, headers=operator).status_code == 200
    assert "missing subbands 5, 6, 7" in " ".join(client.get(f"/groups/{group}").text.split())


def test_documentation_needs_no_network(client: FlaskClient) -> None:
    html = client.get("/docs/troubleshoot.md").text
    assert 'id="reason-incomplete"' in html
    assert "style=" not in html
    assert client.get("/docs/../pyproject.md").status_code == 404
    assert client.get("/docs/nothing.md").status_code == 404
    pages = re.findall(r'href="(/docs/[^"]+)"', client.get("/docs").text)
    texts = [client.get(address).text for address in pages]
    linked = {name for text in texts for name in re.findall(r'(?:src|href)="([a-z-]+\.(?:md|png))', text)}
    assert {"growth.png", "panel.md"} <= linked
    for address in {*pages, *(f"/docs/{name}" for name in linked)}:
        assert client.get(address).status_code == 200


def test_full_disk_is_named_and_resume_is_disabled(client: FlaskClient, night: Night) -> None:
    store = night.store
    store.activity.record_full_disk(
        DiskPause("/no/products", 96.5, 95.0, 90.0, 4 * 10**9, 10**9, store.database.clock())
    )
    store.jobs.pause("the disk watch")
    html = client.get("/").text
    headline = html.split('id="headline"')[1].split("</div>")[0]
    for part in ("/no/products", "96.5 %", "95 %", "4.0 GB", "retention", "1.0 GB"):
        assert part in headline
    button = re.search(r'id="command-resume".*?(<button[^>]*>)', html, re.DOTALL)
    assert button
    assert " disabled " in button[1]
    assert "/no/products" in button[1]
