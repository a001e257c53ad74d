"""The files of a night's report, kept with the products: `<output directory>/nights/<day>/`."""

from pathlib import Path

from contimg.common.files.writing import atomic_file
from contimg.formats.records import to_json
from contimg.store.survey.nights.records import Night
from contimg.survey.nights.page import render_page
from contimg.survey.nights.text import render_markdown

DIRECTORY = "nights"  # below the output directory
PAGE = "night.html"


def write_report(night: Night, output_dir: Path) -> Path:
    """Write the report as a page, as JSON and as Markdown; files that exist are replaced, each whole.

    Parameters
    ----------
    night : from the store.
    output_dir : directory of the products.

    Returns
    -------
    path of the page, which is written last.

    Raises
    ------
    OSError : the files cannot be written.
    """
    directory = output_dir / DIRECTORY / night.day
    directory.mkdir(parents=True, exist_ok=True)
    texts = {"night.json": to_json(night) + "\n", "night.md": render_markdown(night), PAGE: render_page(night)}
    for name, text in texts.items():
        with atomic_file(directory / name, mode=0o644, durable=True) as file:
            file.write(text.encode())
    return directory / PAGE
