"""The sections of a night's report: facts, tables and charts, written once for every form of the report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from contimg.common.units import format_duration, format_utc
from contimg.store.survey.nights.records import Night, NightImage, NightSummary, Spread
from contimg.survey.nights.charts import Axis, Point, axis_of, draw_points, draw_steps

_LISTED_CHANNELS = 10


@dataclass(frozen=True)
class Cell:
    """A cell of a table, and what it names: a kind of record and its key; empty for nothing."""

    text: str
    kind: str = ""
    key: str = ""


@dataclass(frozen=True)
class Table:
    """A table: title, headings, rows of texts or cells, and the first column of numbers (None: no column is)."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    numbers_from: int | None = None


@dataclass(frozen=True)
class Chart:
    """A chart: its title, and the SVG element."""

    title: str
    svg: str


@dataclass(frozen=True)
class Section:
    """A part of the report: facts by name, tables and charts; `empty` stands for a section without any."""

    key: str
    title: str
    facts: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    empty: str = ""


def list_sections(night: Night) -> tuple[Section, ...]:
    """Return the sections of the report of a night.

    Parameters
    ----------
    night : from the store.
    """
    return (
        _tiles(night), _calibration(night), _images(night), _quality(night), _epochs(night), _antennas(night),
        _interference(night), _latency(night), _alerts(night), _actions(night), _notes(night),
    )  # fmt: skip


def _tiles(night: Night) -> Section:
    facts = (
        ("expected", str(night.expected_tiles)), ("arrived", str(night.arrived_tiles)),
        ("complete", str(night.complete_tiles)), ("partial", str(night.partial_tiles)),
        ("incomplete", str(night.incomplete_tiles)), ("failed", str(night.failed_tiles)),
        ("in work", str(night.waiting_tiles)),
        ("with a quarantined file", str(night.quarantined_tiles)),
        ("quarantined files", str(night.quarantined_files)),
    )  # fmt: skip
    lacking = tuple((str(row.subband), str(row.missing_tiles)) for row in night.missing_by_subband)
    gaps = tuple(
        (_moment(gap.began_at, night), _moment(gap.ended_at, night), str(gap.missing_tiles), gap.maintenance or "–")
        for gap in night.gaps
    )
    files = tuple((row.name, Cell(row.group or "–", "group", row.group or ""), row.reason or "–")
                  for row in night.quarantined)  # fmt: skip
    tables = (
        Table("Missing subbands", ("Subband", "Tiles without it"), lacking, 1),
        Table("Times without tiles", ("From", "To", "Missing tiles", "Maintenance"), gaps),
        Table("Quarantined files", ("File", "Group", "Reason"), files),
    )
    return Section("tiles", "Tiles", facts, _with_rows(tables))


def _calibration(night: Night) -> Section:
    uses = tuple(
        (Cell(use.calibration_set or "uncalibrated", "set", use.calibration_set or ""), use.calibration_class or "–",
         use.grade or "–", str(use.tiles))
        for use in night.calibrated_by
    )  # fmt: skip
    solved = tuple((Cell(row.name, "set", row.name), row.calibrator, row.grade) for row in night.solved_sets)
    tables = (
        Table("Calibrated by", ("Caltable set", "Gains", "Grade", "Images"), uses, 3),
        Table("Solved in this night", ("Caltable set", "Calibrator", "Grade"), solved),
    )
    return Section("calibration", "Calibration", (), _with_rows(tables), empty="No image.")


def _images(night: Night) -> Section:
    names = {"good": "good", "suspect": "suspect", "bad": "bad", "ungraded": "not graded"}
    counts = tuple((names[grade], str(number)) for grade, number in night.grades.items() if number or grade == "good")
    charts = [
        _chart_of_tiles("Noise over thermal noise", night, lambda image: image.noise_ratio, 1.0, floor=0.0),
        _chart_of_tiles("Measured over catalogued flux", night, lambda image: image.flux_ratio, 1.0),
        _chart_of_tiles("Offset from the catalogue, arcsec", night, lambda image: image.offset_arcsec, floor=0.0),
    ]
    facts = (("images", str(night.imaged_tiles)), *counts)
    return Section("images", "Images", facts, (), tuple(chart for chart in charts if chart), "No image.")


