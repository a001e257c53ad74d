"""The report of a night as one line, as text for a terminal, and as Markdown."""

from collections.abc import Iterator, Sequence

from contimg.common.units import number_of
from contimg.store.survey.nights.records import Night, NightSummary
from contimg.survey.nights.sections import Cell, Section, Table, list_sections

_MARKDOWN = str.maketrans({"|": "\\|", "<": "&lt;", ">": "&gt;", "`": "\\`", "*": "\\*", "[": "\\[", "]": "\\]"})


def summarise(night: NightSummary) -> str:
    """Return a night in one line, for notifications and lists.

    Parameters
    ----------
    night : from the store.
    """
    grades = ", ".join(f"{number} {grade}" for grade, number in night.grades.items() if number)
    parts = [
        f"night {night.day}: {night.arrived_tiles} of {night.expected_tiles} tiles",
        f"{number_of(night.imaged_tiles, 'image')}{f' ({grades})' if grades else ''}",
        f"{night.good_mosaics} of {number_of(night.mosaics, 'mosaic')} good",
        "" if night.noise_ratio is None else f"noise {night.noise_ratio:.2f} times thermal",
        "" if night.flux_ratio is None else f"flux ratio {night.flux_ratio:.3f}",
        number_of(night.antennas_down, "antenna") + " down" if night.antennas_down else "",
        number_of(night.alerts, "alert") if night.alerts else "",
    ]
    return ", ".join(filter(None, parts))


def render_text(night: Night) -> str:
    """Return the report as text for a terminal.

    Parameters
    ----------
    night : from the store.
    """
    lines = [summarise(night)]
    for section in list_sections(night):
        lines += ["", section.title.upper()]
        if section.facts:
            lines.append("  " + ", ".join(f"{name} {value}" for name, value in section.facts))
        for table in section.tables:
            lines += _text_lines(table)
        if _is_empty(section):
            lines.append(f"  {section.empty}")
    return "\n".join(lines) + "\n"


def render_markdown(night: Night) -> str:
    """Return the report as Markdown.

    Parameters
    ----------
    night : from the store.
    """
    lines = [f"# Night {night.day}", "", _escape(summarise(night))]
    for section in list_sections(night):
        lines += ["", f"## {section.title}"]
        if section.facts:
            lines += ["", *(f"- {_escape(name)}: {_escape(value)}" for name, value in section.facts)]
        for table in section.tables:
            if len(section.tables) > 1:
                lines += ["", f"### {table.title}"]
            rule = ("---:" if _is_number(table, column) else "---" for column in range(len(table.headings)))
            rows = [tuple(_escape(cell_text(cell)) for cell in row) for row in table.rows]
            lines += ["", *(f"| {' | '.join(row)} |" for row in (table.headings, tuple(rule), *rows))]
        if _is_empty(section):
            lines += ["", section.empty]
    return "\n".join(lines) + "\n"


def cell_text(cell: str | Cell) -> str:
    """Return the text of a cell.

    Parameters
    ----------
    cell : of a table.
    """
    return cell.text if isinstance(cell, Cell) else cell


def _is_empty(section: Section) -> bool:
    return not (section.facts or section.tables or section.charts) and bool(section.empty)


def _is_number(table: Table, column: int) -> bool:
    return table.numbers_from is not None and column >= table.numbers_from


def _text_lines(table: Table) -> Iterator[str]:
    rows = [table.headings, *(tuple(cell_text(cell) for cell in row) for row in table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.headings))]
    yield f"  {table.title}"
    for row in rows:
        yield "    " + _join(row, widths, table).rstrip()


def _join(row: Sequence[str], widths: Sequence[int], table: Table) -> str:
    return "  ".join(
        text.rjust(width) if _is_number(table, column) else text.ljust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    )


def _escape(text: str) -> str:
    return text.translate(_MARKDOWN)
