"""The start page as the server renders it: its sections, its markup, and the headers of every response."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from observing_night import Night
from running_service import RunningService

from contimg.store import Store
from web.pages.filters import ago, count, flux, megabytes
from web.streaming.pages import place_segments


class Page(HTMLParser):
    """Text by the nearest id, tags, and ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.html = html

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if attributes.get("id"):
            self.ids.append(str(attributes["id"]))

    def section(self, name: str) -> str:
        """The words of one section or list item."""
        match = re.search(rf'<(section|li)[^>]*id="{re.escape(name)}".*?</\1>', self.html, re.DOTALL)
        assert match, name
        return " ".join(re.sub(r"<[^>]+>", " ", match[0]).split())


def page(client: FlaskClient, path: str = "/") -> Page:
    answer = client.get(path)
    assert answer.status_code == 200
    return Page(answer.text)


def test_start_page_shows_night(client: FlaskClient, full_night: Night, store: Store) -> None:
    shown = page(client, "/streaming")
    assert 'class="condition running"' in shown.html
    assert "61 %" in shown.section("condition")
    assert "2.2 GB" in shown.section("condition")
    for state, number in (("collecting", 1), ("pending", 1), ("in-progress", 2), ("completed", 12), ("failed", 1)):
        assert shown.section(f"queue-{state}").startswith(f"{number} ")
    assert "6.6 ×" in shown.section("rates")
    assert "convert 6.4 s" in shown.section("rates")
    newest = store.products.images(1)[0]
    caption = shown.section(f"image-{newest.id}-{int(newest.created_at)}")
    assert re.search(rf"{re.escape(flux(newest.peak_jy))}.*3\.20 mJy.*\bgood\b.*\bcalibrated\b", caption)
    assert newest.group[11:16] in caption
    assert "truncated: 81 920 of 144 973 824 bytes" in shown.section("attention")
    assert "declination differs between subbands" in shown.section("attention")
    assert re.search(r"\bcollecting\b.*\b11\b.*\b16\b", shown.section("progress"))
    assert "lwacalim08:871" in shown.section("progress")


def test_uncalibrated_badge_gives_reason(client: FlaskClient, night: Night) -> None:
    night.tile()
    html = client.get("/").text
    assert re.search(r'class="badge uncalibrated" title="no set is valid at this time">uncalibrated<', html)


def test_sections_of_empty_store(client: FlaskClient) -> None:
    shown = page(client)
    assert "deployment/incoming" in shown.section("images")
    assert not [tag for tag, _ in shown.tags if tag == "img"]
    rows = [str(attributes.get("id", "")) for tag, attributes in shown.tags if tag == "li"]
    assert not [row for row in rows if row.startswith(("progress-", "alert-", "failed-", "aside-", "image-"))]
    assert [row for row in rows if row.startswith("event-")] == ["event-none"]
    for section in ("progress", "attention"):
        assert re.search(rf'id="{section}".*?<p class="nothing[^>]*>\w', shown.html, re.DOTALL)


@pytest.mark.usefixtures("full_night")
def test_condition_follows_service_and_pause(client: FlaskClient, store: Store, service: RunningService) -> None:
    store.jobs.pause("a test")
    assert 'class="condition paused"' in page(client).html
    service.running = False
    assert 'class="condition stopped"' in page(client).html


def test_text_is_escaped(client: FlaskClient, night: Night) -> None:
    night.store.events.add("<script>alert(1)</script>", level="error")
    night.store.files.quarantine(night.incoming / "<img src=x>.hdf5", '"><b>', size=1, mtime=1.0)
    html = client.get("/").text
    assert "<script>alert" not in html
    assert "<img src=x>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


@pytest.mark.usefixtures("full_night")
def test_markup_follows_content_security_policy(client: FlaskClient) -> None:
    """Nothing inline, nothing from elsewhere, no id twice, every picture described, every link with words."""
    shown = page(client)
    assert len(shown.ids) == len(set(shown.ids))
    for tag, attributes in shown.tags:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "action"):
            assert not str(attributes.get(name) or "/").startswith(("http", "//", "javascript:", "data:"))
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert tag != "img" or attributes.get("alt")
    headings = [int(tag[1]) for tag, _ in shown.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))


def test_security_headers(client: FlaskClient) -> None:
    for path in ("/", "/api/status", "/static/panel.css", "/nothing", "/api/nothing", "/metrics"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "Set-Cookie" not in headers
    assert client.get("/").headers["Cache-Control"] == "no-store"


def test_error_page_has_hint(client: FlaskClient) -> None:
    answer = client.get("/<b>nothing</b>")
    assert answer.status_code == 404
    assert re.search(r'<main.*<a href="/">', answer.text, re.DOTALL)
    assert "<b>nothing" not in answer.text


@pytest.mark.parametrize(
    ("jansky", "words"),
    [(16.372, "16.4 Jy"), (1.0, "1.00 Jy"), (0.9994, "999 mJy"), (0.0872, "87.2 mJy"), (0.0032, "3.20 mJy"),
     (0.00042, "420 μJy"), (-0.05, "-50.0 mJy"), (0.0, "0.00 μJy"), (120.4, "120 Jy")],
)  # fmt: skip
def test_flux_formats(jansky: float, words: str) -> None:
    assert flux(jansky) == words


def test_other_formats() -> None:
    assert ago(0.4) == "just now"
    assert ago(3.2) == "3 s ago"
    assert ago(600) == "10 min ago"
    assert count(1_234_567) == "1\u202f234\u202f567"
    assert (megabytes(None), megabytes(512), megabytes(3000)) == ("–", "512 MB", "2.9 GB")


@given(st.lists(st.floats(0, 1e4), max_size=6), st.floats(1, 1e4))
def test_segments_fill_bar(values: list[float], total: float) -> None:
    segments = place_segments([(str(n), value) for n, value in enumerate(values)], total)
    ends = [0.0, *(segment.start + segment.width for segment in segments)]
    assert [segment.start for segment in segments] == pytest.approx(ends[:-1])
    assert ends[-1] <= 100.000001
    assert ends[-1] == pytest.approx(100 * min(1.0, sum(values) / total))