def _quality(night: Night) -> Section:
    """Numbers of the images beside those of the nights before."""
    before = night.nights_before
    offsets = [summary.offset_arcsec for summary in before]
    rows = (
        _spread("noise, mJy/beam", night.rms_jy, [], factor=1e3),
        _spread("noise over thermal noise", night.noise_ratios, [summary.noise_ratio for summary in before]),
        _spread("noise over the last good images", night.history_ratios, []),
        _spread("measured over catalogued flux", night.flux_ratios, [summary.flux_ratio for summary in before]),
        _spread("offset, arcsec", Spread.of([image.offset_arcsec for image in night.images]), offsets),
        _spread("offset to the east, arcsec", night.offsets_east_arcsec, []),
        _spread("offset to the north, arcsec", night.offsets_north_arcsec, []),
    )
    headings = ("Number", "Tiles", "Median", "10 %", "90 %", "30 nights before")
    table = Table("Over the tiles of the night", headings, tuple(row for row in rows if row), 1)
    charts = [
        _chart_of_nights("Noise over thermal noise by night", night, lambda row: row.noise_ratio, 1.0, floor=0.0),
        _chart_of_nights("Measured over catalogued flux by night", night, lambda row: row.flux_ratio, 1.0),
        _chart_of_nights("Offset by night, arcsec", night, lambda row: row.offset_arcsec, floor=0.0),
    ]
    tables = _with_rows((table,))
    shown = tuple(chart for chart in charts if chart)
    return Section("quality", "Noise, flux and position", (), tables, shown, "No image.")


def _epochs(night: Night) -> Section:
    facts = (("epochs", str(len(night.epochs))), ("mosaics", str(night.mosaics)), ("good", str(night.good_mosaics)))
    rows = tuple(
        (Cell(epoch.id, "epoch", epoch.id), epoch.state.replace("_", " "), epoch.grade or "–", str(epoch.tiles))
        for epoch in night.epochs
    )
    tables = _with_rows((Table("Epochs", ("Epoch", "State", "Grade", "Tiles"), rows, 3),))
    return Section("epochs", "Epochs", facts, tables)


def _antennas(night: Night) -> Section:
    rows = tuple(
        (Cell(row.antenna, "antenna", row.antenna), row.state, _moment(row.began_at, night),
         "lasts" if row.ended_at is None else _moment(row.ended_at, night), format_duration(row.down_s), row.reason)
        for row in night.outages
    )  # fmt: skip
    headings = ("Antenna", "State", "From", "To", "Down in the day", "Reason")
    tables = _with_rows((Table("Outages", headings, rows),))
    return Section("antennas", "Antennas", (("antennas down", str(night.antennas_down)),), tables)


def _interference(night: Night) -> Section:
    mean = night.interference
    if mean is None:
        return Section("interference", "Interference", empty="No calibrated tile.")
    width_mhz, first_mhz = mean.channel_width_hz / 1e6, mean.first_freq_hz / 1e6
    last_mhz = first_mhz + (len(mean.fractions) - 1) * width_mhz
    edges = sorted((first_mhz, last_mhz))
    frequencies = axis_of(edges)
    x = Axis(edges[0], edges[1], [tick for tick in frequencies.ticks if edges[0] <= tick[0] <= edges[1]])
    known = [fraction for fraction in mean.fractions if fraction is not None]
    svg = draw_steps("Interference by channel, fraction of the samples, against MHz", mean.fractions, x,
                     axis_of([*known, 0.01], floor=0.0), first_mhz, width_mhz)  # fmt: skip
    subbands = tuple(
        (str(row.subband), f"{row.mean_fraction:.2%}", f"{row.max_fraction:.1%}", f"{row.max_freq_hz / 1e6:.2f}")
        for row in mean.subbands
    )
    channels = sorted(
        ((fraction, first_mhz + index * width_mhz) for index, fraction in enumerate(mean.fractions) if fraction),
        reverse=True,
    )[:_LISTED_CHANNELS]
    worst = tuple((f"{freq_mhz:.2f}", f"{fraction:.1%}") for fraction, freq_mhz in channels)
    headings = ("Subband", "Mean", "Highest channel", "MHz")
    tables = (Table("By subband", headings, subbands, 1), Table("Worst channels", ("MHz", "Flagged"), worst, 1))
    facts = (("samples flagged as interference", f"{mean.mean_fraction:.2%}"), ("tiles", str(mean.tiles)))
    return Section(
        "interference", "Interference", facts, _with_rows(tables), (Chart("By channel, fraction against MHz", svg),)
    )


