"""The report of a night as one HTML page that needs nothing from outside, to be kept, sent and printed."""

from collections.abc import Iterator
from html import escape

from contimg import __version__
from contimg.common.units import format_utc
from contimg.store.survey.nights.records import Night
from contimg.survey.nights.sections import Section, Table, list_sections
from contimg.survey.nights.text import cell_text, summarise

_STYLE = """
:root { color-scheme: light dark; --text: #1d2430; --soft: #5b6472; --line: #d9d4c8; --good: #11704f; --warn: #8f5a00;
  --bad: #b3261e; --busy: #1c5fa6; --ground: #fffefb; }
@media (prefers-color-scheme: dark) { :root { --text: #dde4ee; --soft: #98a4b6; --line: #2a3546; --good: #4cc894;
  --warn: #e9b44c; --bad: #ff7b72; --busy: #71b3f8; --ground: #11161f; } }
body { margin: 0 auto; padding: 1.5rem; max-width: 62rem; background: var(--ground); color: var(--text);
  font: 15px/1.45 system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 0.2rem; } h2 { margin: 1.6rem 0 0.4rem; border-bottom: 1px solid var(--line); font-size: 1.15rem; }
h3 { margin: 0.9rem 0 0.2rem; font-size: 0.95rem; }
.soft { color: var(--soft); }
dl { display: flex; flex-wrap: wrap; gap: 0.3rem 1.6rem; margin: 0.4rem 0; } dl div { display: flex; gap: 0.4rem; }
dt { color: var(--soft); } dd { margin: 0; font-weight: 600; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.15rem 0.9rem 0.15rem 0; text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 500; } .number { text-align: right; }
figure { margin: 0.5rem 0; } figcaption { color: var(--soft); }
.chart { max-width: 100%; height: auto; } .chart text { fill: var(--soft); }
.chart .grid { stroke: var(--line); } .chart .reference { stroke: var(--soft); stroke-dasharray: 4 4; }
.chart .good { fill: var(--good); } .chart .suspect { fill: var(--warn); } .chart .bad { fill: var(--bad); }
.chart .ungraded, .chart .before { fill: var(--soft); } .chart .tonight, .chart .area { fill: var(--busy); }
@media print { :root { color-scheme: light; --text: #000; --soft: #444; --line: #bbb; --ground: #fff; --good: #11704f;
  --warn: #8f5a00; --bad: #b3261e; --busy: #1c5fa6; } body { padding: 0; max-width: none; font-size: 10pt; }
  section, figure, tr { break-inside: avoid; } section.long { break-inside: auto; } h2, h3 { break-after: avoid; } }
"""
_LONG = 30  # rows of a section that may be split between sheets


def render_page(night: Night) -> str:
    """Return the report as an HTML page.

    Parameters
    ----------
    night : from the store.
    """
    state = "" if night.is_over else " The day is not over."
    body = "".join(_render_section(section) for section in list_sections(night))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Night {escape(night.day)} · contimg</title><style>{_STYLE}</style></head>\n"
        f"<body><main><h1>Night {escape(night.day)}</h1><p>{escape(summarise(night))}</p>\n"
        f'<p class="soft">UTC. Live processing, as stored at {format_utc(night.at)}.{state}</p>\n'
        f'{body}</main><footer class="soft"><p>contimg {escape(__version__)}</p></footer></body></html>\n'
    )


def _render_section(section: Section) -> str:
    parts = []
    if section.facts:
        facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in section.facts)
        parts.append(f"<dl>{facts}</dl>")
    parts += [f"<figure><figcaption>{escape(chart.title)}</figcaption>{chart.svg}</figure>" for chart in section.charts]
    for table in section.tables:
        parts.append(f"<h3>{escape(table.title)}</h3>" if len(section.tables) > 1 else "")
        parts += _render_table(table)
    if not parts:
        parts.append(f'<p class="soft">{escape(section.empty)}</p>')
    is_long = sum(len(table.rows) for table in section.tables) > _LONG or len(section.charts) > 1
    style = ' class="long"' if is_long else ""
    return f'<section id="{section.key}"{style}><h2>{escape(section.title)}</h2>{"".join(parts)}</section>\n'


def _render_table(table: Table) -> Iterator[str]:
    def kind(column: int) -> str:
        return "" if table.numbers_from is None or column < table.numbers_from else ' class="number"'

    label = escape(table.title)
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table><thead><tr>'
    yield "".join(f'<th scope="col"{kind(column)}>{escape(text)}</th>' for column, text in enumerate(table.headings))
    yield "</tr></thead><tbody>"
    for row in table.rows:
        cells = (f"<td{kind(column)}>{escape(cell_text(cell))}</td>" for column, cell in enumerate(row))
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"
