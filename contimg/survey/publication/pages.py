"""The pages of a published survey for readers: `index.html`, which needs nothing else, and `README.txt`."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np

from contimg.common.files.staging import disk_errors
from contimg.common.units import format_utc, number_of
from contimg.formats.source_tables import TableColumn
from contimg.formats.table_streams import Batch, read_parquet
from contimg.instrument.time import mjd_to_unix
from contimg.survey.publication.light_curves import POINT_FIELDS
from contimg.survey.publication.manifest import CHECKSUMS, MANIFEST, Header
from contimg.survey.publication.sky import HIPS, MOC_FITS, MOC_TEXT
from contimg.survey.publication.tables import MOSAICS, SOURCES, parts_of

INDEX, README = "index.html", "README.txt"
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; }
table { border-collapse: collapse; } th, td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; } .scroll { overflow-x: auto; }
th[scope="row"] { overflow-wrap: anywhere; min-width: 7rem; }
.scroll td { white-space: nowrap; } @media print { .scroll { overflow: visible; } }
"""


def _contents(header: Header) -> list[tuple[str, str]]:
    """Each path of the directory, and what is there."""
    sky = [
        (f"{HIPS}/", "the mosaics as a HiPS (IVOA HiPS 1.0): open this directory's address in Aladin"),
        (MOC_FITS, "coverage (MOC), FITS"),
        (MOC_TEXT, "coverage (MOC), text"),
    ]
    return [
        ("mosaics/", "FITS images: NAME.fits flux density in Jy/beam, corrected for the primary beam; NAME.weight.fits "
                     "1/Jy²; NAME.rms.fits noise in Jy/beam"),
        (f"{MOSAICS}.parquet", "table of the mosaics, Parquet"),
        (f"{MOSAICS}.vot", "the same, VOTable"),
        (f"{SOURCES}.parquet", "catalogue: a row for each source with the statistics of its light curve, Parquet"),
        (f"{SOURCES}.vot", "the same, VOTable"),
        ("measurements/parquet/", "every measurement, ordered by source and time, Parquet"),
        ("measurements/votable/", "the same, VOTable"),
        ("light_curves/", "a VOTable time series for each source, in directories by hour of right ascension"),
        *(sky if header.has_hips and header.mosaics else ()),
        (MANIFEST, "the selection; each file with size, SHA-256, media type and what it was made from"),
        (CHECKSUMS, "checksums, which `sha256sum --check SHA256SUMS` reads"),
    ]  # fmt: skip


def describe_selection(header: Header) -> list[tuple[str, str]]:
    """Return the selection of a publication in words.

    Parameters
    ----------
    header : of its manifest.
    """
    chosen = header.selection
    limits = [
        "" if mjd is None else f"{word} {format_utc(mjd_to_unix(mjd))}"
        for word, mjd in (("from", chosen.since_mjd), ("before", chosen.until_mjd))
    ]
    strip = "all" if chosen.declination_deg is None else f"{chosen.declination_deg:+.1f} deg (apparent)"
    return [
        ("recorded", format_utc(header.created_at)), ("processing", chosen.processing),
        ("grades", ", ".join(chosen.grades)), ("windows of epochs", " ".join(filter(None, limits)) or "all"),
        ("declination strip", strip), ("mosaics", f"{header.mosaics}"), ("sources", f"{header.sources}"),
        ("measurements", f"{header.measurements}"), ("light curves", f"{header.light_curves}"),
        ("software", ", ".join(f"{name} {number}" for name, number in header.software.items())),
    ]  # fmt: skip


def write_pages(directory: Path, header: Header) -> None:
    """Write `README.txt` and `index.html`.

    Parameters
    ----------
    directory : of the publication, with its tables.
    header : of its manifest.
    """
    with disk_errors(directory), (directory / README).open("w", encoding="utf-8") as text:
        text.writelines(_readme(directory, header))
    with disk_errors(directory), (directory / INDEX).open("w", encoding="utf-8") as page:
        page.writelines(_page(directory, header))


