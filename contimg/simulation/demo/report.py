"""The demo's output: progress, paths of the products, and sources in the images compared with the simulated ones."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from contimg.common.errors import Transient
from contimg.quality.comparison import describe_comparison
from contimg.sky.comparison.result import SkyComparison
from contimg.store import TILE, EventRecord, GroupRecord, Stage, State, Store, StoredImage
from contimg.tile.image.sources.photometry import MeasuredSource, measure_source

ENDED = {State.COMPLETED, State.FAILED, State.DISCARDED}
_REFRESH_S = 0.5
_EVENTS_SHOWN = 6
_STYLES = {State.COMPLETED: "green", State.FAILED: "bold red", State.IN_PROGRESS: "cyan"}
FLUX_TOLERANCE = 0.03
POSITION_TOLERANCE_BEAMS = 0.2
_NOISE_SIGMA = 5.0  # difference allowed for the image's noise
_MIN_SNR = 20.0  # the flux of a fainter source is not known to 3 %


@dataclass(frozen=True)
class CheckedSource:
    """A simulated source and its measurement in an image.

    Attributes
    ----------
    group : of the image.
    name : of the source.
    true_jy : simulated apparent flux, through the primary beam.
    measured : flux and position in the image.
    """

    group: str
    name: str
    true_jy: float
    measured: MeasuredSource

    @property
    def is_within_tolerance(self) -> bool:
        """Whether the flux is within 3 % and five times the noise, and the position within 0.2 beams."""
        allowed = FLUX_TOLERANCE * self.true_jy + _NOISE_SIGMA * self.measured.rms_jy
        flux_agrees = abs(self.measured.apparent_jy - self.true_jy) <= allowed
        return flux_agrees and self.measured.offset_beams <= POSITION_TOLERANCE_BEAMS


def check_image(image: StoredImage, truth: Path) -> list[CheckedSource]:
    """Measure the named sources, not those of the counts, that are in an image and bright enough.

    Parameters
    ----------
    image : its record.
    truth : JSON file of its group, see `contimg.simulation.tile.write_truth`.
    """
    simulated = json.loads(truth.read_text(encoding="utf-8"))
    half_deg = 0.5 * image.pixels * image.cell_arcsec / 3600
    checked = []
    for source in simulated["sources"]:
        north = abs(source["dec_deg"] - image.dec_deg)
        east = abs((source["ra_deg"] - image.ra_deg + 180) % 360 - 180)  # an upper limit of the distance on the sky
        bright = source["apparent_flux_jy"] > _MIN_SNR * image.rms_jy
        if bright and not source["of_counts"] and north < 0.95 * half_deg and east < 0.95 * half_deg:
            measured = measure_source(image.fits_path, source["ra_deg"], source["dec_deg"])
            checked.append(CheckedSource(image.group, source["name"], source["apparent_flux_jy"], measured))
    return checked


def print_products(console: Console, store: Store, groups: Iterable[str]) -> None:
    """Print the paths of the products of groups.

    Parameters
    ----------
    console : to print on.
    store : of the demo's service.
    groups : their ids.
    """
    sets = store.registry.sets()
    for group in groups:
        ms, image = store.products.measurement_set(group), store.products.image_of(group)
        lines: list[tuple[str, object]] = [("measurement set", ms.path)] if ms else []
        lines += [(table.kind, table.path) for record in sets if record.group == group for table in record.tables]
        if image:
            applied = image.calibration_set or f"UNCALIBRATED: {image.calibration_note}"
            lines += [("image", image.fits_path), ("preview", image.png_path), ("calibration", applied)]
            lines += [("rms", f"{image.rms_jy * 1e3:.2f} mJy/beam"), ("compared with", describe_match(image))]
        console.print(f"\n[bold]{group}[/bold]")
        for label, value in lines:
            console.print(f"  {label:15}  {value}", highlight=False, soft_wrap=True)


def describe_match(image: SkyComparison) -> str:
    """Describe the comparison with the reference catalogue: matches, flux ratio, offset, completeness.

    Parameters
    ----------
    image : record of an image or a mosaic.
    """
    text = describe_comparison(image)
    if image.catalogue_flux_ratio is None:
        return text
    text += f": {image.catalogue_matches} sources, flux ratio {image.catalogue_flux_ratio:.3f}"
    if image.catalogue_offset_arcsec is not None:
        text += f", offset {image.catalogue_offset_arcsec:.2f} arcsec"
    if image.catalogue_completeness is not None:
        text += f", {image.catalogue_completeness:.0%} found"
    return text


def print_fluxes(console: Console, checked: Iterable[CheckedSource]) -> None:
    """Print a table of measured and simulated fluxes.

    Parameters
    ----------
    console : to print on.
    checked : the sources, see `check_image`.
    """
    console.print("\nmeasured and simulated sources (apparent flux, through the primary beam)", highlight=False)
    console.print(
        f"{'tile':<8} {'source':<16} {'true Jy':>8} {'image Jy':>8} {'ratio':>6} {'noise':>6} {'beams off':>9}"
    )
    for source in checked:
        measured, result = source.measured, "ok" if source.is_within_tolerance else "off"
        console.print(
            f"{source.group[11:]:<8} {source.name:<16} {source.true_jy:8.4f} {measured.apparent_jy:8.4f} "
            f"{measured.apparent_jy / source.true_jy:6.3f} {measured.rms_jy / source.true_jy:6.3f} "
            f"{measured.offset_beams:9.3f}  {result}",
            highlight=False, soft_wrap=True, style="green" if result == "ok" else "bold red",
        )  # fmt: skip


def follow(
    store: Store, expected: Sequence[str], console: Console, patience_s: float, check: Callable[[], None]
) -> list[GroupRecord]:
    """Show the groups until all expected ones have ended, and return them.

    Parameters
    ----------
    store : of the demo's service.
    expected : ids of the groups.
    console : to write to.
    patience_s : time without a change after which the demo fails.
    check : called at every refresh; raises when a process of the demo has failed.

    Raises
    ------
    Transient : no group has changed for `patience_s`.
    """
    last_event, changed_s, previous = 0, time.monotonic(), None
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        while True:
            check()
            groups = {group.id: group for group in store.files.groups(limit=len(expected) + 10)}
            for event in store.events.after(last_event):
                last_event = event.id
                if not console.is_terminal:
                    console.print(_line(event), highlight=False, soft_wrap=True)
            if console.is_terminal:
                live.update(_render(store, expected, groups))
            states = [(group.state, group.stage, group.subbands) for group in groups.values()]
            if states != previous:
                previous, changed_s = states, time.monotonic()
            if len(groups) >= len(expected) and all(group.state in ENDED for group in groups.values()):
                return sorted(groups.values(), key=lambda group: group.id)
            if time.monotonic() - changed_s > patience_s:
                raise Transient(f"no group has changed for {patience_s:.0f} s; see the logs in the state directory")
            time.sleep(_REFRESH_S)


def _render(store: Store, expected: Sequence[str], groups: dict[str, GroupRecord]) -> Group:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for heading in ("group", "subbands", *TILE.stages, "state"):
        table.add_column(heading)
    for name in sorted({*expected, *groups}):
        group = groups.get(name)
        if group is None:
            table.add_row(name, "waiting for the telescope", style="dim")
            continue
        seconds = {run.stage: run.seconds for run in store.jobs.runs(name) if run.outcome == "committed"}
        stages = [_stage_cell(group, stage, seconds.get(stage)) for stage in TILE.stages]
        style = _STYLES.get(group.state, "")
        table.add_row(name, f"{len(group.subbands)} of 16", *stages, Text(str(group.state), style=style))
    events = [Text(_line(event), style="dim") for event in store.events.last(_EVENTS_SHOWN)]
    return Group(table, Text(), *events)


def _stage_cell(group: GroupRecord, stage: Stage, seconds: float | None) -> Text:
    if seconds is not None:
        return Text(f"{seconds:.1f} s", style="green")
    if group.stage is stage and group.state in (State.IN_PROGRESS, State.FAILED):
        return Text("running" if group.state is State.IN_PROGRESS else "failed", style=_STYLES[group.state])
    return Text("-", style="dim")


def _line(event: EventRecord) -> str:
    clock = time.strftime("%H:%M:%S", time.gmtime(event.at))
    return f"{clock}  {event.group}  {event.text}" if event.group else f"{clock}  {event.text}"
