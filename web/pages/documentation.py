"""The pages of docs/ as pages of the panel, which need no network: `/docs/troubleshoot.md`."""

import re
from functools import lru_cache
from pathlib import Path

from flask import Blueprint, Response, render_template, send_file
from markdown_it import MarkdownIt
from markupsafe import Markup

from web.http.errors import RequestError

documentation = Blueprint("documentation", __name__, url_prefix="/docs")
DIRECTORY = Path(__file__).parents[1] / "docs"
_TABLE = '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>'
_PLAIN_HEADING = re.compile(r"[^\w -]")


@documentation.get("")
def index() -> str:
    """List the pages with their titles."""
    pages = [(path.stem, _title(path)) for path in sorted(DIRECTORY.glob("*.md"))]
    return render_template("documentation/index.html", pages=pages)


@documentation.get("/<name>.md")
def show(name: str) -> str:
    """Show a page."""
    path = _find_file(f"{name}.md")
    return render_template("documentation/page.html", page_name=_title(path), text=render(path))


@documentation.get("/<name>.png")
def send_picture(name: str) -> Response:
    """Send a picture of a page."""
    return send_file(_find_file(f"{name}.png"), mimetype="image/png")


@lru_cache(maxsize=32)
def render(path: Path) -> Markup:
    """Render a Markdown file: headings get the anchors that GitHub gives them; HTML in the file is shown as text.

    Parameters
    ----------
    path : the file; it is read once.
    """
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(path.read_text(encoding="utf-8"))
    for token, content in zip(tokens, [*tokens[1:], None], strict=True):
        token.attrs.pop("style", None)  # the alignment of a column, which the page's policy forbids
        if token.type == "heading_open" and content is not None:
            token.attrSet("id", _PLAIN_HEADING.sub("", content.content).lower().replace(" ", "-"))
    html = markdown.renderer.render(tokens, markdown.options, {})
    html = html.replace("<table>", _TABLE).replace("</table>", "</table></div>")
    return Markup(html)  # noqa: S704 (of a file of this program, and escaped by the renderer)


def _find_file(name: str) -> Path:
    path = next((path for path in DIRECTORY.iterdir() if path.name == name), None)
    if path is None:
        raise RequestError(404, f"{name[:40]}: no such page of the documentation", "/docs lists the pages")
    return path


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ")