def _readme(directory: Path, header: Header) -> Iterator[str]:
    yield "DSA-110 continuum survey: mosaics, sources and light curves\n\n"
    yield from (f"{name + ':':<20}{text}\n" for name, text in describe_selection(header))
    yield "\nFiles\n-----\n"
    yield from (f"{name:<28}{text}\n" for name, text in _contents(header))
    yield (
        "\nFluxes of measurements are after the normalisation of their epoch. A source has one counted measurement in\n"
        "a sidereal day, that nearest to the centre of its mosaic; a day whose counted measurement is of a mosaic\n"
        "that is not published has no point. Statistics are of the counted measurements in this directory. Times are\n"
        "MJD, UTC, at the telescope; positions ICRS.\n"
    )
    for title, batch in _tables(directory):
        yield f"\nColumns of {title}\n{'-' * (11 + len(title))}\n"
        for name, column in batch.items():
            unit = f"[{column.unit}] " if column.unit else ""
            yield f"{name:<24}{unit}{column.description}\n"
    yield "\nColumns of light_curves/*/*.vot\n-------------------------------\n"
    for field in POINT_FIELDS:
        yield f"{field.name:<24}{f'[{field.unit}] ' if field.unit else ''}{field.description}\n"


def _tables(directory: Path) -> Iterator[tuple[str, Batch]]:
    paths = [directory / f"{name}.parquet" for name in (MOSAICS, SOURCES)]
    for path in (*paths, *parts_of(directory)[:1]):
        yield str(path.relative_to(directory)), next(read_parquet(path))


def _page(directory: Path, header: Header) -> Iterator[str]:
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<title>DSA-110 continuum survey</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
    counts = (number_of(header.mosaics, "mosaic"), number_of(header.sources, "source"))
    yield f"<h1>DSA-110 continuum survey</h1>\n<p>{counts[0]}, {counts[1]} with their light curves. Columns and units: "
    yield f'<a href="{README}">{README}</a>.</p>\n<h2>Selection</h2>\n<table>\n'
    for name, text in describe_selection(header):
        yield f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>\n'
    yield "</table>\n<h2>Files</h2>\n<table>\n"
    for name, text in _contents(header):
        yield f'<tr><th scope="row"><a href="{escape(name)}">{escape(name)}</a></th><td>{escape(text)}</td></tr>\n'
    yield '</table>\n<h2>Mosaics</h2>\n<div class="scroll" tabindex="0" role="region" aria-label="Table of mosaics">'
    yield '<table>\n<tr><th scope="col">epoch</th><th scope="col" class="number">RA, deg</th>'
    yield '<th scope="col" class="number">Dec, deg</th><th scope="col">begins (UTC)</th>'
    yield '<th scope="col" class="number">noise, mJy/beam</th><th scope="col">grade</th>'
    yield '<th scope="col">maps</th></tr>\n'
    for batch in read_parquet(directory / f"{MOSAICS}.parquet"):
        yield from _mosaic_rows(batch)
    yield "</table></div>\n</main>\n</body>\n</html>\n"


def _mosaic_rows(batch: Batch) -> Iterator[str]:
    names = ("epoch", "file", "ra_deg", "dec_deg", "mjd_start", "rms_jy", "grade")
    columns: list[TableColumn] = [batch[name] for name in names]
    for epoch, file, ra_deg, dec_deg, mjd, rms_jy, grade in zip(
        *(column.values.tolist() for column in columns), strict=True
    ):
        time = format_utc(mjd_to_unix(mjd), "%Y-%m-%d %H:%M") if np.isfinite(mjd) else "unknown"
        stem = escape(file.removesuffix(".fits"))
        yield (
            f'<tr><td><a href="{escape(file)}">{escape(epoch)}</a></td><td class="number">{ra_deg:.4f}</td>'
            f'<td class="number">{dec_deg:+.4f}</td><td>{time}</td><td class="number">{1e3 * rms_jy:.3f}</td>'
            f'<td>{escape(grade)}</td><td><a href="{stem}.weight.fits">weight</a> <a href="{stem}.rms.fits">noise</a>'
            "</td></tr>\n"
        )
