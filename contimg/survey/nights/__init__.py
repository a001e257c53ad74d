"""The report of a night: its sections, as text, Markdown and a self-contained page, and the files that are kept."""

from contimg.survey.nights.files import DIRECTORY, write_report
from contimg.survey.nights.page import render_page
from contimg.survey.nights.sections import Cell, Section, Table, list_sections
from contimg.survey.nights.text import render_markdown, render_text, summarise

__all__ = [
    "DIRECTORY", "Cell", "Section", "Table", "list_sections", "render_markdown", "render_page", "render_text",
    "summarise", "write_report",
]  # fmt: skip