def _latency(night: Night) -> Section:
    latency = night.latency
    if latency is None:
        return Section("latency", "Latency", empty="No tile was processed in one run.")
    numbers = {"median": latency.median_s, "90 %": latency.p90_s, "95 %": latency.p95_s, "99 %": latency.p99_s,
               "longest": latency.longest_s}  # fmt: skip
    facts = (("tiles", str(latency.tiles)), *((name, f"{value:.0f} s") for name, value in numbers.items()))
    return Section("latency", "Latency, last file to image", facts)


def _alerts(night: Night) -> Section:
    rows = tuple(
        (row.rule, row.level, _moment(row.began_at, night),
         "lasts" if row.ended_at is None else _moment(row.ended_at, night), row.text)
        for row in night.alert_list
    )  # fmt: skip
    tables = _with_rows((Table("Alerts", ("Rule", "Level", "From", "To", "Text"), rows),))
    return Section("alerts", "Alerts", (), tables, empty="No alert.")


def _actions(night: Night) -> Section:
    rows = tuple((_moment(row.at, night), row.author, row.group or "–", row.text) for row in night.actions)
    tables = _with_rows((Table("Actions", ("Time", "Name", "Group", "Action"), rows),))
    return Section("actions", "Who did what", (), tables, empty="Nobody changed anything.")


def _notes(night: Night) -> Section:
    rows = tuple((format_utc(row.at, "%Y-%m-%d %H:%M"), row.name, row.text) for row in night.notes)
    return Section(
        "notes", "Notes", (), _with_rows((Table("Notes", ("Time", "Name", "Note"), rows),)), empty="No note."
    )


def _with_rows(tables: Sequence[Table]) -> tuple[Table, ...]:
    return tuple(table for table in tables if table.rows)


def _moment(time_s: float, night: Night) -> str:
    """A time of the day as 04:05, another one with its date; the end of the day as 24:00."""
    if time_s == night.ended_at:
        return "24:00"
    return format_utc(time_s, "%H:%M" if night.began_at <= time_s < night.ended_at else "%Y-%m-%d %H:%M")


def _spread(
    name: str, spread: Spread | None, before: Sequence[float | None], factor: float = 1.0
) -> tuple[str, ...] | None:
    if spread is None:
        return None
    known = [value for value in before if value is not None]
    numbers = (f"{factor * value:.3g}" for value in (spread.median, spread.low, spread.high))
    return (name, str(spread.tiles), *numbers, f"{median(known):.3g}" if known else "–")


def _chart_of_tiles(
    title: str, night: Night, value: Callable[[NightImage], float | None], reference: float | None = None,
    floor: float | None = None,
) -> Chart | None:  # fmt: skip
    points = [
        Point(
            (image.observed_at - night.began_at) / 3600, number, image.grade or "ungraded",
            f"{image.group}: {number:.3g}, {image.grade or 'not graded'}",
        )
        for image in night.images
        if (number := value(image)) is not None
    ]  # fmt: skip
    hours = Axis(0.0, 24.0, [(float(hour), f"{hour:02d}:00") for hour in range(0, 25, 4)])
    return _draw(title, "by time of observation", points, hours, reference, floor)


def _chart_of_nights(
    title: str, night: Night, value: Callable[[NightSummary], float | None], reference: float | None = None,
    floor: float | None = None,
) -> Chart | None:  # fmt: skip
    nights: list[NightSummary] = [*night.nights_before, night]
    points = [
        Point(float(index), number, "tonight" if row is night else "before", f"{row.day}: {number:.3g}")
        for index, row in enumerate(nights)
        if (number := value(row)) is not None
    ]
    last = len(nights) - 1
    ticks = [(float(index), nights[index].day[5:]) for index in range(last % 5 or 5, last + 1, 5)]
    return _draw(title, "median of each night", points, Axis(0.0, last + 0.5, ticks), reference, floor)


def _draw(
    title: str, note: str, points: Sequence[Point], x: Axis, reference: float | None, floor: float | None
) -> Chart | None:
    if not points:
        return None
    y = axis_of([point.y for point in points], reference, floor=floor)
    return Chart(title, draw_points(f"{title}, {note}", points, x, y, reference))
